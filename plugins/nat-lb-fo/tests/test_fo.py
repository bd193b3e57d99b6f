"""Weighted failover."""

from __future__ import annotations

from nat_lb.testing.schedules import Service, flow
from nat_lb_fo import WeightedFailover


def test_heaviest_server_gets_everything_and_the_first_of_equals_wins() -> None:
    web = Service(1, 5, 5)
    assert web.decisions(WeightedFailover(web), 4) == "BBBB"


def test_next_heaviest_takes_over_and_hands_back() -> None:
    web = Service(1, 5, 3)
    scheduler = WeightedFailover(web)
    web.reweigh(scheduler, B=0)
    assert web.decisions(scheduler, 2) == "CC"
    web.reweigh(scheduler, B=5)
    assert web.decisions(scheduler, 2) == "BB"


def test_overloaded_server_is_failed_over_without_a_new_plan() -> None:
    web = Service(2, 1)
    web.server("A").configure(2, upper_threshold=2)
    assert web.decisions(WeightedFailover(web), 4) == "AABB"


def test_no_usable_server_means_none() -> None:
    web = Service(0, 0)
    assert WeightedFailover(web).schedule(flow()) is None
