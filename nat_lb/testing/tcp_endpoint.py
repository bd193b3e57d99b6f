"""A TCP endpoint: sender, receiver and application, driven by segments and timers.

The law: an endpoint trusts nobody.  It raises AssertionError for whatever no sound peer sends; `tcp_model` lists it.
Positions count octets of sequence space from the initial sequence number: 0 is SYN, the first octet is 1.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, NoReturn, Protocol

from nat_lb.flow import Endpoint
from nat_lb.testing.tcp_segment import (
    ACK,
    FIN,
    MSS,
    PSH,
    RST,
    SACK,
    SACK_PERMITTED,
    SYN,
    TIMESTAMPS,
    URG,
    Segment,
    signed,
)

FIRST_TIMEOUT, LAST_TIMEOUT, DELAYED_ACK, READ_LATER = 0.2, 1.6, 0.04, 0.3  # seconds


def anything(_read: bytes) -> bool:
    """Wait for nothing."""
    return True


class Write(NamedTuple):
    """The application writes `data` after the write before, once `at` has come and `after` holds for what it read."""

    data: bytes
    at: float = 0.0
    after: Callable[[bytes], bool] = anything
    urgent: bool = False


def lines(count: int) -> Callable[[bytes], bool]:
    """Return the condition that so many lines were read."""
    return lambda read: read.count(b"\n") >= count


@dataclass(frozen=True)
class Stack:
    """How one endpoint's TCP behaves and what its application writes; it closes after the last write."""

    local: Endpoint
    remote: Endpoint
    script: Sequence[Write] = ()
    first: int | None = None  # initial sequence number
    mss: int = 1460
    window: int = 65535
    sack: bool = True
    timestamps: bool = True
    nagle: bool = False  # no small segment while another small one is not acknowledged
    recut: bool = True  # retransmissions have other boundaries, and may take new octets along
    delayed_ack: bool = True
    slow_reader: float = 0.0  # chance that what arrives is read later, so that the window closes
    keepalive: float = 0.0  # chance of a keep-alive after each segment received


class Chance:
    """Faults, of which there is a bounded number."""

    def __init__(self, rng: random.Random, faults: int) -> None:
        self.rng = rng
        self.left = faults

    def strikes(self, probability: float) -> bool:
        """Whether a fault happens now."""
        hit = bool(probability) and self.left > 0 and self.rng.random() < probability
        self.left -= hit
        return hit


class Surroundings(Protocol):
    """What an endpoint sees of the world."""

    def at(self, when: float, event: Callable[[float], None]) -> None:
        """Let something happen at a time."""

    def emit(self, segment: Segment, now: float) -> None:
        """Send a segment."""


