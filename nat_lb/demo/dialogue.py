"""An FTP control connection as lines, as one host's capture has it.

The law: octets count once, at their place in the stream, however often and in whatever pieces they were sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nat_lb.demo.wire import Endpoint, Segment

SEQUENCE_NUMBERS = 1 << 32


@dataclass(frozen=True)
class Line:
    """One line of the dialogue, without its end; `time` is when its last piece came."""

    time: float
    by_client: bool
    text: str


@dataclass(frozen=True)
class Exchange:
    """The same line on both sides of the director; one of them is empty if only one side has it."""

    by_client: bool
    at_client: str
    at_server: str


def connections(segments: Iterable[Segment], server: Endpoint) -> list[Endpoint]:
    """Return the clients of a server in the order in which they came."""
    return list(dict.fromkeys(segment.source for segment in segments if segment.target == server))


def dialogue(segments: Iterable[Segment], client: Endpoint, server: Endpoint) -> list[Line]:
    """Return the lines of one connection in the order of their time."""
    both = list(segments)
    lines = [
        *_lines((one for one in both if (one.source, one.target) == (client, server)), by_client=True),
        *_lines((one for one in both if (one.source, one.target) == (server, client)), by_client=False),
    ]
    return sorted(lines, key=lambda line: line.time)


def side_by_side(at_client: list[Line], at_server: list[Line]) -> list[Exchange]:
    """Pair the lines of one connection as the client has it and as the real server has it, in the client's order."""
    servers = {flag: iter([line.text for line in at_server if line.by_client is flag]) for flag in (True, False)}
    pairs = [Exchange(line.by_client, line.text, next(servers[line.by_client], "")) for line in at_client]
    return pairs + [Exchange(flag, "", text) for flag, rest in servers.items() for text in rest]


def _lines(segments: Iterable[Segment], *, by_client: bool) -> Iterator[Line]:
    pending = b""
    for time, octets in _stream(list(segments)):
        *ended, pending = (pending + octets).split(b"\r\n")
        yield from (Line(time, by_client, text.decode(errors="replace")) for text in ended)


def _stream(segments: list[Segment]) -> Iterator[tuple[float, bytes]]:
    """The new octets of each segment in the order of the stream; a gap ends it."""
    if not segments:
        return
    first = next((segment.seq + 1 for segment in segments if "S" in segment.flags), segments[0].seq)
    placed = [((one.seq - first) % SEQUENCE_NUMBERS, one) for one in segments if one.payload]
    position, time = 0, 0.0
    for start, segment in sorted(placed, key=lambda place: place[0]):
        if start > position:
            return
        new = segment.payload[position - start :]
        position, time = position + len(new), max(time, segment.time)
        yield time, new
