"""Payload rewriting against two TCP stacks: both ends get one consistent, edited stream, whatever the network does.

The model fails by itself when an endpoint is shown two different octets at one position, an acknowledgement or a SACK
block of what it never sent, a segment that is too long, or when a stream never ends.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nat_lb.api import Direction, Edit, Helper, Message
from nat_lb.config import parse
from nat_lb.director import Director
from nat_lb.flow import Endpoint
from nat_lb.plugins import Registry
from nat_lb.testing.tcp_endpoint import Stack, Write, anything
from nat_lb.testing.tcp_model import TcpModel
from nat_lb.verdict import NotForwarded
from tests.property.habits import stacks

CLIENT = Endpoint(ip_address("203.0.113.10"), 40000)
VIRTUAL, REAL = Endpoint(ip_address("203.0.113.100"), 21), Endpoint(ip_address("10.77.0.11"), 2121)
CLIENT6 = Endpoint(ip_address("2001:db8::10"), 40000)
VIRTUAL6, REAL6 = Endpoint(ip_address("2001:db8::100"), 21), Endpoint(ip_address("fd00::11"), 2121)
MARKED = re.compile(rb"<(\w*)>")
SPELLINGS = {b"longer": b"much, much longer than it was", b"short": b"s", b"same": b"SAME", b"gone": b""}


def spelled(text: bytes) -> bytes:
    """What the helper below makes of a stream: marks are replaced in lines that start with an exclamation mark."""
    lines = text.splitlines(keepends=True)
    return b"".join(
        MARKED.sub(_spelling, line) if line.startswith(b"!") and line.endswith(b"\n") else line for line in lines
    )


def _spelling(found: re.Match[bytes]) -> bytes:
    return SPELLINGS.get(found[1], found[0])


class Speller(Helper):
    """Replaces marked words in lines that start with an exclamation mark, in both directions."""

    name = "speller"

    def holds(self, tail: bytes, direction: Direction) -> bool:
        return tail.startswith(b"!")

    def ignores(self, octets: bytes, direction: Direction) -> bool:
        return octets.endswith(b"\n") and b"!" not in octets

    def rewrite(self, message: Message) -> Iterable[Edit]:
        if message.data.startswith(b"!"):
            for found in MARKED.finditer(message.data):
                if found[1] in SPELLINGS:
                    yield Edit(found.start(), found.end(), SPELLINGS[found[1]])


def box(virtual: Endpoint, real: Endpoint) -> tuple[Any, Director]:
    """A director with that helper, as a box between the two stacks."""
    registry = Registry()
    registry.helpers["speller"] = Speller
    text = f"""
        [[service]]
        protocol = "tcp"
        address = "{virtual.address}"
        port = {virtual.port}
        helpers = ["speller"]
        real_server = [{{ address = "{real.address}", port = {real.port} }}]
    """
    director = Director(parse(text, "test.toml"), "test.toml", registry)

    def middle(packet: bytes, now: float) -> Sequence[bytes]:
        verdict = director.pipeline.process(packet, now)
        return verdict.packets if isinstance(verdict, NotForwarded) else [bytes(verdict)]

    return middle, director


LINE = st.one_of(
    st.sampled_from([b"plain text\n", b"\n", b"!nothing to do\n", b"!a <unknown> word\n"]),
    st.lists(st.sampled_from([b"<longer>", b"<short>", b"<same>", b"<gone>", b" and "]), min_size=1, max_size=4).map(
        lambda words: b"!" + b"".join(words) + b"\n"
    ),
)
STREAM = st.lists(LINE, min_size=1, max_size=8).map(b"".join)
OPTIONS = stacks(window=st.sampled_from([600, 65535]))
NETWORK = st.fixed_dictionaries(
    {
        "loss": st.sampled_from([0.0, 0.1, 0.25]),
        "duplicate": st.sampled_from([0.0, 0.1]),
        "reorder": st.sampled_from([0.0, 0.3]),
        "corrupt": st.sampled_from([0.0, 0.05]),
    }
)


def writes(stream: bytes, cuts: list[int], rng: random.Random) -> list[Write]:
    """Cut a stream into what its application writes, now and a little later."""
    edges = [0, *sorted({cut % len(stream) for cut in cuts} - {0}), len(stream)]
    return [Write(stream[start:end], at=rng.choice((0.0, 0.0, 0.4)), after=anything) for start, end in pairwise(edges)]


def converse(
    streams: tuple[bytes, bytes],
    cuts: tuple[list[int], list[int]],
    options: tuple[dict[str, Any], dict[str, Any]],
    network: dict[str, Any],
    seed: int,
    *,
    ipv6: bool = False,
) -> Director:
    """Let both streams through the director and compare what arrives with what should."""
    client, virtual, real = (CLIENT6, VIRTUAL6, REAL6) if ipv6 else (CLIENT, VIRTUAL, REAL)
    rng = random.Random(seed)
    middle, director = box(virtual, real)
    near = Stack(client, virtual, writes(streams[0], cuts[0], rng), **options[0])
    far = Stack(real, client, writes(streams[1], cuts[1], rng), **options[1])
    result = TcpModel(near, far, middle, rng, **network).run()
    assert result.client_received == spelled(streams[1])
    assert result.server_received == spelled(streams[0])
    assert not director.lifecycle.faults.counts
    return director


CUTS = st.lists(st.integers(0, 1 << 16), max_size=6)


@given(
    st.tuples(STREAM, STREAM), st.tuples(CUTS, CUTS), st.tuples(OPTIONS, OPTIONS), NETWORK, st.integers(0, 1 << 32),
    st.booleans(),
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_both_edited_streams_arrive_whatever_the_network_does(
    streams: tuple[bytes, bytes],
    cuts: tuple[list[int], list[int]],
    options: tuple[dict[str, Any], dict[str, Any]],
    network: dict[str, Any],
    seed: int,
    ipv6: bool,
) -> None:
    converse(streams, cuts, options, network, seed, ipv6=ipv6)


@pytest.mark.parametrize("nagle", [True, False])
@pytest.mark.parametrize("cut", range(1, 40))
def test_line_that_is_cut_anywhere_is_rewritten_whole(cut: int, nagle: bool) -> None:
    options = {"nagle": nagle}
    streams = b"hello\n", b"!one <longer> two <short> three <gone>\nbye\n"
    converse(streams, ([], [cut]), (options, options), {}, cut)


def test_many_edits_in_a_long_session_are_forgotten_but_a_few() -> None:
    stream = b"!<longer><short>\n" * 400
    director = converse((stream, stream), ([], []), ({}, {}), {"loss": 0.05, "reorder": 0.1}, 7)
    assert len(director.lifecycle.connections) == 1
