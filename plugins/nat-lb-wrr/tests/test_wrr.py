"""Weighted round robin, decision by decision."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from ipaddress import ip_address

import pytest

from nat_lb.api import Cycle, Endpoint, FlowKey, RealServer
from nat_lb_wrr import LONGEST_PLAN, WeightedRoundRobin, nat_lb_register_schedulers, rotation

FLOW = FlowKey(6, Endpoint(ip_address("202.100.1.2"), 3000), Endpoint(ip_address("202.103.106.5"), 80))


class Service:
    """A service of real servers called A, B, C and so on."""

    name = "web"
    now = 0.0

    def __init__(self, *weights: int) -> None:
        self.real_servers = [
            RealServer(Endpoint(ip_address("172.16.0.2") + at, 80), weight) for at, weight in enumerate(weights)
        ]

    def decisions(self, count: int, scheduler: WeightedRoundRobin | None = None) -> str:
        scheduler = scheduler or WeightedRoundRobin(self)
        chosen = [scheduler.schedule(FLOW) for _ in range(count)]
        return "".join("ABCDEF"[self.real_servers.index(server)] if server else "-" for server in chosen)


@pytest.mark.parametrize(
    ("weights", "cycle"),
    [
        ((4, 3, 2), "AABABCABC"),
        ((1, 2), "BAB"),
        ((2, 4), "BAB"),
        ((5, 1, 1), "AAAAABC"),
        ((1, 1, 1), "ABC"),
        ((3, 0, 1), "AAAC"),
        ((7,), "A"),
        ((10, 3, 7), "AAAACACACACABCABCABC"),
    ],
)
def test_rotation_goes_down_from_the_heaviest(weights: tuple[int, ...], cycle: str) -> None:
    assert Service(*weights).decisions(3 * len(cycle)) == cycle * 3


@pytest.mark.parametrize("weights", list(itertools.product((0, 1, 2, 5), repeat=3))[1:])
def test_every_rotation_has_each_server_as_often_as_its_weight_says(weights: tuple[int, int, int]) -> None:
    servers = Service(*weights).real_servers
    counts = Counter(id(server) for server in rotation(servers))
    per_weight = {counts[id(server)] / server.weight for server in servers if server.weight}
    assert len(per_weight) == 1


def test_overloaded_server_is_passed_over_and_keeps_its_place() -> None:
    service = Service(2, 1)
    scheduler = WeightedRoundRobin(service)
    service.real_servers[0].overloaded = True
    assert service.decisions(2, scheduler) == "BB"
    service.real_servers[0].overloaded = False
    assert service.decisions(3, scheduler) == "AAB"


def test_nobody_is_chosen_when_nobody_is_usable() -> None:
    assert WeightedRoundRobin(Service()).schedule(FLOW) is None
    assert Service(0, 0).decisions(1) == "-"


def test_new_weights_start_a_new_rotation() -> None:
    service = Service(1, 1)
    scheduler = WeightedRoundRobin(service)
    assert service.decisions(1, scheduler) == "A"
    service.real_servers[0].configure(3)
    scheduler.changed()
    assert service.decisions(4, scheduler) == "AAAB"


def test_short_rotation_is_a_plan_that_a_fast_path_can_carry_out() -> None:
    plan = WeightedRoundRobin(Service(2, 1)).plan()
    assert isinstance(plan, Cycle)
    assert len(plan.order) == 3


def test_weights_with_a_common_divisor_make_a_short_rotation() -> None:
    assert Service(2_000_000_000, 1_000_000_000).decisions(6) == "AABAAB"


def test_rotation_too_long_to_write_down_is_walked_the_same_way() -> None:
    service = Service(LONGEST_PLAN, LONGEST_PLAN - 3, 2)
    scheduler = WeightedRoundRobin(service)
    assert scheduler.present_plan is None
    assert service.decisions(9, scheduler) == "AAAABABAB"
    service.real_servers[0].overloaded = True
    assert set(service.decisions(10, scheduler)) == {"B"}


def test_server_that_recovers_rejoins_a_walked_rotation() -> None:
    service = Service(LONGEST_PLAN + 1, 1)
    scheduler = WeightedRoundRobin(service)
    for server in service.real_servers:
        server.overloaded = True
    assert service.decisions(1, scheduler) == "-"
    service.real_servers[0].overloaded = False
    assert service.decisions(3, scheduler) == "AAA"


def test_heavy_server_that_is_overloaded_does_not_hold_the_packet_up() -> None:
    service = Service(2**31 - 1, 1)
    scheduler = WeightedRoundRobin(service)
    service.real_servers[0].overloaded = True
    before = time.monotonic()
    assert service.decisions(3, scheduler) == "BBB"
    assert time.monotonic() - before < 1.0


def test_walk_with_nobody_usable_ends_at_once() -> None:
    service = Service(LONGEST_PLAN + 1, 1)
    scheduler = WeightedRoundRobin(service)
    for server in service.real_servers:
        server.overloaded = True
    assert service.decisions(2, scheduler) == "--"


def test_plugin_offers_the_scheduler_wrr() -> None:
    assert [scheduler.name for scheduler in nat_lb_register_schedulers()] == ["wrr"]
