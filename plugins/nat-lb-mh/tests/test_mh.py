"""Maglev hashing: what a table promises, and the hash bit for bit."""

from __future__ import annotations

import pytest

from nat_lb.api import FlowHash
from nat_lb.testing.packets import endpoint
from nat_lb.testing.schedules import Service, flow
from nat_lb_mh import OFFSET_KEY, TABLE_SIZES, MaglevHashing, MaglevHashingOptions, populate, turns

CLIENTS = [flow(f"10.{net}.{host}.7:40000") for net in range(10) for host in range(100)]


def shares(chosen: str) -> list[float]:
    return [chosen.count(letter) / len(chosen) for letter in "ABC"]


def test_every_slot_has_a_server_and_shares_differ_by_one_slot() -> None:
    servers = [endpoint(f"10.2.0.{host}:80") for host in range(11, 18)]
    for size in (251, 4093, 65521):
        slots = populate(size, servers, [1] * 7)
        counts = [slots.count(number) for number in range(7)]
        assert sum(counts) == size
        assert max(counts) - min(counts) <= 1


def test_clients_are_spread_by_weight() -> None:
    web = Service(1, 2, 1)
    found = shares(web.decisions(MaglevHashing(web), CLIENTS))
    assert found == pytest.approx([0.25, 0.5, 0.25], abs=0.04)


def test_removed_server_moves_few_clients_of_the_others() -> None:
    web = Service(1, 1, 1)
    scheduler = MaglevHashing(web)
    before = web.decisions(scheduler, CLIENTS)
    web.real_servers.remove(web.server("B"))
    scheduler.changed()
    after = web.decisions(scheduler, CLIENTS)
    assert "B" not in after
    moved = sum(1 for was, became in zip(before, after, strict=True) if was != "B" and was != became)
    assert moved < len(CLIENTS) * 0.1


def test_quiesced_server_keeps_its_slots_and_its_clients_are_refused() -> None:
    web = Service(1, 1, 1)
    scheduler = MaglevHashing(web)
    before = web.decisions(scheduler, CLIENTS)
    web.reweigh(scheduler, A=0)
    assert web.decisions(scheduler, CLIENTS) == before.replace("A", "-")
    web.reweigh(scheduler, A=1)
    assert web.decisions(scheduler, CLIENTS) == before


def test_fallback_moves_the_clients_of_the_unusable_server_alone() -> None:
    web = Service(1, 1, 1)
    scheduler = MaglevHashing(web, MaglevHashingOptions(fallback=True))
    before = web.decisions(scheduler, CLIENTS)
    web.server("A").overloaded = True
    after = web.decisions(scheduler, CLIENTS)
    assert set(after) == {"B", "C"}
    assert all(was in ("A", became) for was, became in zip(before, after, strict=True))


def test_server_added_at_weight_0_has_no_slots() -> None:
    web = Service(0, 1, 1)
    assert set(web.decisions(MaglevHashing(web), CLIENTS)) == {"B", "C"}
    assert set(Service(0, 0).decisions(MaglevHashing(Service(0, 0)), CLIENTS[:9])) == {"-"}


def test_port_option_spreads_the_connections_of_one_client() -> None:
    web = Service(1, 1, 1)
    assert len(set(web.decisions(MaglevHashing(web), 60))) == 1
    assert set(web.decisions(MaglevHashing(web, MaglevHashingOptions(port=True)), 60)) == {"A", "B", "C"}


@pytest.mark.parametrize(
    ("weights", "size", "expected"),
    [
        ([1, 2, 3], 4093, [1, 2, 3]),
        ([10, 20, 0], 4093, [1, 2, 0]),
        ([1, 100], 4093, [1, 50]),  # 100 has 7 bits, one above half of the table's 12
        ([1, 64], 251, [1, 8]),
        ([0, 0], 251, [0, 0]),
    ],
)
def test_turns_are_the_weights_scaled_down(weights: list[int], size: int, expected: list[int]) -> None:
    assert turns(weights, size) == expected


def test_table_size_must_be_one_of_the_primes() -> None:
    for size in TABLE_SIZES:
        assert all(size % divisor for divisor in range(2, int(size**0.5) + 1))
    with pytest.raises(ValueError, match="must be one of 251, 509"):
        MaglevHashingOptions(table_size=256)


def test_more_servers_than_slots_are_refused() -> None:
    many = Service(*[1] * 252)
    with pytest.raises(ValueError, match="252 real servers do not fit into 251 slots"):
        MaglevHashing(many, MaglevHashingOptions(table_size=251))


def test_slots_and_clients_hash_as_in_ipvs() -> None:
    clients = [*(f"10.0.0.{host}" for host in range(1, 9)), "192.168.1.10", "203.0.113.7"]
    slots = populate(4093, [endpoint(f"10.2.0.{host}:80") for host in (11, 12, 13)], [1, 1, 1])
    chosen = [slots[FlowHash(4093, key=OFFSET_KEY).of(endpoint(f"{client}:40000"))] for client in clients]
    assert "".join("ABC"[number] for number in chosen if number is not None) == "CCBACCCABC"
