"""Destination hashing."""

from __future__ import annotations

from nat_lb.testing.schedules import Service, flow
from nat_lb_dh import DestinationHashing

VIRTUAL = [f"10.1.{net}.{host}:80" for net in range(8) for host in range(1, 33)]


def test_one_virtual_address_has_one_server_whoever_connects() -> None:
    web = Service(1, 1, 1)
    chosen = web.decisions(DestinationHashing(web), (flow(f"10.0.0.{host}:{host}") for host in range(1, 99)))
    assert len(set(chosen)) == 1


def test_ports_of_the_virtual_address_do_not_count() -> None:
    web = Service(1, 1, 1)
    scheduler = DestinationHashing(web)
    assert len({scheduler.schedule(flow(virtual=f"10.1.0.1:{port}")) for port in range(1, 99)}) == 1


def test_virtual_addresses_are_spread_evenly_whatever_the_weights() -> None:
    web = Service(1, 5, 1)
    chosen = web.decisions(DestinationHashing(web), (flow(virtual=virtual) for virtual in VIRTUAL))
    assert min(chosen.count(letter) for letter in "ABC") > len(VIRTUAL) / 4


def test_unusable_server_refuses_and_moves_nobody() -> None:
    web = Service(1, 1, 1)
    scheduler = DestinationHashing(web)
    flows = [flow(virtual=virtual) for virtual in VIRTUAL]
    before = web.decisions(scheduler, flows)
    web.reweigh(scheduler, B=0)
    assert web.decisions(scheduler, flows) == before.replace("B", "-")


def test_ipv6_addresses_are_folded_word_by_word() -> None:
    web = Service(1, 1)
    scheduler = DestinationHashing(web)
    folded = flow(virtual="[2001:db8::1]:80")
    word = 0x20010DB8 ^ 1
    ipv4 = ".".join(str(octet) for octet in word.to_bytes(4, "big"))
    assert scheduler.schedule(folded) is scheduler.schedule(flow(virtual=f"{ipv4}:80"))
