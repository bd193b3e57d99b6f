"""Shortest expected delay."""

from __future__ import annotations

from nat_lb.testing.schedules import Service, flow
from nat_lb_sed import ShortestExpectedDelay


def test_fast_server_fills_up_before_a_slow_one_gets_its_first() -> None:
    web = Service(1, 10)
    assert web.decisions(ShortestExpectedDelay(web), 12) == "BBBBBBBBBABB"


def test_connections_that_wind_down_are_not_waited_for() -> None:
    web = Service(2, 2)
    web.server("A").count(0, 500)
    assert ShortestExpectedDelay(web).schedule(flow()) is web.server("A")


def test_quiesced_server_gets_nothing_and_nobody_means_none() -> None:
    web = Service(0, 1)
    scheduler = ShortestExpectedDelay(web)
    assert web.decisions(scheduler, 3) == "BBB"
    web.reweigh(scheduler, B=0)
    assert scheduler.schedule(flow()) is None
