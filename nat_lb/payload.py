"""Payload rewriting: the only place where lengths change.

The law: what a receiver gets is one consistent stream, the sender's with every edit made exactly once, whatever was
lost, sent twice, reordered or cut differently on the way. Hence:

- Octets are shown to the helper in order, as whole messages, once. A segment beyond a gap is dropped; its sender will
  send it again.
- Octets of an incomplete message that an edit may reach into are *held*: the segment goes on without them (perhaps
  empty, for its acknowledgement), and they go out in front of those that complete the message.
- A sender that waits for the acknowledgement of held octets before it sends more (Nagle, RFC 9293 §3.7.4) would wait
  for ever. When it sends them again, the director acknowledges them: it *vouches* for them, and the segment that
  follows them carries them along, however often, until the receiver has them. So the sender's own retransmissions
  make their delivery reliable.
- What the helper ignores is verified and counted all the same: whatever comes after it is shown in its order.
- All the rest is sequence adjustment (`seqadj`): of sequence numbers with the sender's map, of acknowledgements and
  SACK with the receiver's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nat_lb.edits import Ledger, show
from nat_lb.errors import PacketError
from nat_lb.flow import Direction
from nat_lb.helper import Helper, Message, Peers
from nat_lb.nat import Translation
from nat_lb.segment import ACK, FIN, LAYOUTS, MIDDLE, MODULO, PSH, SYN, URG, Segment
from nat_lb.seqadj import HALF
from nat_lb.stream import Stream
from nat_lb.verdict import Reason

DEFAULT_MSS = 536  # of a SYN without the option (RFC 9293 §3.7.1)


class Rewritten(NamedTuple):
    """More than one packet came of one: `onward` are still to be translated, `back` go to the sender as they are."""

    onward: Sequence[bytes]
    back: Sequence[bytes] = ()


class TcpRewriter:
    """Both directions of one connection, and its helper.

    The connection is *steady* while no octet waits for others and all numbers to come move alike. Then what only
    acknowledges, and brings no more than the next octets, which the helper ignores, goes straight `through`. For all
    other packets there is `rewrite`; it tells whether the connection is steady after them.
    """

    __slots__ = ("_helper", "_layout", "_ledger", "_peers", "_shifts", "_steady", "_streams", "finished")

    def __init__(self, helper: Helper, peers: Peers, ledger: Ledger) -> None:
        self._helper: Helper | None = helper
        self._peers = peers
        self._ledger = ledger
        self._layout = LAYOUTS[peers.client.address.version]
        self._streams = [Stream(), Stream()]
        self._steady = False
        self._shifts: tuple[tuple[int, int], ...] = ()  # by direction: of numbers to come, of those acknowledged
        self.finished = False  # the connection's packets no longer need to come here

    def through(self, data: bytes, path: Translation, now: float) -> bytes | None:
        """Return the translated packet if it needs no more than that and new numbers; None: it has to be rewritten."""
        if not self._steady:
            return None
        direction = path.direction
        sender, layout, shifts = self._streams[direction], self._layout, self._shifts
        seq, ack, words, window = layout.middle(data)
        begin = layout.texts.get(words)
        if begin is None or not 0 <= ack - sender.acked < HALF:
            return None
        text = data[begin:]
        if (text or shifts) and seq != sender.next % MODULO:
            return None
        if text:
            if not self._passes(data, text, direction, now):
                return None
            sender.next = sender.undecided = sender.held = sender.next + len(text)
        elif begin != len(data):
            return None
        if shifts and begin != layout.bare and layout.may_hold_numbers(data, begin):
            return None
        sender.last = data
        sender.acked = ack
        if not shifts:
            return path.apply(data)
        sent, received = shifts[direction]
        seen, said = (seq + sent) % MODULO, (ack - received) % MODULO
        return path.apply(data, MIDDLE.pack(seen, said, words, window), seen - seq + said - ack)

    def _passes(self, data: bytes, text: bytes, direction: Direction, now: float) -> bool:
        """Whether the helper need not see the next octets: it has left, or they are sound and it ignores them."""
        helper = self._helper
        if helper is None:
            return True
        try:
            return self._layout.is_sound(data) and helper.ignores(text, direction)
        except Exception as error:
            self._ledger.now = now
            self._ledger.fault("ignores", error)
            return False

    def rewrite(self, data: bytes, direction: Direction, now: float) -> bytes | Rewritten:
        """Return what a plain packet becomes, addresses untouched; raises PacketError if it may not pass.

        It is taken apart, and put together anew if anything moved or is held.
        """
        self._steady, self._ledger.now = False, now
        sender, receiver = self._streams[direction], self._streams[1 - direction]
        segment = Segment(data)
        sender.note(data)
        if segment.flags & SYN or sender.first is None:
            sender = self._begin(segment, direction)
        start = sender.position(segment.seq + (1 if segment.flags & SYN else 0))
        begin = sender.earliest_unpassed(start)
        stuck = self._read(segment, sender, start, direction)
        result: bytes | Rewritten = data
        if begin != start or not sender.idle or not receiver.idle:
            onward = self._onward(segment, sender, receiver, start, begin)
            back = self._vouch(segment, sender, receiver) if stuck else []
            result = Rewritten(onward, back) if back or len(onward) > 1 else onward[0]
        sender.trim()
        self._settle()
        return result

    def _settle(self) -> None:
        client, server = self._streams
        self._steady = client.is_steady(server.acked) and server.is_steady(client.acked)
        there, back = client.map.shift, server.map.shift
        self._shifts = ((there, back), (back, there)) if there or back else ()
        self.finished = self._helper is None and client.idle and server.idle

    def began_with(self, data: bytes) -> bool:
        """Whether a client's SYN is the one that opened this connection, come late, and no new beginning."""
        return bool(self._streams[Direction.ORIGINAL].first == Segment(data).seq + 1)

    def original_sequence(self, sequence: int, direction: Direction) -> int:
        """Return the sender's sequence number for one of the rewritten stream, as an ICMP error quotes it."""
        stream = self._streams[direction]
        return stream.original(sequence) % MODULO if stream.first is not None else sequence

    @staticmethod
    def _vouch(segment: Segment, sender: Stream, receiver: Stream) -> list[bytes]:
        """Acknowledge held octets in the receiver's place, if it has all that came before them."""
        received = sender.first if receiver.acked is None else sender.original(receiver.acked)
        position = sender.vouch(received or 0)
        return [] if position is None else [acknowledgement(segment, position, receiver.last)]

    def _begin(self, segment: Segment, direction: Direction) -> Stream:
        """Take the position from a SYN, or from the first segment seen; a SYN with another number starts anew."""
        old, first = self._streams[direction], segment.seq + (1 if segment.flags & SYN else 0)
        if segment.flags & SYN:
            self._streams[1 - direction].mss = segment.mss or DEFAULT_MSS
        if old.first == first:
            return old
        stream = self._streams[direction] = Stream(first)
        stream.mss = old.mss
        stream.note(segment.data)
        return stream

    def _read(self, segment: Segment, stream: Stream, start: int, direction: Direction) -> bool:
        """Show new octets to the helper; return whether the sender is stuck on octets that are held."""
        if not segment.payload and not segment.flags & FIN:
            return False
        if not self._layout.is_sound(segment.data):
            raise PacketError(Reason.BAD_CHECKSUM)
        end = start + len(segment.payload)
        fresh = stream.admit(start, segment.payload)
        if fresh:
            self._decide(stream, direction)
        if segment.flags & FIN and end == stream.next:
            stream.undecided = stream.held = stream.next
        return not fresh and stream.held < min(end, stream.next)

    def _decide(self, stream: Stream, direction: Direction) -> None:
        """Take whole messages off the pending octets, and say from where on octets are held."""
        passed, pending = stream.held, stream.pending
        while pending and (helper := self._helper) and (size := self._frame(helper, pending, direction)):
            if not stream.overlong:
                self._show(helper, stream, pending[:size], direction, passed)
            stream.overlong = False
            stream.undecided += size
            pending = pending[size:]
        helper = self._helper
        if helper is None:
            stream.undecided = stream.held = stream.next
            return
        if stream.overlong or len(pending) > helper.longest_message:
            stream.overlong = True
            stream.undecided = stream.next
        holds = stream.undecided < stream.next and self._holds(helper, pending, direction)
        stream.held = max(passed, stream.undecided) if holds else stream.next

    def _frame(self, helper: Helper, pending: bytes, direction: Direction) -> int:
        try:
            return max(0, min(helper.frame(pending, direction), len(pending)))
        except Exception as error:
            self._ledger.fault("frame", error)
            self._helper = None
            return 0

    def _holds(self, helper: Helper, pending: bytes, direction: Direction) -> bool:
        try:
            return helper.holds(pending, direction)
        except Exception as error:
            self._ledger.fault("holds", error)
            return False

    def _show(self, helper: Helper, stream: Stream, data: bytes, direction: Direction, passed: int) -> None:
        """Show one whole message to the helper and record its edits."""
        message = Message(data, direction, self._peers, self._ledger)
        edits = show(helper, message, self._ledger, passed - stream.undecided)
        if self._ledger.stopped:
            self._helper = None
        for start, end, text in edits:
            stream.map.record(stream.undecided + start, stream.undecided + end, text)

    def _onward(self, segment: Segment, sender: Stream, receiver: Stream, start: int, begin: int) -> list[bytes]:
        """Put the segment together anew, as one packet or, if its payload outgrew the receiver's limit, as several."""
        image, payload = sender.render(start, segment.payload, begin)
        seq = image - (1 if segment.flags & SYN else 0)
        ack, urgent, sack = segment.ack, segment.urgent, None
        if segment.flags & ACK and receiver.first is not None:
            sack = None if receiver.idle else receiver.original_block
            ack = receiver.acknowledge(segment.ack)
        if segment.flags & URG:
            urgent = min(max(sender.map.forward(start + segment.urgent) - image, 0), 0xFFFF)
        room = max(len(payload), 1)
        if sender.mss and room > len(segment.payload):
            room = max(sender.mss - (segment.header - 20), len(segment.payload), 1)
        packets = []
        for at in range(0, max(len(payload), 1), room):
            flags = segment.flags if at + room >= len(payload) else segment.flags & ~(PSH | FIN)
            part = payload[at : at + room]
            packets.append(segment.rebuilt(seq + at, ack, part, flags=flags, urgent=max(urgent - at, 0), sack=sack))
        return packets


def acknowledgement(segment: Segment, position: int, peers_last: bytes | None) -> bytes:
    """Return an ACK of `position` to a segment's sender as its peer would send it: window, timestamps if in use."""
    window = 0xFFFF if peers_last is None else Segment(peers_last).window
    options = b""
    if segment.timestamps is not None:
        # What the sender echoes is the latest that it took from its peer: nothing older passes its PAWS check.
        value, echo = segment.timestamps
        options = b"\x01\x01\x08\x0a" + echo + value
    return segment.answer(segment.ack, position, ACK, window=window, options=options)
