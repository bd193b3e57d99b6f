"""Least connections, decision by decision."""

from __future__ import annotations

from ipaddress import ip_address

from nat_lb.api import Endpoint, FlowKey, LeastLoad, RealServer
from nat_lb_lc import LeastConnections, nat_lb_register_schedulers

FLOW = FlowKey(6, Endpoint(ip_address("202.100.1.2"), 3000), Endpoint(ip_address("202.103.106.5"), 80))


class Service:
    """A service of real servers with loads given as (active, inactive)."""

    name = "web"
    now = 0.0

    def __init__(self, *loads: tuple[int, int], weights: tuple[int, ...] = ()) -> None:
        self.real_servers = []
        for at, load in enumerate(loads):
            server = RealServer(Endpoint(ip_address("172.16.0.2") + at, 80), weights[at] if weights else 1)
            server.count(*load)
            self.real_servers.append(server)

    def choice(self) -> int | None:
        chosen = LeastConnections(self).schedule(FLOW)
        return None if chosen is None else self.real_servers.index(chosen)


def test_server_with_the_least_active_connections_is_chosen() -> None:
    assert Service((3, 0), (1, 0), (2, 0)).choice() == 1


def test_inactive_connections_decide_between_equally_active_servers() -> None:
    assert Service((1, 9), (1, 3), (1, 5)).choice() == 1


def test_one_active_connection_outweighs_255_inactive_ones() -> None:
    assert Service((1, 0), (0, 256)).choice() == 1
    assert Service((1, 0), (0, 257)).choice() == 0
    assert Service((1, 0), (0, 258)).choice() == 0


def test_first_in_the_file_wins_a_tie() -> None:
    assert Service((2, 1), (2, 1), (2, 1)).choice() == 0


def test_weights_other_than_zero_do_not_matter() -> None:
    assert Service((1, 0), (2, 0), weights=(1, 100)).choice() == 0
    assert Service((0, 0), (2, 0), weights=(0, 1)).choice() == 1


def test_overloaded_servers_are_not_compared() -> None:
    service = Service((0, 0), (5, 0))
    service.real_servers[0].overloaded = True
    assert service.choice() == 1


def test_nobody_is_chosen_when_nobody_is_usable() -> None:
    assert Service().choice() is None
    assert Service((0, 0), weights=(0,)).choice() is None


def test_loads_are_looked_at_anew_for_every_connection() -> None:
    service = Service((0, 0), (0, 0), (0, 0))
    scheduler = LeastConnections(service)
    order = []
    for _ in range(7):
        chosen = scheduler.schedule(FLOW)
        assert chosen is not None
        chosen.count(1, 0)
        order.append(service.real_servers.index(chosen))
    assert order == [0, 1, 2, 0, 1, 2, 0]


def test_plan_is_a_comparison_that_a_fast_path_can_carry_out() -> None:
    plan = LeastConnections(Service((0, 0))).plan()
    assert isinstance(plan, LeastLoad)
    assert not plan.weighted


def test_plugin_offers_the_scheduler_lc() -> None:
    assert [scheduler.name for scheduler in nat_lb_register_schedulers()] == ["lc"]
