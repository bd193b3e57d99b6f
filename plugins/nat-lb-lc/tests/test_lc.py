"""Least connections, decision by decision."""

from __future__ import annotations

from nat_lb.api import LeastLoad
from nat_lb.testing.schedules import Service
from nat_lb_lc import LeastConnections, nat_lb_register_schedulers


def choice(*loads: tuple[int, int], weights: tuple[int, ...] = ()) -> str:
    """Return who is chosen of servers with these loads, active and inactive connections."""
    service = Service(*(weights or [1] * len(loads)))
    for server, load in zip(service.real_servers, loads, strict=True):
        server.count(*load)
    return service.decisions(LeastConnections(service), 1)


def test_server_with_the_least_active_connections_is_chosen() -> None:
    assert choice((3, 0), (1, 0), (2, 0)) == "B"


def test_inactive_connections_decide_between_equally_active_servers() -> None:
    assert choice((1, 9), (1, 3), (1, 5)) == "B"


def test_one_active_connection_outweighs_255_inactive_ones() -> None:
    assert choice((1, 0), (0, 256)) == "B"
    assert choice((1, 0), (0, 257)) == "A"
    assert choice((1, 0), (0, 258)) == "A"


def test_first_in_the_file_wins_a_tie() -> None:
    assert choice((2, 1), (2, 1), (2, 1)) == "A"


def test_weights_other_than_zero_do_not_matter() -> None:
    assert choice((1, 0), (2, 0), weights=(1, 100)) == "A"
    assert choice((0, 0), (2, 0), weights=(0, 1)) == "B"


def test_overloaded_servers_are_not_compared() -> None:
    service = Service(1, 1)
    service.server("A").overloaded = True
    service.server("B").count(5, 0)
    assert service.decisions(LeastConnections(service), 1) == "B"


def test_nobody_is_chosen_when_nobody_is_usable() -> None:
    assert choice() == "-"
    assert choice((0, 0), weights=(0,)) == "-"


def test_loads_are_looked_at_anew_for_every_connection() -> None:
    service = Service(1, 1, 1)
    assert service.decisions(LeastConnections(service), 7) == "ABCABCA"


def test_plan_is_a_comparison_that_a_fast_path_can_carry_out() -> None:
    plan = LeastConnections(Service(1)).plan()
    assert isinstance(plan, LeastLoad)
    assert not plan.weighted


def test_plugin_offers_the_scheduler_lc() -> None:
    assert [scheduler.name for scheduler in nat_lb_register_schedulers()] == ["lc"]
