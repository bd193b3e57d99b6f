"""Recorded dialogues: who says what, what arrives of it at the other end, and who connects where because of it.

    Dialogue(
        client_says(b"PASV\\r\\n"),
        server_says(b"227 (10,77,0,11,4,210)\\r\\n", arrives=b"227 (203,0,113,100,4,210)\\r\\n"),
        client_connects("203.0.113.100:1234", reaches="10.77.0.11:1234"),
    )

The law: steps are in order; each waits until all before it have arrived. Addresses are those of the recording: what
the real server says names `real`, and what the client says names `virtual`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

from nat_lb.flow import Direction, Endpoint, FlowKey
from nat_lb.io.capture import CaptureReader
from nat_lb.io.link import find_ip, ip_length
from nat_lb.packet import TCP, Packet
from nat_lb.segment import ACK, SYN, Segment
from nat_lb.testing.packets import endpoint

WHO = {Direction.ORIGINAL: "client", Direction.REPLY: "server"}


class Says(NamedTuple):
    """One end writes `data`, and the other must read `arrives`."""

    sender: Direction
    data: bytes
    arrives: bytes

    def __str__(self) -> str:
        return f"{WHO[self.sender]} says {self.data!r}"


class Connects(NamedTuple):
    """One end opens the connection that was announced.

    It goes from `source` (port 0: any) to `to`; what the other end sees is a connection from `seen_from` (port 0: as
    it was) to `reaches`.
    """

    opener: Direction
    source: Endpoint
    to: Endpoint
    seen_from: Endpoint
    reaches: Endpoint
    protocol: int = TCP  # or UDP: a datagram each way

    def __str__(self) -> str:
        return f"{WHO[self.opener]} connects to {self.to}"


Step: TypeAlias = Says | Connects


def client_says(data: bytes, arrives: bytes | None = None) -> Says:
    """Return the step in which the client writes `data`; the real server reads the same, or `arrives`."""
    return Says(Direction.ORIGINAL, data, data if arrives is None else arrives)


def server_says(data: bytes, arrives: bytes | None = None) -> Says:
    """Return the step in which the real server writes `data`; the client reads the same, or `arrives`."""
    return Says(Direction.REPLY, data, data if arrives is None else arrives)


def client_connects(to: str, *, reaches: str, client: str = "203.0.113.10:0", protocol: int = TCP) -> Connects:
    """Return the step in which the client connects to a public endpoint, and so reaches one of the real server."""
    source = endpoint(client)
    return Connects(Direction.ORIGINAL, source, endpoint(to), source, endpoint(reaches), protocol)


def server_connects(source: str, *, to: str, seen_from: str, protocol: int = TCP) -> Connects:
    """Return the step in which the real server connects to the client, who sees it come from `seen_from`."""
    return Connects(Direction.REPLY, endpoint(source), endpoint(to), endpoint(seen_from), endpoint(to), protocol)


@dataclass(frozen=True, init=False)
class Dialogue:
    """The steps of one connection; `left_over` expectations are announced in it and never met."""

    steps: tuple[Step, ...]
    client: Endpoint
    virtual: Endpoint
    real: Endpoint
    left_over: int

    def __init__(
        self,
        *steps: Step,
        client: str = "203.0.113.10:40000",
        virtual: str = "203.0.113.100:21",
        real: str = "10.77.0.11:21",
        left_over: int = 0,
    ) -> None:
        put = object.__setattr__
        put(self, "steps", steps)
        put(self, "left_over", left_over)
        for name, text in (("client", client), ("virtual", virtual), ("real", real)):
            put(self, name, endpoint(text))

    @property
    def says(self) -> Iterator[tuple[int, Says]]:
        """The steps in which something is said, with their numbers from 1."""
        return ((number, step) for number, step in enumerate(self.steps, 1) if isinstance(step, Says))

    def sent(self, sender: Direction) -> bytes:
        """Return all that one end writes."""
        return b"".join(step.data for _, step in self.says if step.sender is sender)

    def arrived(self, sender: Direction, before: int | None = None) -> bytes:
        """Return all that must arrive of what one end writes, or that of the steps before this number."""
        return b"".join(
            step.arrives for number, step in self.says if step.sender is sender and (before is None or number < before)
        )

    def then(self, after: bytes, *steps: Step) -> Dialogue:
        """Return the dialogue with steps put in after the first in which `after` is said; raises ValueError if none."""
        for number, step in self.says:
            if after in step.data:
                return self.with_steps(*self.steps[:number], *steps, *self.steps[number:])
        raise ValueError(f"nobody says {after!r} in this dialogue")

    def merged(self) -> Dialogue:
        """Return the dialogue with what one end says in a row said at once."""
        steps: list[Step] = []
        for step in self.steps:
            last = steps[-1] if steps else None
            if isinstance(step, Says) and isinstance(last, Says) and step.sender is last.sender:
                steps[-1] = Says(step.sender, last.data + step.data, last.arrives + step.arrives)
            else:
                steps.append(step)
        return self.with_steps(*steps)

    def with_steps(self, *steps: Step) -> Dialogue:
        """Return a dialogue of other steps between the same endpoints."""
        return Dialogue(
            *steps,
            client=str(self.client),
            virtual=str(self.virtual),
            real=str(self.real),
            left_over=self.left_over,
        )

    @classmethod
    def from_captures(cls, inside: Path | str, outside: Path | str, port: int, *, number: int = 1) -> Dialogue:
        """Return the dialogue of the `number`-th connection to a port, captured on both sides of a director.

        `inside` was captured at the real server, `outside` at the client: what the one side sent is compared with what
        the other side got, and connections that were opened meanwhile are announced ones. Raises ValueError if the
        two do not tell the same dialogue.
        """
        within, without = _Recording(Path(inside), port, number), _Recording(Path(outside), port, number)
        if [kind for kind, _, _ in within.events] != [kind for kind, _, _ in without.events]:
            raise ValueError(f"{inside} and {outside} do not tell the same dialogue on port {port}")
        pairs = zip(within.events, without.events, strict=True)
        return cls(
            *(_step(inner, outer) for inner, outer in pairs),
            client=str(within.flow.source),
            virtual=str(without.flow.destination),
            real=str(within.flow.destination),
        )


_Event: TypeAlias = tuple[tuple[str, Direction], bytes, FlowKey]


def _step(inner: _Event, outer: _Event) -> Step:
    """Return the step that one event is, seen from inside and from outside."""
    (kind, sender), inside, inner_flow = inner
    _, outside, outer_flow = outer
    from_client = sender is Direction.ORIGINAL
    if kind == "says":
        return Says(sender, outside, inside) if from_client else Says(sender, inside, outside)
    if from_client:
        return Connects(sender, outer_flow.source, outer_flow.destination, inner_flow.source, inner_flow.destination)
    return Connects(sender, inner_flow.source, inner_flow.destination, outer_flow.source, outer_flow.destination)


class _Recording:
    """One capture of one connection: what was said in order, and what was opened meanwhile."""

    def __init__(self, path: Path, port: int, number: int) -> None:
        self.path, self.port, self.left = path, port, number
        self.events: list[_Event] = []
        self.found: FlowKey | None = None
        self._next: dict[FlowKey, int] = {}
        with CaptureReader(path) as reader:
            for record in reader:
                at = find_ip(record.link, record.data)
                if at >= 0:
                    self._take(Packet(record.data[at : at + ip_length(record.data, at)]))

    @property
    def flow(self) -> FlowKey:
        """The connection's flow; raises ValueError if the capture does not have it."""
        if self.found is None:
            raise ValueError(f"{self.path}: has no such connection to port {self.port}")
        return self.found

    def _take(self, packet: Packet) -> None:
        if packet.protocol != TCP or packet.fragment:
            return
        flow, segment = FlowKey.from_bytes(packet.key), Segment(packet.plain)
        if segment.flags & (SYN | ACK) == SYN and flow.destination.port == self.port and self.found is None:
            self.left -= 1
            self.found = None if self.left else flow
        elif segment.flags & (SYN | ACK) == SYN and self.found is not None and flow not in self._next:
            self._opened(flow, self.found)
        if self.found is not None and flow in (self.found, self.found.reversed()):
            self._said(flow, segment, Direction.ORIGINAL if flow == self.found else Direction.REPLY)

    def _opened(self, flow: FlowKey, parent: FlowKey) -> None:
        self._next[flow] = 0
        ends = flow.source.address, flow.destination.address
        if ends == (parent.source.address, parent.destination.address):
            self.events.append((("connects", Direction.ORIGINAL), b"", flow))
        elif ends == (parent.destination.address, parent.source.address):
            self.events.append((("connects", Direction.REPLY), b"", flow))

    def _said(self, flow: FlowKey, segment: Segment, sender: Direction) -> None:
        first = segment.seq + (1 if segment.flags & SYN else 0)
        start = (first - self._next.setdefault(flow, first) + 0x80000000) % 0x100000000 - 0x80000000
        if start > 0 and segment.payload:
            raise ValueError(f"{self.path}: octets are missing before one of {flow}; capture again")
        new = segment.payload[-start:] if start else segment.payload
        if new:
            self._next[flow] = (self._next[flow] + len(new)) % 0x100000000
            self.events.append((("says", sender), new, flow))


__all__ = [
    "Connects",
    "Dialogue",
    "Says",
    "Step",
    "client_connects",
    "client_says",
    "server_connects",
    "server_says",
]
