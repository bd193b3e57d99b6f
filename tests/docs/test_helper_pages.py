"""The page of each helper says what its code does: every option, every kind of refusal, and a configuration to copy."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from nat_lb.api import Options
from nat_lb.testing.scenario import Scenario
from nat_lb_ftp import FtpOptions
from nat_lb_h323 import RasOptions
from nat_lb_irc import IrcOptions
from nat_lb_pptp import PptpOptions

ROOT = Path(__file__).parents[2]
OPTIONS: dict[str, type[Options]] = {"ftp": FtpOptions, "h323": RasOptions, "irc": IrcOptions, "pptp": PptpOptions}
OF_THE_CORE = {"no free port"}  # what the core alone refuses, whatever a helper checks before
FIRST_CELLS = re.compile(r"^\| `([^`]+)` \| (.+?) \|", re.MULTILINE)

every_helper = pytest.mark.parametrize("name", OPTIONS)


def page(name: str) -> str:
    return (ROOT / "helpers" / f"nat-lb-{name}" / "README.md").read_text()


def rows(name: str, heading: str) -> list[tuple[str, str]]:
    """Return the first two cells of the rows below a heading, those of the first table there."""
    section = page(name).partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    table = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert table, f"{name}: no table below {heading}"
    return FIRST_CELLS.findall(table[0])


def kinds(name: str) -> Iterator[str]:
    """Yield the kinds of all refusals in a helper's code."""
    folder = Path(str(import_module(f"nat_lb_{name}").__file__)).parent
    trees = [ast.parse(path.read_text()) for path in sorted(folder.glob("*.py"))]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    constants = {
        target.id: node.value.value
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for call in (node for node in nodes if isinstance(node, ast.Call)):
        called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if called in ("Refusal", "refuse"):
            yield from named(call, constants)


def named(call: ast.Call, constants: dict[str, Any]) -> Iterator[str]:
    """Yield the kind that a call names; what passes on another refusal's kind names none of its own."""
    [kind] = [*call.args[1:2], *(word.value for word in call.keywords if word.arg == "kind")]
    if isinstance(kind, ast.Constant):
        yield str(kind.value)
    elif isinstance(kind, ast.Name) and kind.id in constants:
        yield constants[kind.id]


@every_helper
def test_every_option_is_explained_with_its_default(name: str) -> None:
    fields = OPTIONS[name].model_fields
    told = {key: json.dumps(field.get_default(call_default_factory=True)) for key, field in fields.items()}
    assert dict(rows(name, "Options")) == {key: f"`{default}`" for key, default in told.items()}


@every_helper
def test_every_kind_of_refusal_is_explained(name: str) -> None:
    found = set(kinds(name))
    assert len(found) > 1
    assert {kind for kind, _ in rows(name, "What is refused")} == found | OF_THE_CORE


@every_helper
def test_configuration_of_the_page_is_accepted(name: str) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", page(name), re.DOTALL)
    assert blocks
    for toml in blocks:
        Scenario(toml)
