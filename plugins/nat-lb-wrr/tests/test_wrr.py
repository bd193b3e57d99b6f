"""Weighted round robin, decision by decision."""

from __future__ import annotations

import itertools
import time
from collections import Counter

import pytest

from nat_lb.api import Cycle
from nat_lb.testing.schedules import Service, flow
from nat_lb_wrr import LONGEST_PLAN, WeightedRoundRobin, nat_lb_register_schedulers, rotation


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
    service = Service(*weights)
    assert service.decisions(WeightedRoundRobin(service), 3 * len(cycle)) == cycle * 3


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
    assert service.decisions(scheduler, 2) == "BB"
    service.real_servers[0].overloaded = False
    assert service.decisions(scheduler, 3) == "AAB"


def test_nobody_is_chosen_when_nobody_is_usable() -> None:
    assert WeightedRoundRobin(Service()).schedule(flow()) is None
    assert WeightedRoundRobin(Service(0, 0)).schedule(flow()) is None


def test_new_weights_start_a_new_rotation() -> None:
    service = Service(1, 1)
    scheduler = WeightedRoundRobin(service)
    assert service.decisions(scheduler, 1) == "A"
    service.real_servers[0].configure(3)
    scheduler.changed()
    assert service.decisions(scheduler, 4) == "AAAB"


def test_short_rotation_is_a_plan_that_a_fast_path_can_carry_out() -> None:
    plan = WeightedRoundRobin(Service(2, 1)).plan()
    assert isinstance(plan, Cycle)
    assert len(plan.order) == 3


def test_weights_with_a_common_divisor_make_a_short_rotation() -> None:
    service = Service(2_000_000_000, 1_000_000_000)
    assert service.decisions(WeightedRoundRobin(service), 6) == "AABAAB"


def test_rotation_too_long_to_write_down_is_walked_the_same_way() -> None:
    service = Service(LONGEST_PLAN, LONGEST_PLAN - 3, 2)
    scheduler = WeightedRoundRobin(service)
    assert scheduler.present_plan is None
    assert service.decisions(scheduler, 9) == "AAAABABAB"
    service.real_servers[0].overloaded = True
    assert set(service.decisions(scheduler, 10)) == {"B"}


def test_server_that_recovers_rejoins_a_walked_rotation() -> None:
    service = Service(LONGEST_PLAN + 1, 1)
    scheduler = WeightedRoundRobin(service)
    for server in service.real_servers:
        server.overloaded = True
    assert service.decisions(scheduler, 1) == "-"
    service.real_servers[0].overloaded = False
    assert service.decisions(scheduler, 3) == "AAA"


def test_heavy_server_that_is_overloaded_does_not_hold_the_packet_up() -> None:
    service = Service(2**31 - 1, 1)
    scheduler = WeightedRoundRobin(service)
    service.real_servers[0].overloaded = True
    before = time.monotonic()
    assert service.decisions(scheduler, 3) == "BBB"
    assert time.monotonic() - before < 1.0


def test_walk_with_nobody_usable_ends_at_once() -> None:
    service = Service(LONGEST_PLAN + 1, 1)
    scheduler = WeightedRoundRobin(service)
    for server in service.real_servers:
        server.overloaded = True
    assert service.decisions(scheduler, 2) == "--"


def test_plugin_offers_the_scheduler_wrr() -> None:
    assert [scheduler.name for scheduler in nat_lb_register_schedulers()] == ["wrr"]
