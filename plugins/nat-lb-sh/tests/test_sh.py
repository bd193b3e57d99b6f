"""Source hashing: who goes where, and who goes elsewhere when a server rests."""

from __future__ import annotations

from collections import Counter

import pytest

from nat_lb.api import FlowKey, HashTable
from nat_lb.testing.schedules import Service, flow
from nat_lb_sh import (
    BUCKETS,
    SourceHashing,
    SourceHashingOptions,
    fill,
    nat_lb_register_schedulers,
)


def choices(service: Service, flows: list[FlowKey], **options: bool) -> str:
    return service.decisions(SourceHashing(service, SourceHashingOptions(**options) if options else None), flows)


CLIENTS = [flow(f"202.100.{net}.{host}:3000") for net in range(4) for host in range(1, 255)]


def test_one_client_goes_to_one_server_from_every_port() -> None:
    ports = [flow(f"202.100.1.2:{port}") for port in range(1024, 1124)]
    assert len(set(choices(Service(1, 1, 1), ports))) == 1


def test_port_option_spreads_one_clients_connections() -> None:
    ports = [flow(f"202.100.1.2:{port}") for port in range(1024, 1124)]
    assert set(choices(Service(1, 1, 1), ports, port=True)) == {"A", "B", "C"}


def test_clients_are_shared_by_weight() -> None:
    counts = Counter(choices(Service(1, 3), CLIENTS))
    assert 2.5 < counts["B"] / counts["A"] < 3.5


def test_ipv6_clients_are_hashed_by_all_of_their_address() -> None:
    hosts = [flow(f"2001:db8::{host:x}:3000") for host in range(1, 200)]
    nets = [flow(f"2001:db8:{net:x}::1:3000") for net in range(1, 200)]
    assert set(choices(Service(1, 1), hosts)) == set(choices(Service(1, 1), nets)) == {"A", "B"}


def test_clients_of_a_resting_server_are_refused_and_nobody_else_moves() -> None:
    before, after = Service(1, 1, 1), Service(1, 0, 1)
    assert choices(after, CLIENTS) == choices(before, CLIENTS).replace("B", "-")


def test_fallback_moves_the_clients_of_a_resting_server_only() -> None:
    before, after = choices(Service(1, 1, 1), CLIENTS), choices(Service(1, 0, 1), CLIENTS, fallback=True)
    assert set(after) == {"A", "C"}
    assert all(old in (new, "B") for old, new in zip(before, after, strict=True))


def test_fallback_with_nobody_usable_refuses() -> None:
    assert set(choices(Service(0, 0), CLIENTS[:20], fallback=True)) == {"-"}


def test_service_without_servers_refuses() -> None:
    assert choices(Service(), CLIENTS[:3]) == "---"
    assert choices(Service(), CLIENTS[:3], fallback=True) == "---"


@pytest.mark.parametrize("weights", [(1,), (1, 1, 1), (1, 2, 3), (0, 5), (300, 1), (2**31 - 1, 2**31 - 1)])
def test_every_bucket_has_a_server_and_no_more_than_there_are(weights: tuple[int, ...]) -> None:
    assert len(fill(Service(*weights).real_servers)) == BUCKETS


def test_buckets_are_filled_round_and_round_in_runs_of_the_weight() -> None:
    service = Service(1, 0, 2)
    assert "".join(map(service.letter, fill(service.real_servers)))[:9] == "ABCCABCCA"


def test_plan_is_a_table_that_a_fast_path_can_carry_out() -> None:
    plan = SourceHashing(Service(1, 1)).plan()
    assert isinstance(plan, HashTable)
    assert (len(plan.slots), plan.fallback) == (BUCKETS, False)


def test_plugin_offers_the_scheduler_sh() -> None:
    assert [scheduler.name for scheduler in nat_lb_register_schedulers()] == ["sh"]
