"""`nat-lb cleanup`: what is taken away, what is said, and what is left alone."""

from __future__ import annotations

import pytest

from nat_lb.cli import cleanup, main
from nat_lb.errors import SystemFault
from nat_lb.io import system
from nat_lb.plugins import Registry
from tests.little_plugins import Shelf

PLUGIN = """
from nat_lb.fastpath import FastPath

class Path(FastPath):
    name = "short"
    removed = False
    def remove(self):
        Path.removed = True
    publish = start = settle = open = find = note = close = load = events = lost = status = leave = None
    __iter__ = __len__ = None

@hookimpl
def nat_lb_make_fastpath(config):
    assert (config.director.max_connections, config.services) == (1_000_000, ())
    return Path()
"""


class Rules:
    """In the place of netfilter's: `alive` says whose they are."""

    alive = False
    removed = False

    def __init__(self, *_: object) -> None: ...

    def remove_leftovers(self) -> None:
        if self.alive:
            raise SystemFault("steering: another nat-lb is running")
        Rules.removed = True


@pytest.fixture(autouse=True)
def machine(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleanup, "Steering", Rules)
    monkeypatch.setattr(system, "require_root", lambda: None)
    monkeypatch.setattr(cleanup, "Registry", lambda: Registry(found=shelf.entry_points()))
    monkeypatch.setattr(Rules, "alive", False)
    monkeypatch.setattr(Rules, "removed", False)


def cleaned(capsys: pytest.CaptureFixture[str]) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as end:
        main(["cleanup"])
    said = capsys.readouterr()
    return end.value.code, said.out, said.err


def test_rules_and_what_a_fast_path_left_are_removed(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    module = shelf.install("short", PLUGIN)
    out = "netfilter rules: none left\nfast path: short: nothing left\n"
    assert cleaned(capsys) == (0, out, "")
    assert (Rules.removed, shelf.attribute(module, "Path").removed) == (True, True)


def test_without_a_fast_path_the_rules_are_removed_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    out = "netfilter rules: none left\nfast path: no installed plugin has one\n"
    assert cleaned(capsys) == (0, out, "")


def test_what_the_machine_refuses_is_told(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    shelf.install("none", "@hookimpl\ndef nat_lb_make_fastpath(config):\n    raise SystemFault('no kernel for it')\n")
    assert cleaned(capsys) == (1, "netfilter rules: none left\n", "nat-lb: no kernel for it\n")


def test_running_director_is_left_alone(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = shelf.install("short", PLUGIN)
    monkeypatch.setattr(Rules, "alive", True)
    assert cleaned(capsys) == (1, "", "nat-lb: steering: another nat-lb is running\n")
    assert not Rules.removed
    shelf.registry()
    assert not shelf.attribute(module, "Path").removed
