"""A scheduler that fails or is late does not take the service with it."""

from __future__ import annotations

import logging

import pytest

from nat_lb.errors import ConfigError
from nat_lb.testing.packets import SYN
from nat_lb.testing.scenario import Scenario
from tests.little_plugins import Shelf

MOODY = """
class Moody(Scheduler):
    name = "moody"
    mood, took, asked = "fine", 0.0, 0

    def schedule(self, flow):
        Moody.asked += 1
        if self.mood == "fails":
            raise RuntimeError("out of luck")
        if self.mood == "strays":
            return RealServer(self.service.real_servers[0].endpoint)
        Clock.now += self.took
        return self.service.real_servers[0]

class Clock:
    now = 0.0

@hookimpl
def nat_lb_register_schedulers():
    return [Moody]
"""
SERVICE = """
[[service]]
name = "web"
protocol = "tcp"
address = "202.103.106.5"
port = 80
scheduler = "moody"
MORE
real_server = [{ address = "172.16.0.2" }, { address = "172.16.0.3" }]
"""


class Play:
    """A scenario with a moody scheduler and a clock of its own."""

    def __init__(self, shelf: Shelf, more: str = 'fallback_scheduler = "rr"') -> None:
        module = shelf.install("moody", MOODY)
        self.s = Scenario(SERVICE.replace("MORE", more), shelf.registry())
        self.moody, clock = shelf.attribute(module, "Moody"), shelf.attribute(module, "Clock")
        self.s.director.lifecycle.clock = lambda: float(clock.now)
        (self.service,) = self.s.director.lifecycle.services
        self.ports = iter(range(1024, 65536))

    def servers(self, number: int) -> str:
        """Open connections; return the last digits of the real servers."""
        digits = ""
        for _, port in zip(range(number), self.ports, strict=False):
            client = f"202.100.1.2:{port}"
            assert self.s.client(client).sends(SYN).packet
            digits += str(self.s.connection(client).real.address)[-1]
        return digits


@pytest.fixture
def play(shelf: Shelf) -> Play:
    return Play(shelf)


@pytest.mark.parametrize("mood", ["fails", "strays"])
def test_fallback_decides_where_the_scheduler_fails_and_nowhere_else(play: Play, mood: str) -> None:
    assert play.servers(2) == "22"
    play.moody.mood = mood
    assert play.servers(3) == "232"
    play.moody.mood = "fine"
    assert play.servers(2) == "22"
    assert play.service.fallback.counts == {"failed": 3}
    owner = "acme-moody" if mood == "fails" else "nat-lb"
    assert play.s.director.lifecycle.faults.counts == {(owner, "nat_lb_schedule"): 3}


def test_failing_scheduler_without_a_fallback_costs_the_packet(shelf: Shelf) -> None:
    play = Play(shelf, "")
    play.moody.mood = "fails"
    play.s.client("202.100.1.2:3000").sends(SYN).expect_dropped("plugin-fault")


def test_late_decisions_are_replaced_and_the_third_lets_the_scheduler_rest(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    play.moody.took = 0.025
    with caplog.at_level(logging.WARNING):
        assert play.servers(5) == "23232"
    assert play.service.fallback.counts == {"late": 3, "resting": 2}
    assert caplog.messages == [
        'web: scheduler "moody" (acme-moody) took 25.0 ms, budget 10.0 ms, 3 times in a row - "rr" decides for 60 s'
    ]
    play.s.time(60)
    play.moody.took, asked = 0.0, play.moody.asked
    play.servers(2)
    assert play.moody.asked == asked + 2


def test_late_scheduler_without_a_fallback_goes_on_and_is_told_once_a_minute(
    shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    play = Play(shelf, "scheduler_budget = 0.5")
    play.moody.took = 1.0
    assert play.servers(9) == "222222222"
    assert play.service.fallback.counts == {"late": 9}
    assert [line[-11:] for line in caplog.messages] == ["no fallback"]


def test_reload_with_another_scheduler_ends_the_rest_of_the_late_one(play: Play) -> None:
    play.moody.took = 1.0
    assert play.servers(4) == "2323"
    assert play.service.fallback.counts["resting"] == 1
    play.s.reload(SERVICE.replace("moody", "wrr").replace("MORE", 'fallback_scheduler = "rr"'))
    play.servers(2)
    assert play.service.fallback.counts["resting"] == 1


def test_reload_keeps_the_fallbacks_turn_and_takes_another_budget(play: Play) -> None:
    play.moody.mood = "fails"
    assert play.servers(1) == "2"
    toml = SERVICE.replace("MORE", 'fallback_scheduler = "rr"\nscheduler_budget = 3')
    play.s.reload(toml)
    assert play.servers(1) == "3"
    assert play.service.fallback.budget == 3
    play.s.reload(SERVICE.replace("MORE", ""))
    play.s.client("202.100.1.2:99").sends(SYN).expect_dropped("plugin-fault")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('fallback_scheduler = "moody"', 'must be another than scheduler, found "moody" for both'),
        ('fallback_scheduler = "rrr"', 'no installed plugin provides scheduler "rrr"'),
        ("scheduler_budget = -1", "scheduler_budget must be 0 or more, found -1"),
    ],
)
def test_unusable_fallback_is_an_objection(shelf: Shelf, more: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Play(shelf, more)
