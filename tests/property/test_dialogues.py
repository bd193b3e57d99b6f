"""Payload rewriting between two TCP stacks: each side gets the other's stream, with every edit made exactly once.

The box is the rewriter alone, without translation of addresses; the helper replaces the text in brackets by one of
another length, in both directions, holds what may become such a line and ignores lines that are none. Beside it works a
rewriter that takes no packet straight through, and both have to say the same.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from ipaddress import ip_address
from itertools import pairwise
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from nat_lb.errors import PacketError
from nat_lb.flow import Direction, Endpoint
from nat_lb.helper import Edit, Helper, Message, Peers
from nat_lb.nat import Translation
from nat_lb.payload import Rewritten, TcpRewriter
from nat_lb.testing.recording import Recording
from nat_lb.testing.tcp_model import Stack, TcpModel, Write, lines
from tests.nowhere import nowhere
from tests.property.habits import stacks
from tests.property.test_tcp_model import CLIENT, SERVER

NOWHERE = nowhere(SERVER, SERVER)
MARK = b"227 "
BRACKETS = re.compile(rb"\((\d+)\)")


class Swap(Helper):
    """Writes so many letters as the number in brackets says."""

    name = "swap"

    def holds(self, tail: bytes, direction: Direction) -> bool:
        return tail.startswith(MARK) or MARK.startswith(tail)

    def ignores(self, octets: bytes, direction: Direction) -> bool:
        return octets.endswith(b"\n") and not any(line.startswith(MARK) for line in octets.splitlines())

    def rewrite(self, message: Message) -> Iterable[Edit]:
        found = BRACKETS.search(message.data) if message.data.startswith(MARK) else None
        return [Edit(*found.span(1), swapped(found))] if found else []


def swapped(found: re.Match[bytes]) -> bytes:
    return b"v" * (int(found[1]) % 50)


def rewritten(text: bytes) -> bytes:
    """What the receiver must get."""
    done = (
        BRACKETS.sub(lambda m: b"(" + swapped(m) + b")", x, 1) if x.startswith(MARK) else x
        for x in text.splitlines(True)
    )
    return b"".join(done)


class Reservations(Recording):
    """A ledger that nothing is asked of; a fault is a failed test."""

    now = 0.0

    def begin(self) -> None:
        pass

    def fault(self, method: str, error: Exception) -> None:
        raise AssertionError(f"{method} failed: {error!r}")

    def commit(self, edited: bool) -> None:
        pass

    undo = begin


class Careful(TcpRewriter):
    """Takes every packet apart."""

    def through(self, data: bytes, path: Translation, now: float) -> None:
        pass


class Box:
    """Two rewriters that have to agree, as a box that translates no addresses."""

    def __init__(self) -> None:
        peers = Peers(CLIENT, Endpoint(ip_address("203.0.113.100"), 21), SERVER)
        self.rewriters = [kind(Swap(peers), peers, Reservations(peers)) for kind in (TcpRewriter, Careful)]

    def __call__(self, packet: bytes, now: float) -> list[bytes]:
        direction = Direction.ORIGINAL if packet[12:16] == CLIENT.address.packed else Direction.REPLY
        one, other = (outcome(rewriter, packet, direction, now) for rewriter in self.rewriters)
        assert one == other
        return one


def outcome(rewriter: TcpRewriter, packet: bytes, direction: Direction, now: float) -> list[bytes]:
    """Return the packets that a rewriter makes of one."""
    try:
        result = rewriter.through(packet, NOWHERE[direction], now) or rewriter.rewrite(packet, direction, now)
    except PacketError:
        return []
    return [*result.onward, *result.back] if isinstance(result, Rewritten) else [result]


class Line(NamedTuple):
    """One line of a dialogue, cut into several writes; its sender may wait for the other side's line before."""

    text: bytes
    cuts: tuple[int, ...]
    waits: bool

    def writes(self, turn: int) -> list[Write]:
        places = sorted({0, len(self.text), *(cut % len(self.text) for cut in self.cuts)})
        pieces = [self.text[a:b] for a, b in pairwise(places)]
        return [Write(piece, after=lines(turn if self.waits else 0)) for piece in pieces]


TEXTS = st.sampled_from(
    [
        b"227 Entering (7)\r\n",
        b"227 (1234567890123)\r\n",
        b"227 ok (0000049).\r\n",
        b"227 ()\n",
        b"227-(5)\r\n",
        b"150 ok\r\n",
        b"2" * 3000 + b"\n",
    ]
)
LINES = st.lists(
    st.builds(Line, TEXTS, st.tuples() | st.tuples(*[st.integers(0, 50)] * 3), st.booleans()), min_size=1, max_size=6
)
STACKS = stacks(window=st.sampled_from([300, 5000, 65535]))
NETWORKS = st.fixed_dictionaries(
    {
        "loss": st.sampled_from([0.0, 0.1]),
        "duplicate": st.sampled_from([0.0, 0.1]),
        "reorder": st.sampled_from([0.0, 0.2]),
        "corrupt": st.sampled_from([0.0, 0.05]),
    }
)
CONDITIONS = st.fixed_dictionaries({"one": STACKS, "other": STACKS, "network": NETWORKS, "seed": st.integers(0, 2**32)})

DULL, MARKED = (
    [b"150 ok\r\n", b"NOOP\r\nNOOP\r\n", b"?7 \r\n"],
    [b"227 (7)\r\n", b"227 (30) and (7)\r\n", b"227 (3) \r\n"],
)


def session(rng: random.Random) -> list[Line]:
    """Return many lines of which few are rewritten, so that nothing is pending most of the time."""
    texts = rng.choices(DULL + MARKED, weights=[8] * len(DULL) + [1] * len(MARKED), k=30)
    return [Line(text, (), rng.random() < 0.7) for text in texts]


def script(dialogue: list[Line], first: int) -> list[Write]:
    return [write for turn, line in enumerate(dialogue) for write in line.writes(turn + first)]


@settings(max_examples=300, deadline=None)
@given(LINES, LINES, CONDITIONS)
def test_each_stream_arrives_with_every_edit_made_once(
    asked: list[Line], answered: list[Line], conditions: dict[str, Any]
) -> None:
    converse(asked, answered, **conditions)


@settings(max_examples=100, deadline=None)
@given(CONDITIONS)
def test_long_sessions_with_few_edits_arrive(conditions: dict[str, Any]) -> None:
    rng = random.Random(conditions["seed"])
    converse(session(rng), session(rng), **conditions)


def converse(
    asked: list[Line],
    answered: list[Line],
    one: dict[str, Any],
    other: dict[str, Any],
    network: dict[str, Any],
    seed: int,
) -> None:
    """Let both sides talk through the box, and compare what arrives with what should."""
    count = min(len(asked), len(answered))
    client = Stack(CLIENT, SERVER, script(asked[:count], 0), **one)
    server = Stack(SERVER, CLIENT, script(answered[:count], 1), **other)
    result = TcpModel(client, server, Box(), random.Random(seed), **network).run()
    assert result.server_received == rewritten(b"".join(line.text for line in asked[:count]))
    assert result.client_received == rewritten(b"".join(line.text for line in answered[:count]))
