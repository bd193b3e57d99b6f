"""One direction of a TCP connection whose payload is rewritten: what has passed, what is held, where it moved.

The law: octets are admitted in order and once; those from `held` on do not pass yet; every octet that passed keeps
its image (`seqadj`). Positions are unwrapped sequence numbers.
"""

from __future__ import annotations

from nat_lb.errors import PacketError
from nat_lb.segment import MODULO, acknowledged_in
from nat_lb.seqadj import SequenceMap, unwrap
from nat_lb.verdict import Reason


class Stream:
    """State of one direction; `first` is the position of the first octet, None while it is not known."""

    __slots__ = ("acked", "first", "held", "last", "map", "mss", "next", "overlong", "tail", "undecided", "vouched")

    def __init__(self, first: int | None = None) -> None:
        self.first = first
        self.next = first or 0  # the next new octet
        self.undecided = self.next  # the first octet of the incomplete message
        self.held = self.next  # the first octet that must not pass yet; `next` if all may
        self.tail = b""  # the octets before `next` that are still needed
        self.overlong = False  # inside a message that is too long to be read
        self.map = SequenceMap()
        self.vouched: tuple[int, bytes] | None = None  # octets that the director acknowledged in the receiver's place
        self.mss: int | None = None  # the largest payload plus TCP options that the receiver takes, octets
        self.last: bytes | None = None  # the sender's latest packet, for its window
        self.acked: int | None = None  # what it acknowledges, None if nothing

    @property
    def idle(self) -> bool:
        """Whether nothing moved and nothing is held, so that headers pass as they are."""
        return self.held == self.next and self.vouched is None and self.map.still

    def is_steady(self, acked: int | None) -> bool:
        """Whether the numbers of all octets to come move alike, and none waits for others.

        For that the receiver has to have whole texts only: `acked` is what it acknowledges.
        """
        if self.first is None or acked is None or self.vouched is not None or self.overlong:
            return False
        if not self.undecided == self.held == self.next:
            return False
        return not self.map.replacements or self.original(acked) >= self.map.replacements[-1].end

    @property
    def pending(self) -> bytes:
        """The octets of the incomplete message."""
        return self.tail[len(self.tail) - (self.next - self.undecided) :]

    def note(self, data: bytes) -> None:
        """Keep the sender's packet as its latest, unless it is an old one that comes late."""
        ack = acknowledged_in(data)
        if self.acked is None or (ack is not None and (ack - self.acked) % MODULO < MODULO // 2):
            self.last, self.acked = data, ack

    def position(self, sequence: int) -> int:
        """Return the position of a sequence number that the sender wrote."""
        return unwrap(sequence, self.next)

    def admit(self, start: int, payload: bytes) -> bool:
        """Append the octets that are new and tell whether there were any; raises PacketError beyond a gap."""
        if start > self.next:
            raise PacketError(Reason.OUT_OF_ORDER)
        new = payload[self.next - start :]
        self.tail += new
        self.next += len(new)
        return bool(new)

    def earliest_unpassed(self, start: int) -> int:
        """Return from where on a segment at `start` has to bring the octets before it along."""
        if self.vouched and self.vouched[0] <= start <= self.vouched[0] + len(self.vouched[1]):
            return self.vouched[0]
        # With nothing held, a number past `next` is right as it is: a FIN was counted, or a segment was lost.
        return start if self.held == self.next else min(start, self.held)

    def render(self, start: int, payload: bytes, begin: int) -> tuple[int, bytes]:
        """Return position and octets of a segment's image: as far as it may pass, and from `begin` on."""
        if self.map.floor is not None and payload and start < self.map.floor:
            raise PacketError(Reason.STALE_RETRANSMISSION)
        octets = self._kept(begin, start) + payload
        return self.map.render(begin, octets[: max(self.held - begin, 0)])

    def _kept(self, begin: int, end: int) -> bytes:
        if begin >= end:
            return b""
        if self.vouched and begin == self.vouched[0]:
            vouched = self.vouched[1][: end - begin]
            return vouched + self._kept_tail(begin + len(vouched), end)
        return self._kept_tail(begin, end)

    def _kept_tail(self, begin: int, end: int) -> bytes:
        base = self.next - len(self.tail)
        return self.tail[begin - base : end - base]

    def trim(self) -> None:
        """Forget the octets that are no longer needed."""
        self.tail = self.tail[len(self.tail) - (self.next - min(self.undecided, self.held)) :]

    def vouch(self, received: int) -> int | None:
        """Note that the director answers for all octets so far, and return the position to acknowledge.

        An acknowledgement covers all octets before it too, so those must be safe: the receiver acknowledged them (all
        before `received`), or the director answers for them already. None if not; the sender has to send them first.
        """
        if received >= self.held:
            self.vouched = (self.held, self._kept_tail(self.held, self.next))
        elif self.vouched and self.held <= self.vouched[0] + len(self.vouched[1]):
            start, octets = self.vouched
            self.vouched = (start, octets + self._kept_tail(start + len(octets), self.next))
        else:
            return None
        return self.next

    def acknowledge(self, image: int) -> int:
        """Return the acknowledgement to give to the sender for one of the rewritten stream."""
        position = self.original(image)
        self.map.acknowledge(position)
        if self.vouched is None:
            return position
        end = self.vouched[0] + len(self.vouched[1])
        if position >= end:
            self.vouched = None
        return max(position, end)

    def original(self, image: int) -> int:
        """Return the sender's position for a sequence number of the rewritten stream."""
        return self.map.backward(unwrap(image, self.map.forward(self.next)))

    def original_block(self, left: int, right: int) -> tuple[int, int]:
        """Return the sender's octets that a SACK block covers whole (RFC 2018): none of a text that came in part."""
        reference = self.map.forward(self.next)
        return self.map.backward(unwrap(left, reference), up=True), self.map.backward(unwrap(right, reference))
