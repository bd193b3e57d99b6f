"""`nat-lb drain`: a real server is quiesced, waited for, and restored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nat_lb.cli import drain
from nat_lb.service import CarriedLoad
from nat_lb.testing.packets import SYN
from nat_lb.testing.scenario import Scenario
from tests.mirror import Mirror
from tests.scenario.nets import IPV4
from tests.unit.cli.answering import answering, run

WEB = IPV4.service("web", 80, f"{IPV4.one}:80 3", f"{IPV4.two}:80 1")
ONE = f"{IPV4.one}:80"


@pytest.fixture
def scenario() -> Scenario:
    s = Scenario(WEB)
    for port in (3000, 3001, 3002):
        s.client(f"{IPV4.client}:{port}").sends(SYN)
    return s


class Sleeper:
    """Takes the place of `time` in the command: each sleep takes no time, and something happens in it."""

    def __init__(self, happens: Callable[[], None]) -> None:
        self.now = 0.0
        self._happens = happens

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert 0 < seconds <= drain.POLL
        self.now += seconds
        self._happens()


def test_drained_server_is_told_with_the_connections_it_has(scenario: Scenario, tmp_path: Path) -> None:
    with answering(scenario, tmp_path / "s"):
        done = run("drain", "web", ONE, "--control", tmp_path / "s")
        assert (done.return_value, done.output) == (
            0, f"web: {ONE}: weight 0, 2 connections (2 active, 0 winding down)\n",
        )  # fmt: skip
        done = run("drain", "web", IPV4.one, "--restore", "--control", tmp_path / "s")
        assert (done.return_value, done.output) == (
            0, f"web: {ONE}: weight 3, 2 connections (2 active, 0 winding down)\n",
        )  # fmt: skip


def test_waiting_ends_with_the_last_connection(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "time", Sleeper(lambda: scenario.time(20)))
    with answering(scenario, tmp_path / "s"):
        done = run("drain", "web", ONE, "--wait", "5", "--control", tmp_path / "s")
    assert done.return_value == 0
    assert done.stdout.splitlines()[1:] == [f"web: {ONE}: no connection is left"]


def test_waiting_counts_what_the_fast_path_carries(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = Mirror()
    scenario.director.lifecycle.start_offload(mirror, scenario.now)
    mirror.loads[ONE] = CarriedLoad(1, 0, 1, (0, 0), (0, 0))
    sleeper = Sleeper(lambda: scenario.time(20))
    monkeypatch.setattr(drain, "time", sleeper)
    with answering(scenario, tmp_path / "s"):
        done = run("drain", "web", ONE, "--wait", "5", "--control", tmp_path / "s")
        assert done.stderr == f"web: {ONE}: after 5 s 1 connection (1 active, 0 winding down)\n"
        mirror.loads.clear()
        assert run("drain", "web", ONE, "--wait", "0", "--control", tmp_path / "s").return_value == 0


def test_waiting_ends_with_its_time_and_exit_1(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeper = Sleeper(lambda: None)
    monkeypatch.setattr(drain, "time", sleeper)
    with answering(scenario, tmp_path / "s"):
        done = run("drain", "web", ONE, "--wait", "2.2", "--control", tmp_path / "s")
    assert done.return_value == 1
    assert done.stderr == f"web: {ONE}: after 2.2 s 2 connections (2 active, 0 winding down)\n"
    assert sleeper.now == pytest.approx(2.2)


def test_waiting_for_a_server_that_is_used_again_fails(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "time", Sleeper(lambda: scenario.reload(WEB)))
    with answering(scenario, tmp_path / "s"):
        done = run("drain", "web", ONE, "--wait", "5", "--control", tmp_path / "s")
    assert done.return_value == 1
    assert done.stderr == f"web: {ONE}: has weight 3 again, 2 connections (2 active, 0 winding down)\n"


def test_waiting_for_nothing_takes_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "time", Sleeper(lambda: pytest.fail("it slept")))
    with answering(Scenario(WEB), tmp_path / "s"):
        assert run("drain", "web", ONE, "--wait", "0", "--control", tmp_path / "s").return_value == 0


def test_restoring_and_waiting_exclude_each_other() -> None:
    done = run("drain", "web", ONE, "--wait", "1", "--restore")
    assert "--restore ends the draining" in str(done.exception)
