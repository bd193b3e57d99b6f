"""The parts that need no kernel: keys, places in arrays, changes of checksums, the kernel's words in Python's."""

from __future__ import annotations

import struct
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest

from nat_lb.api import Endpoint
from nat_lb.testing.packets import SYN, checksums_are_right, tcp
from nat_lb_ebpf import FastPathFault, Sizes, bindings, layout
from nat_lb_ebpf.keys import to_kernel, without_source
from nat_lb_ebpf.libbpf import Object
from nat_lb_ebpf.regions import Regions

from .duel import client_key


@pytest.mark.parametrize(("client", "size"), [("192.0.2.1:7", 16), ("[2001:db8::1]:7", 40)])
def test_key_has_protocol_and_ports_before_the_addresses(client: str, size: int) -> None:
    key = client_key(tcp(client, client.replace(":7", ":80"), SYN))
    octets = to_kernel(key).octets
    assert len(octets) == size
    assert octets[:8] == b"\x06\0\0\0\0\x07\0\x50"
    assert octets[8:] == key[1:-4]
    assert without_source(key) == key[:-4] + b"\0\0\0\x50"


def test_key_of_another_length_is_no_key() -> None:
    with pytest.raises(KeyError):
        to_kernel(bytes(12))


def test_regions_do_not_overlap_and_are_used_again() -> None:
    regions = Regions(10)
    first, second, third = regions.take(4), regions.take(3), regions.take(3)
    assert (first, second, third) == (0, 4, 7)
    assert regions.take(1) is None
    regions.give_back(4)
    assert regions.take(4) is None
    assert (regions.take(2), regions.take(1)) == (4, 6)
    assert regions.take(0) is not None  # an empty one is anywhere


def test_change_turns_the_sum_of_one_address_into_that_of_another() -> None:
    old, new = ip_address("203.0.113.9").packed, ip_address("10.0.0.200").packed
    words = struct.unpack(f"{'<' if sys.byteorder == 'little' else '>'}HHHH", old + new)
    assert (words[0] + words[1] + bindings.change(old, new)) % 0xFFFF == (words[2] + words[3]) % 0xFFFF
    assert (bindings.change(old, new) + bindings.change(new, old)) % 0xFFFF == 0
    assert checksums_are_right(tcp("192.0.2.1:1", "192.0.2.2:2", SYN))


@pytest.mark.parametrize("address", ["198.51.100.7", "2001:db8::7"])
def test_binding_is_read_as_it_was_written(address: str) -> None:
    record = layout.Binding()
    pair = bindings.Pair(Endpoint(ip_address(address), 80), Endpoint(ip_address(address) + 1, 65535))
    bindings.write(record, pair, server=3, service=2, tracker=1, protocol=6)
    assert bindings.read(record) == pair
    assert (record.server, record.service, record.tracker, record.protocol) == (3, 2, 1, 6)


@pytest.mark.parametrize("connections", [1, 2, 3, 1000, 1024, 1025, 262_144, 1_000_000])
def test_table_of_flows_is_at_most_half_full(connections: int) -> None:
    sizes = Sizes(connections=connections)
    assert sizes.buckets & (sizes.buckets - 1) == 0
    assert 2 * 2 * connections <= 8 * sizes.buckets < 2 * 8 * max(connections, 2)


def test_missing_object_is_told_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(FastPathFault, match=r"nothere.bpf.o is missing.*install clang"):
        Object(tmp_path / "nothere.bpf.o")
