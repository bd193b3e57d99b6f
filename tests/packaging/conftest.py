"""The wheels that every test here installs from, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.packaging.wheels import ROOT, build, environment, needed, repack


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the core's wheel and those of all that it and its testing kit need."""
    folder, work = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("core")
    build(ROOT, work, folder)
    for dist in needed("nat-lb[testing]").values():
        repack(dist, folder)
    return folder


@pytest.fixture(scope="session")
def testing(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the core's wheel and its testing kit, and no plugin."""
    return environment(tmp_path_factory.mktemp("testing") / "environment", wheels, ["nat-lb[testing]"])
