"""One TCP segment inside a plain packet: read its header, put it together anew.

The law: a segment that is put together anew differs from the old one only where it was asked to, and its checksum
only by the difference. Layout and flags: RFC 9293 §3.1; SACK option: RFC 2018; timestamps option: RFC 7323.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from nat_lb.checksum import adjust, delta, ones_sum
from nat_lb.errors import PacketError
from nat_lb.packet import IPV4_HEADER, IPV6_HEADER, TCP, build, pseudo_sum, resize, sealed
from nat_lb.verdict import Reason

FIN, SYN, RST, PSH, ACK, URG = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_END, _NO_OPERATION, _MSS, _SACK, _TIMESTAMPS = 0, 1, 2, 5, 8
_HEADER = struct.Struct("!HHLLBBHHH")
# Between ports and checksum: sequence and acknowledgement number, header length and flags in one, window.
MIDDLE = struct.Struct("!LLHH")
_number = int.from_bytes  # bound once
_STAMPED = bytes((_NO_OPERATION, _NO_OPERATION, _TIMESTAMPS, 10))
_WORD, _LONG, _BLOCK = struct.Struct("!H"), struct.Struct("!L"), struct.Struct("!LL")
_DONT_FRAGMENT = 0x4000
MODULO = 1 << 32


class Segment:
    """A view of a plain packet that holds TCP; raises PacketError if the header is not whole."""

    __slots__ = ("ack", "at", "data", "flags", "header", "payload", "seq", "urgent", "window")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = IPV4_HEADER if data[0] >> 4 == 4 else IPV6_HEADER
        try:
            _, _, self.seq, self.ack, words, self.flags, self.window, _, self.urgent = _HEADER.unpack_from(
                data, self.at
            )
        except struct.error:
            raise PacketError(Reason.TRUNCATED) from None
        self.header = (words >> 4) * 4
        if self.header < _HEADER.size or self.at + self.header > len(data):
            raise PacketError(Reason.MALFORMED)
        self.payload = data[self.at + self.header :]

    def options(self) -> Iterator[tuple[int, int, int]]:
        """Yield (kind, offset of the option's content in the packet, length of the content); stops at a bad length."""
        at, end = self.at + _HEADER.size, self.at + self.header
        while at < end and self.data[at] != _END:
            if self.data[at] == _NO_OPERATION:
                at += 1
                continue
            size = self.data[at + 1] if at + 1 < end else 0
            if size < 2 or at + size > end:
                return
            yield self.data[at], at + 2, size - 2
            at += size

    @property
    def source(self) -> bytes:
        """Source address, 4 or 16 octets."""
        size = 4 if self.at == IPV4_HEADER else 16
        return self.data[self.at - 2 * size : self.at - size]

    @property
    def destination(self) -> bytes:
        """Destination address, 4 or 16 octets."""
        return self.data[self.at - (4 if self.at == IPV4_HEADER else 16) : self.at]

    @property
    def mss(self) -> int | None:
        """The maximum segment size option, octets."""
        for kind, at, size in self.options():
            if kind == _MSS and size == 2:
                return int(_WORD.unpack_from(self.data, at)[0])
        return None

    @property
    def timestamps(self) -> tuple[bytes, bytes] | None:
        """The timestamp value and the echo of the peer's latest (TSval, TSecr), 4 octets each as they stand."""
        for kind, at, size in self.options():
            if kind == _TIMESTAMPS and size == 8:
                return self.data[at : at + 4], self.data[at + 4 : at + 8]
        return None

    def rebuilt(
        self,
        seq: int,
        ack: int,
        payload: bytes,
        *,
        flags: int | None = None,
        urgent: int | None = None,
        sack: Callable[[int, int], tuple[int, int]] | None = None,
    ) -> bytes:
        """Return the packet with another sequence number, acknowledgement and payload; `sack` maps every SACK block."""
        old = self.data
        new = bytearray(old[: self.at + self.header])
        _LONG.pack_into(new, self.at + 4, seq % MODULO)
        _LONG.pack_into(new, self.at + 8, ack % MODULO)
        new[self.at + 13] = self.flags if flags is None else flags
        _WORD.pack_into(new, self.at + 18, self.urgent if urgent is None else urgent)
        if sack is not None:
            self._map_sack(new, sack)
        change = delta(old[self.at : self.at + self.header], bytes(new[self.at :]))
        if payload != self.payload:
            growth = len(payload) - len(self.payload)
            # Header and payload are both counted from an even offset; the pseudo-header holds the length once more.
            change += delta(self.payload, payload) + growth
            resize(new, growth)
        (check,) = _WORD.unpack_from(new, self.at + 16)
        _WORD.pack_into(new, self.at + 16, adjust(check, change % 0xFFFF))
        return bytes(new) + payload

    def _map_sack(self, new: bytearray, sack: Callable[[int, int], tuple[int, int]]) -> None:
        """Map the blocks in place; one of which nothing is left gives its room to padding."""
        for kind, at, size in self.options():
            if kind != _SACK or size % 8:
                continue
            mapped = (sack(*edges) for edges in _BLOCK.iter_unpack(self.data[at : at + size]))
            blocks = [_BLOCK.pack(left % MODULO, right % MODULO) for left, right in mapped if left < right]
            option = bytes((_SACK, 2 + 8 * len(blocks))) + b"".join(blocks) if blocks else b""
            new[at - 2 : at + size] = option.ljust(2 + size, bytes((_NO_OPERATION,)))

    def answer(self, seq: int, ack: int, flags: int, *, window: int = 0, options: bytes = b"") -> bytes:
        """Return a whole packet without payload from this segment's destination to its source.

        Options in whole words.
        """
        ports = self.data[self.at + 2 : self.at + 4] + self.data[self.at : self.at + 2]
        words = (_HEADER.size + len(options)) // 4 << 4
        body = ports + struct.pack("!LLBBHHH", seq % MODULO, ack % MODULO, words, flags, window, 0, 0) + options
        body = sealed(body, 16, pseudo_sum(self.destination, self.source, TCP, len(body)))
        return build(self.destination, self.source, TCP, body, flags=_DONT_FRAGMENT)


class Layout:
    """Where plain packets of one family have their TCP fields, to look at one without taking it apart."""

    __slots__ = ("_addresses", "_weight", "at", "bare", "middle", "texts")

    def __init__(self, at: int, addresses: int) -> None:
        self.at = at  # where the TCP header begins
        self.bare = at + _HEADER.size  # where one without options ends
        self.middle = struct.Struct(f"!{at + 4}x{MIDDLE.format[1:]}").unpack_from
        # Of segments that acknowledge and do nothing else: header length and flags -> where the payload begins.
        self.texts = {words << 12 | flags: at + 4 * words for words in range(5, 16) for flags in (ACK, ACK | PSH)}
        self._addresses = addresses
        self._weight = TCP - at

    def is_sound(self, data: bytes) -> bool:
        """Whether the checksum is right, or only begun as in captures of offloaded packets."""
        # Addresses and segment are in one piece; of the pseudo-header only the length and the protocol are missing.
        # An odd last octet is the high half of a word: instead of moving all octets there, move the two numbers.
        weight = len(data) + self._weight
        if (_number(data[self._addresses :]) + (weight << 8 if weight & 1 else weight)) % 0xFFFF == 0:
            return True
        pseudo = ones_sum(data[self._addresses : self.at] + _LONG.pack(weight))
        return _number(data[self.at + 16 : self.at + 18]) == pseudo

    def may_hold_numbers(self, data: bytes, end: int) -> bool:
        """Whether options, which go to `end`, are other than timestamps as most stacks write them."""
        size = end - self.at
        return size != 32 or data[self.at + 20 : self.at + 24] != _STAMPED


LAYOUTS = {4: Layout(IPV4_HEADER, 12), 6: Layout(IPV6_HEADER, 8)}


def acknowledged_in(data: bytes) -> int | None:
    """Return the acknowledgement number of a plain packet that is at least a TCP header long, None if it has none."""
    at = IPV4_HEADER if data[0] == 0x45 else IPV6_HEADER
    return int.from_bytes(data[at + 8 : at + 12], "big") if data[at + 13] & ACK else None
