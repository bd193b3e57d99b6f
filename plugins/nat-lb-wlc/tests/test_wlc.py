"""Weighted least connections."""

from __future__ import annotations

from nat_lb.testing.schedules import Service, flow
from nat_lb_wlc import WeightedLeastConnections


def test_connections_are_held_in_proportion_to_weight() -> None:
    web = Service(1, 2, 3)
    chosen = web.decisions(WeightedLeastConnections(web), 60)
    assert [chosen.count(letter) for letter in "ABC"] == [10, 20, 30]


def test_first_in_the_file_wins_between_equals() -> None:
    web = Service(2, 2, 1)
    assert web.decisions(WeightedLeastConnections(web), 3) == "ABC"


def test_one_active_connection_outweighs_many_that_wind_down() -> None:
    web = Service(1, 1)
    web.server("A").count(1, 0)
    web.server("B").count(0, 255)
    assert WeightedLeastConnections(web).schedule(flow()) is web.server("B")
    web.server("B").count(0, 2)
    assert WeightedLeastConnections(web).schedule(flow()) is web.server("A")


def test_quiesced_and_overloaded_servers_get_nothing() -> None:
    web = Service(0, 1, 1)
    web.server("B").configure(1, upper_threshold=2)
    assert web.decisions(WeightedLeastConnections(web), 6) == "BCBCCC"