class Tcp:
    """One endpoint: a sender and a receiver in one, as RFC 9293 §3.10 has it, without congestion control."""

    def __init__(self, name: str, stack: Stack, chance: Chance, world: Surroundings) -> None:
        self.name, self.stack, self.chance, self.world = name, stack, chance, world
        rng = chance.rng
        self.isn = (
            rng.choice((rng.getrandbits(32), 0xFFFFFFFF - rng.randrange(100))) if stack.first is None else stack.first
        )
        self.una = self.nxt = self.max = 0  # positions: oldest unacknowledged, next to send, next never sent
        self.edge = 1  # of the peer's window
        self.out = bytearray()
        self.written = 0  # entries of the script
        self.closed = False
        self.urgent = 0
        self.room = 536
        self.cuts: set[int] = set()  # where segments ended when first sent
        self.small = 0  # where the last segment below the MSS ended
        self.sacked: set[int] = set()
        self.repeats = 0  # duplicate acknowledgements
        self.timeout, self.timer, self.armed = FIRST_TIMEOUT, 0, False
        self.irs: int | None = None
        self.expected = 0  # the next octet's position
        self.octets: dict[int, int] = {}  # position -> octet, all that were ever accepted
        self.read = 1  # how far the application has read
        self.fin: int | None = None
        self.urgents: set[int] = set()
        self.acks_due = 0
        self.sack = self.timestamps = False
        self.clock, self.echo = rng.getrandbits(32), 0

    @property
    def received(self) -> bytes:
        """What arrived in order."""
        return bytes(self.octets[at] for at in range(1, self.expected - self.ended))

    @property
    def ended(self) -> bool:
        """Whether the peer's FIN arrived in order."""
        return self.fin is not None and self.expected > self.fin

    @property
    def end(self) -> int:
        """The position after all that is to be sent."""
        return 1 + len(self.out) + self.closed

    @property
    def done(self) -> bool:
        """Whether all was sent, acknowledged and received."""
        return self.closed and self.una == self.end and self.ended

    def fail(self, what: str) -> NoReturn:
        """Blame the box."""
        raise AssertionError(f"{self.name}: {what}")

    # The sender.

    def pump(self, now: float, segments: int = 8) -> None:
        """Send what may be sent, at most so many segments."""
        for _ in range(segments):
            while self.nxt in self.sacked:
                self.nxt += 1
            stop = self._cut(self.nxt)
            if stop <= self.nxt:
                break
            self._send(self.nxt, stop, now)
            self.nxt = stop
        waits = self.una < self.max or (self.una and self.end > self.max)
        if waits and not self.armed:
            self._arm(now)

    def _cut(self, start: int) -> int:
        """Return where a segment at `start` ends; there itself if none may be sent."""
        if start == 0 or self.una == 0:
            return int(start == 0)
        stop = min(start + self.room, self.end, self.edge)
        if start >= self.max:
            small = stop - start < self.room
            waits = self.stack.nagle and small and self.una < self.small and not self.closed
            return start if waits else stop
        stop = next((at for at in range(start, stop) if at in self.sacked), stop)
        if self.stack.recut and stop > start:
            return self.chance.rng.randint(start + 1, stop)
        return min(stop, *(cut for cut in self.cuts if cut > start))

    def _send(self, start: int, stop: int, now: float) -> None:
        """Send the octets from `start` to `stop`, nothing but an acknowledgement if there are none."""
        payload = bytes(self.out[max(start, 1) - 1 : min(stop, 1 + len(self.out)) - 1]) if stop > 1 else b""
        flags = ACK if self.irs is not None else 0
        if stop > start:
            flags |= (start == 0 and SYN) | (self.closed and stop == self.end and FIN)
            flags |= PSH if payload and stop >= 1 + len(self.out) else 0
            if start >= self.max and stop - start < self.room:
                self.small = stop
            self.cuts |= {stop} if stop > self.max else set()
            self.max = max(self.max, stop)
        urgent = self.urgent - start if start < self.urgent and start else 0
        flags |= URG if urgent else 0
        self.acks_due = 0
        window = max(self.read + self.stack.window - self.expected, 0) if self.irs is not None else self.stack.window
        ack = (self.irs or 0) + self.expected & 0xFFFFFFFF if flags & ACK else 0
        seq, options = self.isn + start & 0xFFFFFFFF, self._options(flags, now)
        segment = Segment(
            self.stack.local, self.stack.remote, seq, ack, flags, min(window, 65535), urgent, options, payload
        )
        self.world.emit(segment, now)

    def _options(self, flags: int, now: float) -> bytes:
        options = b""
        if flags & SYN:
            options = struct.pack("!BBH", MSS, 4, self.stack.mss)
            options += bytes((SACK_PERMITTED, 2, 1, 1)) if self.stack.sack else b""
        if self.timestamps or (flags & SYN and not flags & ACK and self.stack.timestamps):
            options += struct.pack("!BBBBLL", 1, 1, TIMESTAMPS, 10, self._ticks(now), self.echo)
        if self.sack and (blocks := self._blocks()[: 3 if self.timestamps else 4]):
            options += bytes((1, 1, SACK, 2 + 8 * len(blocks)))
            irs = self.irs or 0
            options += b"".join(struct.pack("!LL", irs + a & 0xFFFFFFFF, irs + b & 0xFFFFFFFF) for a, b in blocks)
        return options

    def _ticks(self, now: float) -> int:
        return self.clock + int(now * 1000) & 0xFFFFFFFF

    def _blocks(self) -> list[tuple[int, int]]:
        """Return the ranges beyond the gap, in any order (RFC 2018 §4 wants the latest first)."""
        ahead = sorted(at for at in self.octets if at > self.expected)
        starts = [at for at in ahead if at - 1 not in self.octets]
        ends = [at + 1 for at in ahead if at + 1 not in self.octets]
        blocks = list(zip(starts, ends, strict=True))
        self.chance.rng.shuffle(blocks)
        return blocks

    def _arm(self, now: float) -> None:
        self.timer += 1
        self.armed = True
        serial = self.timer
        self.world.at(now + self.timeout, lambda then: self._time_out(then) if serial == self.timer else None)

    def _time_out(self, now: float) -> None:
        """Go back to the first unacknowledged octet, or probe a closed window with one."""
        self.armed = False
        if self.una and self.una == self.max == self.end:
            return
        self.timeout = min(2 * self.timeout, LAST_TIMEOUT)
        if self.chance.rng.random() < 0.5:
            self.sacked.clear()  # the receiver may have dropped what it had not acknowledged (RFC 2018 §8)
        self.nxt = self.una
        self.edge = max(self.edge, self.una + 1)
        self.pump(now, self.chance.rng.randint(1, 3))

    def _take_ack(self, segment: Segment, now: float) -> None:
        ack = self.una + signed(segment.ack - self.isn - self.una)
        if not 0 <= ack <= self.max:
            self.fail(f"position {ack} is acknowledged but only 0 to {self.max} were sent: {segment}")
        self._take_sack(segment)
        if ack < self.una:
            return
        self.edge = max(self.edge, ack + segment.window)
        if ack > self.una:
            self.una, self.repeats, self.timeout = ack, 0, FIRST_TIMEOUT
            self.nxt = max(self.nxt, ack)
            self.timer += 1
            self.armed = False
            return
        if self.una < self.max and not segment.payload and not segment.flags & (SYN | FIN):
            self.repeats += 1
            if self.repeats == 3 and self.una and (stop := self._cut(self.una)) > self.una:
                self._send(self.una, stop, now)  # fast retransmit (RFC 5681 §3.2)

    def _take_sack(self, segment: Segment) -> None:
        blocks = segment.option(SACK)
        if blocks is None:
            return
        edges = [self.una + signed(edge - self.isn - self.una) for (edge,) in struct.iter_unpack("!L", blocks)]
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            if not 0 < start < stop <= self.max:
                self.fail(f"SACK block {start} to {stop} but only 0 to {self.max} were sent: {segment}")
            self.sacked.update(range(max(start, self.una), stop))

    # The receiver.

    def receive(self, segment: Segment, now: float) -> None:
        """Take a segment whose checksums are right."""
        if (segment.source, segment.destination) != (self.stack.remote, self.stack.local):
            self.fail(f"not my connection, {self.stack.remote} > {self.stack.local}: {segment}")
        if segment.flags & RST:
            self.fail(f"reset: {segment}")
        if len(segment.options) + len(segment.payload) > self.stack.mss:
            self.fail(f"longer than the MSS {self.stack.mss}: {segment}")
        if self.irs is None and not self._synchronise(segment):
            return
        start = self.expected + signed(segment.seq - (self.irs or 0) - self.expected)
        if segment.flags & SYN and start:
            self.fail(f"another SYN, at position {start}: {segment}")
        if not self._is_recent(segment, start, now):
            self._send(self.max, self.max, now)
            return
        if segment.flags & ACK:
            self._take_ack(segment, now)
        if segment.flags & SYN and self.una == 0:
            self.nxt = 0
        before = self.acks_due
        self._take_octets(segment, start)
        self.run(now)
        if self.acks_due > before + 1 or self.acks_due > 1 or (self.acks_due and not self.stack.delayed_ack):
            self._send(self.max, self.max, now)
        elif self.acks_due:
            self.world.at(now + DELAYED_ACK, self._acknowledge)
        if self.chance.strikes(self.stack.keepalive):
            self.world.at(now + DELAYED_ACK, self._keep_alive)

    def _synchronise(self, segment: Segment) -> bool:
        if not segment.flags & SYN:
            return False
        self.irs, self.expected = segment.seq, 0
        mss, stamp = segment.option(MSS), segment.option(TIMESTAMPS)
        self.sack = self.stack.sack and segment.option(SACK_PERMITTED) is not None
        self.timestamps = self.stack.timestamps and stamp is not None
        self.echo = int.from_bytes(stamp[:4], "big") if stamp else 0
        spare = 40 if self.sack else 12  # so that timestamps and SACK blocks always fit
        self.room = max(int.from_bytes(mss, "big") if mss else 536, spare + 1) - spare
        return True

    def _is_recent(self, segment: Segment, start: int, now: float) -> bool:
        """Protect against old duplicates by their timestamps (RFC 7323 §5.3)."""
        if not self.timestamps:
            return True
        stamp = segment.option(TIMESTAMPS)
        if stamp is None:
            self.fail(f"no timestamp, though both sides use it: {segment}")
        value, echo = struct.unpack("!LL", stamp)
        if segment.flags & ACK and signed(self._ticks(now) - echo) < 0:
            self.fail(f"a timestamp comes back that was not sent yet: {segment}")
        if signed(value - self.echo) < 0 and not segment.flags & SYN:
            return False
        if start <= self.expected:
            self.echo = value
        return True

    def _take_octets(self, segment: Segment, start: int) -> None:
        """Keep what lies in the window, and note how urgently an acknowledgement is due: 2 or more is at once."""
        syn, fin = bool(segment.flags & SYN), bool(segment.flags & FIN)
        first = start + syn
        stop = first + len(segment.payload)
        edge = self.read + self.stack.window
        if first < self.expected or first > max(self.expected, edge) or syn:
            self.acks_due += 2  # a duplicate, a keep-alive or a probe (RFC 9293 §3.10.7.4)
        for at, octet in enumerate(segment.payload, first):
            known = self.octets.get(at)
            if known not in (None, octet) or at < 1:
                self.fail(f"octet {at} was {known} and is now {octet}: {segment}")
            if at < edge:
                self.octets[at] = octet
        if self.fin is not None and ((segment.payload and stop > self.fin) or (fin and stop != self.fin)):
            self.fail(f"FIN was at position {self.fin}: {segment}")
        if fin and stop <= edge:
            self.fin = stop
        if segment.flags & URG:
            self.urgents.add(start + segment.urgent - 1)
        if syn and not self.expected:
            self.expected = 1
        before = self.expected
        while self.expected in self.octets:
            self.expected += 1
        if self.expected == self.fin:
            self.expected += 1
        if segment.payload or fin:
            in_order = first == before and self.expected == stop + fin
            self.acks_due += 1 if in_order else 2

    def _acknowledge(self, now: float) -> None:
        if self.acks_due:
            self._send(self.max, self.max, now)

    def _keep_alive(self, now: float) -> None:
        """Send the last octet again, or nothing at its position (RFC 9293 §3.8.4)."""
        if self.una == self.max > 1 and not self.closed:
            self._send(self.max - 1, self.max - self.chance.rng.randrange(2), now)

    # The application.

    def run(self, now: float) -> None:
        """Read, write and send."""
        if self.chance.strikes(self.stack.slow_reader):
            self.world.at(now + READ_LATER, self._read_all)
        else:
            self._read_all(now)

    def _read_all(self, now: float) -> None:
        in_order = max(self.expected - self.ended, 1)
        was_closed = self.read + self.stack.window - self.expected < self.stack.mss
        self.acks_due += 2 if was_closed and in_order > self.read else 0
        self.read = in_order
        self._write(now)
        if self.acks_due > 1:
            self._send(self.max, self.max, now)

    def _write(self, now: float) -> None:
        """Make the writes whose time has come, each for itself, and close after the last."""
        script, read = self.stack.script, self.received[: self.read - 1]
        while self.una and self.written < len(script) and script[self.written].after(read):
            entry = script[self.written]
            if now < entry.at:
                self.world.at(entry.at, self._write)
                break
            self.out += entry.data
            self.urgent = 1 + len(self.out) if entry.urgent else self.urgent
            self.written += 1
            self.pump(now)
        self.closed = self.closed or (self.una > 0 and self.written == len(script))
        self.pump(now)
