"""Each of our plugins passes its own tests where nothing is installed but the core, its testing kit, and the plugin.

And, for the few that have any, the libraries that the plugin alone needs.
"""

from __future__ import annotations

import shutil
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.packaging.wheels import ROOT, beside, build, link, needed, run

FOLDERS = sorted(path.parent for kind in ("plugins", "helpers") for path in (ROOT / kind).glob("*/pyproject.toml"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_plugin_passes_its_tests_installed_alone(folder: Path, wheels: Path, testing: Path, tmp_path: Path) -> None:
    build(folder, tmp_path, wheels)
    alone = beside(wheels, tmp_path / "alone", folder.name)
    for name in needed(folder.name).keys() - needed("nat-lb[testing]").keys():
        link(distribution(name), tmp_path / "alone")
    tests = shutil.copytree(folder / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    options = ("-q", "-p", "no:cacheprovider", "--import-mode=importlib", "-m", "not live")
    said = run(testing, "-m", "pytest", *options, tests, cwd=tmp_path, env=alone)
    assert " passed" in said
