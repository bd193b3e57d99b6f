"""One conversation through the pipeline, segment by segment, with the troubles of a network, under watch.

The law: each end gets one consistent stream, is told of no octet that it did not send, and gets all of it if it repeats
what is not acknowledged.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Sequence

from nat_lb.expectation import Expectation
from nat_lb.flow import Direction, Endpoint, FlowKey
from nat_lb.packet import TCP, UDP, build, pseudo_sum, sealed
from nat_lb.payload import TcpRewriter
from nat_lb.segment import ACK, FIN, LAYOUTS, PSH, RST, SYN
from nat_lb.testing.dialogue import Dialogue
from nat_lb.tracker import Tracker
from nat_lb.verdict import NotForwarded, Reason
from tests.bench.fuzz.mutation import Said
from tests.bench.fuzz.watch import (
    Broken,
    Place,
    Way,
    check_kept,
    check_memory,
    check_nothing_left,
    check_way,
    way,
    way_of,
)

_WRAP = 1 << 32


def addresses(source: Endpoint, destination: Endpoint) -> tuple[bytes, bytes]:
    """Return two packed addresses."""
    return source.address.packed, destination.address.packed


def unsourced(tracker: type[Tracker], number: int) -> bytes:
    """Return the header of a packet to a number, in a protocol whose packets do not name their source."""
    header = bytearray(tracker.header)
    for place, _, value in tracker.signature:
        header[place] |= value
    at = tracker.ports_at[1]
    assert at is not None
    header[at : at + 2] = number.to_bytes(2, "big")
    return bytes(header)


class Talk:
    """A connection of the client of a dialogue, at a port of its own, to the service of a `Place`."""

    def __init__(self, place: Place, dialogue: Dialogue, port: int, rng: random.Random, now: float) -> None:
        self.place, self.dialogue, self.rng, self.now = place, dialogue, rng, now
        self.lifecycle = place.director.lifecycle
        self.client = Endpoint(dialogue.client.address, port)
        self.ends: tuple[Way, Way] = way(self.client, dialogue.virtual), way(dialogue.real, self.client)
        self.arrive: tuple[Way, Way] = way(self.client, dialogue.real), way(dialogue.virtual, self.client)
        self.first = [rng.getrandbits(32), rng.getrandbits(32)]  # by direction: sequence number of the first octet
        self.sent = [bytearray(), bytearray()]  # as its sender wrote it
        self.got = [bytearray(), bytearray()]  # as its receiver has it
        self._to_say: list[Said] = []  # what is left, the last first
        self.acked = [0, 0]  # how many of its octets a sender knows to have arrived
        self.key = FlowKey(UDP if self.is_udp else TCP, self.client, dialogue.virtual).to_bytes()

    @property
    def is_udp(self) -> bool:
        """Whether datagrams are sent."""
        return self.place.helper.protocol == "udp"

    def run(self, said: Sequence[Said]) -> None:
        """Say it all; raises Broken."""
        if not self.is_udp:
            for direction, flags in (Direction.ORIGINAL, SYN), (Direction.REPLY, SYN | ACK):
                self._segment(direction, -1, b"", flags)
            self._segment(Direction.ORIGINAL, 0, b"", ACK)
        self._to_say = list(reversed(said))
        while self._to_say:
            self._say(*self._to_say.pop())
            connection = self.lifecycle.connections.flows.get(self.key)
            if connection is not None:
                check_kept(self.place, connection)
            if self.rng.random() < 0.3:
                self._follow()
        if not self.is_udp:
            self._deliver()
            if self.rng.random() < 0.5:
                self._finish()
        self._end()

    def _finish(self) -> None:
        """Let both ends close, which lets go of all that was held, or one abort."""
        for direction in Direction:
            if self.rng.random() < 0.2:
                self._segment(direction, len(self.sent[direction]), b"", RST | ACK)
                return
            self._segment(direction, len(self.sent[direction]), b"", FIN | ACK)
            connection = self.lifecycle.connections.flows.get(self.key)
            rewriter = connection.rewriter if connection is not None else None
            if isinstance(rewriter, TcpRewriter):
                stream, got = rewriter._streams[direction], len(self.got[direction])
                image = (stream.map.forward(stream.next) - self.first[direction]) % _WRAP
                if image != got:
                    raise Broken(f"{got} octets of {image} had arrived when {direction.name} closed")

    def _say(self, direction: Direction, data: bytes) -> None:
        if self.is_udp:
            self._datagram(direction, data)
            return
        start = len(self.sent[direction])
        self.sent[direction] += data
        for begin, end in self._pieces(len(data)):
            self._travel(direction, start + begin, start + end)
            if self._to_say and self._to_say[-1][0] is not direction and self.rng.random() < 0.1:
                self._say(*self._to_say.pop())  # the other end does not wait for the rest
        if self.rng.random() < 0.5:
            self._segment(Direction(1 - direction), len(self.sent[1 - direction]), b"", ACK)

    def _pieces(self, size: int) -> Iterator[tuple[int, int]]:
        """Cut a message: mostly not at all, or in some pieces, or in pieces as small as octets."""
        how = self.rng.random()
        step = 1460 if how < 0.7 else 1 + int(self.rng.random() * size) if how < 0.95 else 1 + size // 20
        step = max(1, min(step, 1460))
        return ((begin, min(begin + step, size)) for begin in range(0, size, step))

    def _travel(self, direction: Direction, begin: int, end: int) -> None:
        """Send octets, which may be damaged or lost on the way or overtaken by later ones, until they have passed."""
        trouble = self.rng.random()
        octets = bytes(self.sent[direction][begin:end])
        if trouble < 0.03:
            self._segment(direction, begin, octets, ACK, damaged=True)
        elif trouble < 0.06:
            self._segment(direction, end, bytes(self.sent[direction][end : end + 1460]), ACK, lost=True)
        elif trouble < 0.09:
            self._segment(direction, begin, octets, ACK, lost=True)
            self._repeat(direction, end)
            return
        elif trouble < 0.15:  # again, with other boundaries
            again = max(0, begin - int(self.rng.random() * 60))
            self._segment(direction, again, bytes(self.sent[direction][again : again + 1460][: end - again]), ACK)
        self._segment(direction, begin, octets, ACK | PSH)
        if trouble > 0.93:
            self._segment(direction, begin, octets, ACK)  # its sender waits for an acknowledgement

    def _repeat(self, direction: Direction, end: int) -> None:
        """Send again all that is not acknowledged."""
        step = 1 + int(self.rng.random() * 1460)
        for begin in range(self.acked[direction], end, step):
            self._segment(direction, begin, bytes(self.sent[direction][begin : min(begin + step, end)]), ACK)

    def _deliver(self) -> None:
        """See that all octets arrive that both ends repeat until they are acknowledged."""
        for _ in range(4):
            for direction in Direction:
                if self.acked[direction] < len(self.sent[direction]):
                    self._segment(Direction(1 - direction), len(self.sent[1 - direction]), b"", ACK)
                    self._repeat(direction, len(self.sent[direction]))
        for direction, sent in zip(Direction, self.sent, strict=True):
            if self.acked[direction] < len(sent):
                raise Broken(f"{self.acked[direction]} of {len(sent)} octets of {direction.name} are acknowledged")

    def _segment(
        self, direction: Direction, at: int, data: bytes, flags: int, *, lost: bool = False, damaged: bool = False,
    ) -> None:  # fmt: skip
        """Send a segment of the octets from `at` on; if `lost`, what comes of it never arrives."""
        source, destination, ports = self.ends[direction]
        numbers = (
            (self.first[direction] + at) % _WRAP,
            (self.first[1 - direction] + len(self.got[1 - direction])) % _WRAP,
        )
        seq, ack = numbers if flags & ACK else (numbers[0], 0)
        head = ports + struct.pack("!LLBBHHH", seq, ack, 0x50, flags, 0xFFFF, 0, 0)
        body = sealed(head + data, 16, pseudo_sum(source, destination, TCP, len(head) + len(data)))
        if damaged and data:
            place = 20 + int(self.rng.random() * len(data))
            body = body[:place] + bytes((body[place] ^ 1 << int(self.rng.random() * 8),)) + body[place + 1 :]
        for packet in self._process(build(source, destination, TCP, body)):
            if not (lost or damaged):
                self._arrives(direction, packet)

    def _arrives(self, direction: Direction, packet: bytes) -> None:
        """Compare a packet with what its receiver has, and let it have the rest."""
        layout = LAYOUTS[self.client.address.version]
        seq, ack, words, _ = layout.middle(packet)
        if way_of(packet)[:2] == self.ends[direction][1::-1]:
            self._acknowledged(direction, ack)
            return
        check_way(packet, self.arrive[direction], TCP)
        if words & ACK and not words & (SYN | RST):
            self._acknowledged(Direction(1 - direction), ack)
        text = packet[layout.at + (words >> 12) * 4 :]
        got = self.got[direction]
        at = (seq - self.first[direction] + (1 << 31)) % _WRAP - (1 << 31)
        if not text or words & SYN:
            return
        if at < 0:
            raise Broken(f"octets came that stand {-at} before the first")
        if at > len(got):
            return  # one before it was lost; all of this will come again
        if got[at : at + len(text)] != text[: len(got) - at]:
            raise Broken(f"octets from {at} on came once as {bytes(got[at : at + len(text)])!r} and then as {text!r}")
        got += text[len(got) - at :]

    def _acknowledged(self, direction: Direction, ack: int) -> None:
        """Check that a sender is told of nothing that it did not send; its FIN counts one."""
        at = (ack - self.first[direction] + (1 << 31)) % _WRAP - (1 << 31)
        if not 0 <= at <= len(self.sent[direction]) + 1:
            raise Broken(f"{at} octets of {direction.name} are acknowledged, {len(self.sent[direction])} were sent")
        self.acked[direction] = max(self.acked[direction], min(at, len(self.sent[direction])))

    def _datagram(self, direction: Direction, data: bytes) -> None:
        source, destination, ports = self.ends[direction]
        body = ports + struct.pack("!HH", 8 + len(data), 0) + data
        body = sealed(body, 6, pseudo_sum(source, destination, UDP, len(body)))
        for packet in self._process(build(source, destination, UDP, body)):
            check_way(packet, self.arrive[direction], UDP)

    def _process(self, packet: bytes) -> Sequence[bytes]:
        verdict = self.place.director.pipeline.process(packet, self.now)
        if self.place.faults.raised:
            where, error = self.place.faults.raised[0]
            raise Broken(f"{where} raised {type(error).__name__}: {error}") from error
        if isinstance(verdict, NotForwarded):
            if verdict.reason is Reason.PLUGIN_FAULT:
                raise Broken("a packet was dropped for a fault")
            return verdict.packets
        return (bytes(verdict),)

    def _follow(self) -> None:
        """Open what is expected, as the client or the real server would, and see where it leads."""
        parent = self.lifecycle.connections.flows.get(self.key)
        for one in list(self.lifecycle.expectations.of(parent)) if parent is not None else ():
            if not one.tracking.has_ports:
                self._call(one)
                continue
            protocol, port = one.tracking.tracker.protocol, 1024 + int(self.rng.random() * 60000)
            for direction in set(one.keys.values()):
                if direction is Direction.ORIGINAL and one.public is not None and one.real is not None:
                    source = one.client or Endpoint(self.client.address, port)
                    self._opens(way(source, one.public), way(source, one.real), protocol)
                elif direction is Direction.REPLY and one.client is not None and one.real is None:
                    self._opens(way(Endpoint(self.dialogue.real.address, port), one.client), None, protocol)

    def _call(self, one: Expectation) -> None:
        """Let both ends speak over what is expected, in packets that name their receiver's number alone."""
        if one.public is None or one.real is None or one.client is None:
            return  # the number is reserved, and nobody may use it yet
        tracker, virtual = one.tracking.tracker, self.dialogue.virtual
        for source, to, seen, reached in (
            (one.client, one.public, one.client, one.real),
            (one.real, one.client, virtual, one.client),
        ):
            packet = build(*addresses(source, to), tracker.protocol, unsourced(tracker, to.port))
            verdict = self.place.director.pipeline.process(packet, self.now)
            if isinstance(verdict, NotForwarded):
                raise Broken(f"a packet to number {to} was not forwarded: {verdict.reason}")
            there, header = addresses(seen, reached), unsourced(tracker, reached.port)
            if way_of(bytes(verdict))[:2] != there or not bytes(verdict).endswith(header):
                raise Broken(f"a packet to number {to} came as {bytes(verdict).hex()}, expected one to {reached}")

    def _opens(self, there: Way, wanted: Way | None, protocol: int) -> None:
        source, destination, ports = there
        rest = struct.pack("!LLBBHHH", 1, 0, 0x50, SYN, 0xFFFF, 0, 0) if protocol == TCP else b"\0\x08\0\0"
        body = sealed(
            ports + rest, 16 if protocol == TCP else 6, pseudo_sum(source, destination, protocol, 4 + len(rest))
        )
        verdict = self.place.director.pipeline.process(build(source, destination, protocol, body), self.now)
        if isinstance(verdict, NotForwarded):
            if verdict.reason is not Reason.FLOW_TAKEN:
                raise Broken(f"a packet to {[part.hex() for part in there]} was not forwarded: {verdict.reason}")
            return
        if wanted is not None:
            check_way(bytes(verdict), wanted, protocol)
        elif way_of(bytes(verdict))[:2] != (self.dialogue.virtual.address.packed, self.client.address.packed):
            raise Broken(f"the real server's own connection came as {bytes(verdict).hex()}")

    def _end(self) -> None:
        """Close everything and see that nothing is left."""
        connections = self.lifecycle.connections
        if self.rng.random() < 0.01:
            check_memory(connections.flows.get(self.key))
        for connection in list(connections):
            if connections.holds(connection):
                self.lifecycle.close(connection, "fuzz", self.now)
        check_nothing_left(self.lifecycle)
