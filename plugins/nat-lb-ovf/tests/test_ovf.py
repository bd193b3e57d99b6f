"""Weighted overflow."""

from __future__ import annotations

from nat_lb.testing.schedules import Service, flow
from nat_lb_ovf import WeightedOverflow


def test_each_server_takes_one_more_than_its_weight_then_clients_are_refused() -> None:
    web = Service(2, 3, 1)
    assert web.decisions(WeightedOverflow(web), 12) == "BBBBAAACC---"


def test_full_server_is_used_again_when_a_connection_winds_down() -> None:
    web = Service(1, 2)
    scheduler = WeightedOverflow(web)
    assert web.decisions(scheduler, 4) == "BBBA"
    web.server("B").count(-1, 1)
    assert scheduler.schedule(flow()) is web.server("B")


def test_quiesced_server_takes_no_overflow() -> None:
    web = Service(0, 1)
    assert web.decisions(WeightedOverflow(web), 3) == "BB-"
