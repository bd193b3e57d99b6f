"""The scheduler alone: no director, no network, nothing but `nat_lb.api`."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from nat_lb_failover import Failover

from nat_lb.api import Endpoint, FlowKey, RealServer

FLOW = FlowKey(6, Endpoint(ip_address("202.100.1.2"), 1024), Endpoint(ip_address("202.103.106.5"), 80))


@dataclass
class Service:
    """What a scheduler sees of its service."""

    name: str
    real_servers: list[RealServer]
    now: float = 0.0


def service(*weights: int) -> Service:
    return Service(
        "web",
        [RealServer(Endpoint(ip_address(f"172.16.0.{host}"), 80), weight) for host, weight in enumerate(weights, 2)],
    )


def test_heaviest_server_gets_every_connection() -> None:
    web = service(1, 3, 2)
    scheduler = Failover(web)
    assert [scheduler.schedule(FLOW) for _ in range(3)] == [web.real_servers[1]] * 3


def test_next_server_takes_over_when_the_heaviest_is_quiesced() -> None:
    web = service(1, 3, 2)
    scheduler = Failover(web)
    web.real_servers[1].configure(weight=0)
    scheduler.changed()
    assert scheduler.schedule(FLOW) is web.real_servers[2]


def test_first_in_the_file_wins_between_equals() -> None:
    web = service(2, 2)
    assert Failover(web).schedule(FLOW) is web.real_servers[0]


def test_nobody_is_chosen_when_all_are_quiesced() -> None:
    assert Failover(service(0, 0)).schedule(FLOW) is None
