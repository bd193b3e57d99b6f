"""A running director's own decisions about a fast path: what begins, what ends, and what a reload leaves as it was."""

from __future__ import annotations

import logging

import pytest

from nat_lb.config import Config, parse
from nat_lb.director import Director
from nat_lb.errors import SystemFault
from nat_lb.fastpath import CarriedEvent, Happening
from nat_lb.hookspecs import hookimpl
from nat_lb.io.serve import _leave_fastpath, _reload, _tick, start_fastpath
from nat_lb.io.steering import Steering
from nat_lb.testing import packets
from nat_lb.testing.packets import SYN
from tests.little_plugins import Shelf
from tests.mirror import Mirror
from tests.scenario.nets import IPV4


class Machine:
    """A plugin that makes mirrors; `fault` is what the machine says instead, `stiff` what a mirror cannot do."""

    def __init__(self) -> None:
        self.made: list[Mirror] = []
        self.fault = ""
        self.stiff = ""
        self.log: list[str] = []

    @hookimpl
    def nat_lb_make_fastpath(self, config: Config) -> Mirror:
        if self.fault:
            raise SystemFault(self.fault)
        self.made.append(Logged(self))
        return self.made[-1]


class Logged(Mirror):
    """A mirror that tells its machine what is asked of it."""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self.machine = machine

    def start(self) -> None:
        self._do("start")
        super().start()

    def leave(self) -> None:
        self._do("leave")
        super().leave()

    def remove(self) -> None:
        self._do("remove")
        super().remove()

    def find(self, key: bytes) -> None:
        self._do("find")

    def _do(self, what: str) -> None:
        if what == self.machine.stiff:
            raise SystemFault(f"cannot {what}")
        self.machine.log.append(what)


@pytest.fixture
def machine() -> Machine:
    return Machine()


def director(shelf: Shelf, machine: Machine, datapath: str = "auto", more: str = "") -> Director:
    registry = shelf.registry()
    registry.manager.register(machine)
    return Director(config(datapath, more), "web.toml", registry)


def config(datapath: str, more: str = "") -> Config:
    return parse(f'[director]\ndatapath = "{datapath}"\n{more}{IPV4.web}', "web.toml")


@pytest.mark.parametrize(
    ("datapath", "flush", "done"),
    [
        ("auto", False, ["start"]),
        ("ebpf", False, ["start"]),
        ("nfqueue", False, ["remove"]),
        ("nfqueue", True, ["remove"]),
        ("auto", True, ["remove", "start"]),
        ("ebpf", True, ["remove", "start"]),
    ],
)
def test_what_an_earlier_fast_path_carries_is_taken_over_or_ended(
    shelf: Shelf, machine: Machine, datapath: str, flush: bool, done: list[str]
) -> None:
    one = director(shelf, machine, datapath)
    start_fastpath(one, flush=flush)
    assert machine.log == done
    assert (one.lifecycle.offload is not None) == ("start" in done)


@pytest.mark.parametrize("flush", [False, True])
@pytest.mark.parametrize("datapath", ["auto", "nfqueue"])
def test_machine_without_a_fast_path_has_a_director_all_the_same(
    shelf: Shelf, machine: Machine, datapath: str, flush: bool, caplog: pytest.LogCaptureFixture
) -> None:
    machine.fault = "no kernel for it"
    with caplog.at_level(logging.INFO):
        start_fastpath(director(shelf, machine, datapath), flush=flush)
    said = "no fast path, every packet goes through Python: no kernel for it"
    assert caplog.messages == ([said] if datapath == "auto" else [])


@pytest.mark.parametrize("flush", [False, True])
def test_director_that_insists_does_not_start_without(shelf: Shelf, machine: Machine, flush: bool) -> None:
    machine.fault = "no kernel for it"
    with pytest.raises(SystemFault, match="no kernel for it"):
        start_fastpath(director(shelf, machine, "ebpf"), flush=flush)


def test_fast_path_that_does_not_start_carries_nothing_past_the_slow_path(
    shelf: Shelf, machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    machine.stiff = "start"
    one = director(shelf, machine)
    start_fastpath(one)
    assert (machine.log, one.lifecycle.offload) == (["remove"], None)
    assert "no fast path, every packet goes through Python: cannot start" in caplog.messages


def test_fast_path_that_was_insisted_on_is_left_as_it_was_found(shelf: Shelf, machine: Machine) -> None:
    machine.stiff = "start"
    with pytest.raises(SystemFault, match="cannot start"):
        start_fastpath(director(shelf, machine, "ebpf"))
    assert machine.log == []


def test_at_the_end_what_is_carried_is_carried_on(
    shelf: Shelf, machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    one = director(shelf, machine, more="log_connections = true\n")
    start_fastpath(one)
    one.pipeline.process(packets.tcp(f"{IPV4.client}:3000", f"{IPV4.vip}:80", SYN), 1.0)
    (mirror,) = machine.made
    (carried,) = mirror
    mirror.happened = [CarriedEvent(Happening.STATE_CHANGED, carried, 0, "")]
    with caplog.at_level(logging.INFO):
        _leave_fastpath(one)
    assert caplog.messages[0].endswith("NONE to SYN_RECV"), "what happened to the end is told"
    assert "leave" in machine.log and "remove" not in machine.log
    assert "fast path: mirror carries 1 connections on" in caplog.messages
    assert len(mirror) == 1


def test_end_that_fails_is_told_and_is_the_end(
    shelf: Shelf, machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    one = director(shelf, machine)
    start_fastpath(one)
    machine.stiff = "leave"
    _leave_fastpath(one)
    assert "fast path: mirror: leaving failed: cannot leave" in caplog.messages


def test_end_without_a_fast_path_says_nothing(shelf: Shelf, machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    _leave_fastpath(director(shelf, machine))
    assert caplog.messages == []


def test_fault_of_what_time_asks_for_does_not_end_the_director(
    shelf: Shelf, machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    one = director(shelf, machine)
    start_fastpath(one)
    assert one.lifecycle.offload is not None
    one.pipeline.process(packets.tcp(f"{IPV4.client}:3000", f"{IPV4.vip}:80", SYN), 1.0)
    (connection,) = one.lifecycle.offload
    one.lifecycle.offload._kept[connection.key] = connection  # as if a payload had announced it
    machine.stiff = "find"
    _tick(one, None)(100.0)
    assert ("nat-lb", "tick") in one.lifecycle.faults.counts
    assert "acme" not in caplog.text and "tick failed for what time asks for: SystemFault: cannot find" in caplog.text


def test_reload_says_what_stays_until_the_next_start(
    shelf: Shelf, machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    one = director(shelf, machine)
    start_fastpath(one)
    steering = Steering([], [], 0, run=lambda _command, _text: "", bound=tuple)
    at_start = one.config.director
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            _reload(one, steering, lambda: config("nfqueue", "queue = 7\n"), at_start)
        _reload(one, steering, lambda: config("auto"), at_start)
    stays = [
        "[director] datapath is still auto; restart nat-lb for nfqueue",
        "[director] queue is still 0; restart nat-lb for 7",
        "reloaded",
    ]
    assert [line for line in caplog.messages if "fast path" not in line] == [*stays, *stays, "reloaded"]
    assert machine.log == ["start"] and one.lifecycle.offload is not None
