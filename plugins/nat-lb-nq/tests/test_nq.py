"""Never queue."""

from __future__ import annotations

from nat_lb.testing.schedules import Service, flow
from nat_lb_nq import NeverQueue


def test_idle_slow_server_is_preferred_to_a_shorter_delay() -> None:
    web = Service(1, 10)
    assert web.decisions(NeverQueue(web), 4) == "ABBB"
    web.server("A").count(-1, 1)
    assert NeverQueue(web).schedule(flow()) is web.server("A")


def test_shortest_delay_decides_when_nobody_is_idle() -> None:
    web = Service(1, 2, 3)
    assert web.decisions(NeverQueue(web), 9) == "ABCCBCCBC"


def test_idle_but_quiesced_or_overloaded_server_is_passed_over() -> None:
    web = Service(0, 1, 1)
    web.server("B").overloaded = True
    assert web.decisions(NeverQueue(web), 3) == "CCC"
