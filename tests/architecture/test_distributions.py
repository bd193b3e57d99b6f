"""Every distribution has the same shape, and none is forgotten where distributions are listed by hand."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(path.parent for kind in ("plugins", "helpers") for path in (ROOT / kind).glob("*/pyproject.toml"))


def read(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text())


def name_in_toml(folder: Path) -> str:
    return folder.name.removeprefix("nat-lb-")


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def folder(request: pytest.FixtureRequest) -> Path:
    path = request.param
    assert isinstance(path, Path)
    return path


def test_distribution_package_and_entry_point_share_a_name(folder: Path) -> None:
    project, name = read(folder)["project"], name_in_toml(folder)
    package = f"nat_lb_{name.replace('-', '_')}"
    assert project["name"] == folder.name == f"nat-lb-{name}"
    assert project["entry-points"] == {"nat_lb": {name: package}}
    assert (folder / "src" / package / "__init__.py").is_file()


def test_distribution_depends_on_the_core_of_its_version(folder: Path) -> None:
    core, project = read(ROOT)["project"], read(folder)["project"]
    assert "nat-lb ~= 0.1" in project["dependencies"]
    for key in ("version", "license", "authors", "requires-python"):
        assert project[key] == core[key]


def test_distribution_is_typed_and_has_readme_and_tests(folder: Path) -> None:
    assert (folder / "README.md").read_text().startswith(f"# {folder.name}")
    assert list((folder / "src").glob("*/py.typed"))
    assert list((folder / "tests").glob("**/test_*.py"))


def test_every_distribution_is_in_an_extra_and_under_contract() -> None:
    core = read(ROOT)
    names = {folder.name for folder in FOLDERS}
    extras = core["project"]["optional-dependencies"]
    assert extras["all"][0] == "nat-lb[standard]"
    assert sorted(names) == sorted(extras["standard"] + extras["all"][1:])
    roots = set(core["tool"]["importlinter"]["root_packages"])
    assert roots == {"nat_lb"} | {name.replace("-", "_") for name in names}
