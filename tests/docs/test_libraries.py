"""docs/explanation/libraries.md gives a reason for every library that nat-lb needs, and for no other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_dependency_has_its_reason_on_the_page() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {re.split("[^A-Za-z-]", requirement)[0] for requirement in project["dependencies"]}
    page = (ROOT / "docs" / "explanation" / "libraries.md").read_text()
    assert set(re.findall(r"^\| `(\S+)` \|", page, re.MULTILINE)) == needed


def test_only_one_module_uses_the_toml_parser() -> None:
    users = [
        path
        for path in (ROOT / "nat_lb").rglob("*.py")
        if re.search(r"^\s*(import|from) toml\b", path.read_text(), re.M)
    ]
    assert [path.name for path in users] == ["document.py"]
