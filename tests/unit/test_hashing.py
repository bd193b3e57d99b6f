"""Hashes of flows: the same numbers as IPVS, from nothing but the fields."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from nat_lb.hashing import FlowHash, hsiphash
from nat_lb.testing.packets import endpoint
from nat_lb.testing.schedules import flow


def test_siphash_is_that_of_python_itself_where_its_key_is_zero() -> None:
    assert sys.hash_info.algorithm == "siphash13"
    numbers = [0, 1, 80, 0x0A00000B, 2**32 - 1]
    program = f"print([hash(n.to_bytes(4, 'little')) % 2**32 for n in {numbers}])"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=os.environ | {"PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=True)
    assert [hsiphash(number, 0) for number in numbers] == json.loads(done.stdout)


@pytest.mark.parametrize("key", [None, 2654435761])
@pytest.mark.parametrize("size", [256, 1024])
def test_numbers_are_within_the_size_and_spread(key: int | None, size: int) -> None:
    number_of = FlowHash(size, key=key)
    numbers = [number_of(flow(f"10.{net}.{host}.1:99")) for net in range(40) for host in range(250)]
    assert 0 <= min(numbers) < size / 50
    assert size * 49 / 50 < max(numbers) < size


def test_multiplicative_hash_keeps_the_upper_bits() -> None:
    assert FlowHash(256).of(endpoint("0.0.0.1:9")) == 0x61
    assert FlowHash(256, port=True).of(endpoint("0.0.0.1:1")) == 0xC3
    assert FlowHash(65536).of(endpoint("0.0.0.1:9")) == 0x61C8


def test_offset_is_added_after_multiplication_but_before_siphash() -> None:
    own = endpoint("0.0.0.1:9")
    assert FlowHash(256).of(own, 255) == 0x60
    assert FlowHash(4093, key=7).of(own, 5) == FlowHash(4093, key=7).of(endpoint("0.0.0.6:9")) == hsiphash(6, 7) % 4093


def test_end_and_port_of_the_flow_are_those_that_the_fields_name() -> None:
    here, there = flow("10.0.0.1:1", "10.0.0.2:2"), flow("10.0.0.3:1", "10.0.0.2:2")
    assert FlowHash(256, destination=True)(here) == FlowHash(256, destination=True)(there)
    assert FlowHash(256)(here) != FlowHash(256)(there)
    assert FlowHash(256)(here) == FlowHash(256)(flow("10.0.0.1:2"))
    assert FlowHash(256, port=True)(here) != FlowHash(256, port=True)(flow("10.0.0.1:2"))


def test_ipv6_address_is_the_xor_of_its_words() -> None:
    assert FlowHash(256).of(endpoint("[2001:db8::1]:1")) == FlowHash(256).of(endpoint("[::2001:db9]:1"))


def test_sums_beyond_32_bits_wrap_around() -> None:
    assert FlowHash(4093, port=True, key=7).of(endpoint("255.255.255.255:1")) == hsiphash(0, 7) % 4093
