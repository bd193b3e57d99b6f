"""Two TCP stacks and a bad network with a box in the middle, as a discrete-event model.

The law: whatever is lost, doubled, delayed or damaged on the way, only the box can break what RFC 9293 promises.  The
model raises AssertionError, with the last packets as a note, as soon as the box's packets show an endpoint something
that no sound peer sends:

- an acknowledgement or a SACK block of octets that it never sent;
- an octet that differs from the one that it was shown at the same position before;
- a segment above its MSS, without the negotiated timestamp, from or to a wrong address, with a wrong checksum, a reset;

and if a stream is not delivered and closed when nothing more can happen, or if the endpoints never come to rest.

Time is `now`, seconds from 0.  All chance comes from one `random.Random`, so a run can be repeated; the number of
faults is bounded, so every run ends.  The box is a function of a packet and `now` that returns packets; each goes to
the endpoint that has its destination address.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from nat_lb.testing.tcp_endpoint import Chance, Stack, Tcp, Write, lines
from nat_lb.testing.tcp_segment import Segment

__all__ = ["Middle", "Result", "Segment", "Stack", "TcpModel", "Write", "lines"]

LATENCY = 0.01  # seconds, each leg

Middle: TypeAlias = Callable[[bytes, float], Sequence[bytes]]


class Result(NamedTuple):
    """What came of a run; urgent positions are offsets in the stream of the last urgent octet."""

    client_received: bytes
    server_received: bytes
    client_urgent: frozenset[int]
    server_urgent: frozenset[int]
    steps: int
    now: float
    dropped: int


class TcpModel:
    """A client, a server, and between them network, box, network; the faults are chances a packet and leg."""

    def __init__(
        self,
        client: Stack,
        server: Stack,
        box: Middle,
        rng: random.Random,
        *,
        loss: float = 0.0,
        duplicate: float = 0.0,
        reorder: float = 0.0,
        corrupt: float = 0.0,
        faults: int = 200,
    ) -> None:
        self.chance = Chance(rng, faults)
        self.box, self.loss, self.duplicate, self.reorder, self.corrupt = box, loss, duplicate, reorder, corrupt
        self.client = Tcp("client", client, self.chance, self)
        self.server = Tcp("server", server, self.chance, self)
        self.dropped = 0
        self.log: deque[str] = deque(maxlen=60)
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._serial = 0

    def at(self, when: float, event: Callable[[float], None]) -> None:
        """Let something happen at a time; what was asked for first happens first."""
        self._serial += 1
        heapq.heappush(self._events, (when, self._serial, event))

    def run(self, max_steps: int = 20_000) -> Result:
        """Let everything happen; raises AssertionError if the box broke the connection."""
        steps, now = 0, 0.0
        try:
            self.client.pump(now)
            while self._events and steps < max_steps:
                now, _, event = heapq.heappop(self._events)
                event(now)
                steps += 1
            self._check_finished(steps)
        except AssertionError as failure:
            failure.add_note("\n".join(self.log))
            raise
        client, server = self.client, self.server
        urgent = [frozenset(at - 1 for at in end.urgents) for end in (client, server)]
        return Result(client.received, server.received, urgent[0], urgent[1], steps, now, self.dropped)

    def _check_finished(self, steps: int) -> None:
        if self._events and self.client.done and self.server.done:
            raise AssertionError(
                f"both ends are done but not at rest after {steps} steps: acknowledgements of acknowledgements"
            )
        for end in (self.client, self.server):
            if not end.done:
                wrote = f"wrote {end.written} of {len(end.stack.script)}, sent {end.max} of {end.end}"
                got = f"acknowledged {end.una}, received {end.expected}, FIN {end.ended}"
                end.fail(f"not finished after {steps} steps: {wrote}, {got}")

    def emit(self, segment: Segment, now: float) -> None:
        """Send a packet to the box."""
        packet = segment.pack()
        self.log.append(f"{now:7.3f} sent {segment}")
        if segment.payload and self.chance.strikes(self.corrupt):
            at = len(packet) - 1 - self.chance.rng.randrange(len(segment.payload))
            packet = packet[:at] + bytes((packet[at] ^ 1 << self.chance.rng.randrange(8),)) + packet[at + 1 :]
        self._carry(packet, now, self._at_box)

    def _carry(self, packet: bytes, now: float, then: Callable[[bytes, float], None]) -> None:
        """Take a packet over one leg of the network."""
        if self.chance.strikes(self.loss):
            self.log.append(f"{now:7.3f} lost {Segment.unpack(packet)[0]}")
            return
        for _ in range(1 + self.chance.strikes(self.duplicate)):
            late = self.chance.rng.choice((0.005, 0.03, 0.1, 0.5)) if self.chance.strikes(self.reorder) else 0.0
            self.at(now + LATENCY + late, lambda when: then(packet, when))

    def _at_box(self, packet: bytes, now: float) -> None:
        for answer in self.box(packet, now):
            self._carry(bytes(answer), now, self._at_end)

    def _at_end(self, packet: bytes, now: float) -> None:
        segment, good = Segment.unpack(packet)
        self.log.append(f"{now:7.3f} got  {segment}")
        for end in (self.client, self.server):
            if end.stack.local.address == segment.destination.address:
                if good:
                    end.receive(segment, now)
                elif not self.corrupt:
                    end.fail(f"wrong checksum: {segment}")
                self.dropped += not good
                return
        raise AssertionError(f"nobody has the address {segment.destination.address}: {segment}")
