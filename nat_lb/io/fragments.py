"""Fragments of a capture: put together for the director and cut again afterwards, as the kernel does on a live system.

The law: a datagram is whole or it is not seen; fragments that overlap discard their datagram, with what follows of it
(RFC 5722 §4); and a whole datagram that still fits is cut where its sender had cut it.
"""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass, field

from nat_lb.checksum import checksum

LIFETIME = 30.0
"""Seconds of capture time that an incomplete datagram is kept, as long as Linux keeps it."""

_MOST_DATAGRAMS = 1024
_FRAGMENT, _EXTENSIONS = 44, frozenset({0, 43, 60})
_LARGEST = 0xFFFF


def is_fragment(data: bytes) -> bool:
    """Tell, cheaply, whether an IP packet is part of a larger one; malformed packets are not."""
    if data[0] >> 4 == 4:
        return len(data) >= 20 and bool(data[6] & 0x3F or data[7])
    if len(data) < 48 or (data[6] != _FRAGMENT and data[6] not in _EXTENSIONS):
        return False
    at = _fragment_header(data)
    return bool(at) and bool(data[at + 2] or data[at + 3] & 0xF9)


@dataclass
class Datagram:
    """A datagram put together: `data` is the whole packet, `parts` its fragments in order."""

    data: bytes
    parts: list[_Part]

    def cut(self, packet: bytes | bytearray) -> list[bytes]:
        """Return `packet`, what became of `data`, in fragments of the original sizes, ids and flags."""
        if len(packet) <= max(part.length for part in self.parts):
            return [bytes(packet)]
        shapes = self._shapes(len(packet) - (self.parts[0].header - self.parts[0].extra))
        cut = _cut_v4 if packet[0] >> 4 == 4 else _cut_v6
        return [cut(bytes(packet), part, start, end, last) for part, start, end, last in shapes]

    def _shapes(self, total: int) -> list[tuple[_Part, int, int, bool]]:
        """Lay `total` octets of payload over the original fragments; more is cut at the largest of them."""
        shapes, start = [], 0
        widest = max(part.end - part.start for part in self.parts)
        for number in range(total):
            part = self.parts[min(number, len(self.parts) - 1)]
            room = part.end - part.start if number < len(self.parts) - 1 else widest
            if total - start <= room:
                shapes.append((part, start, total, True))
                break
            shapes.append((part, start, start + (room & ~7), False))
            start += room & ~7
        return shapes


@dataclass(frozen=True)
class _Part:
    """One fragment: payload octets `start` to `end` of its datagram; `header` octets precede them in `data`.

    `extra` of these are the IPv6 fragment header, which the whole packet does not have.
    """

    data: bytes
    start: int
    end: int
    last: bool
    header: int
    extra: int

    @property
    def length(self) -> int:
        return self.header + self.end - self.start


@dataclass
class _Pending:
    since: float
    parts: dict[int, _Part] = field(default_factory=dict)
    fragments: int = 0
    spoilt: bool = False


class Reassembly:
    """Collects fragments, at most for `LIFETIME` seconds and of a bounded number of datagrams.

    `discarded` counts fragments whose datagram was given up; those still waiting are `waiting`.
    """

    def __init__(self) -> None:
        self.discarded = 0
        self._pending: dict[bytes, _Pending] = {}

    @property
    def waiting(self) -> int:
        """The number of fragments of datagrams that are not whole yet."""
        return sum(pending.fragments for pending in self._pending.values() if not pending.spoilt)

    def add(self, data: bytes, now: float) -> Datagram | None:
        """Take a fragment at `now` (seconds) and return its datagram if that is whole now."""
        self._expire(now)
        key, part = _parse(data)
        pending = self._pending.setdefault(key, _Pending(now))
        pending.fragments += 1
        if pending.spoilt:
            self.discarded += 1
        elif part is None or not _fits(part, pending):
            self._spoil(pending)
        else:
            pending.parts.setdefault(part.start, part)
            parts = _whole(pending)
            if parts:
                del self._pending[key]
                return Datagram(_join(parts), parts)
        return None

    def _spoil(self, pending: _Pending) -> None:
        pending.spoilt = True
        pending.parts.clear()
        self.discarded += pending.fragments

    def _expire(self, now: float) -> None:
        """Give up what is too old or, from the oldest on, too much; the dictionary is in order of arrival."""
        while self._pending:
            key, oldest = next(iter(self._pending.items()))
            if now - oldest.since < LIFETIME and len(self._pending) <= _MOST_DATAGRAMS:
                return
            del self._pending[key]
            if not oldest.spoilt:
                self.discarded += oldest.fragments


def _fits(part: _Part, pending: _Pending) -> bool:
    """Tell whether a fragment is new or an exact duplicate, and contradicts none of the others."""
    for other in pending.parts.values():
        same = (part.start, part.end, part.last) == (other.start, other.end, other.last)
        if same and part.data[part.header :] == other.data[other.header :]:
            return True
        if part.start < other.end and other.start < part.end:
            return False
        if (other.last and part.end > other.end) or (part.last and other.end > part.end):
            return False
    return True


def _whole(pending: _Pending) -> list[_Part]:
    """Return all fragments in order if none is missing, else nothing."""
    parts = [pending.parts[start] for start in sorted(pending.parts)]
    if not parts[-1].last or parts[0].start:
        return []
    return parts if all(left.end == right.start for left, right in itertools.pairwise(parts)) else []


def _parse(data: bytes) -> tuple[bytes, _Part | None]:
    """Return the key of a fragment's datagram, and the fragment unless its offset or length is impossible."""
    if data[0] >> 4 == 4:
        header, extra = (data[0] & 15) * 4, 0
        word = (data[6] & 0x1F) << 8 | data[7]
        start, more = word * 8, bool(data[6] & 0x20)
        end, key = start + len(data) - header, data[12:20] + data[9:10] + data[4:6]
    else:
        at = _fragment_header(data)
        header, extra = at + 8, 8
        word = data[at + 2] << 8 | data[at + 3]
        start, more = word & 0xFFF8, bool(word & 1)
        end, key = start + len(data) - header, data[8:40] + data[at + 4 : at + 8]
    possible = start < end and end + header - extra <= _LARGEST and not (more and (end - start) % 8)
    return key, _Part(data, start, end, not more, header, extra) if possible else None


def _fragment_header(data: bytes) -> int:
    """Return the offset of an IPv6 packet's fragment header, 0 if it has none."""
    protocol, at = data[6], 40
    while protocol in _EXTENSIONS and at + 8 <= len(data):
        protocol, at = data[at], at + (data[at + 1] + 1) * 8
    return at if protocol == _FRAGMENT and at + 8 <= len(data) else 0


def _join(parts: list[_Part]) -> bytes:
    first = parts[0]
    payload = b"".join(part.data[part.header : part.header + part.end - part.start] for part in parts)
    head = bytearray(first.data[: first.header])
    if head[0] >> 4 == 4:
        struct.pack_into("!H", head, 2, len(head) + len(payload))
        head[6] &= 0x40  # Don't Fragment is the datagram's
        head[7] = 0
        return _summed(head) + payload
    at = first.header - 8
    head[_protocol_field(head, at)] = head[at]
    del head[at:]
    struct.pack_into("!H", head, 4, len(head) - 40 + len(payload))
    return bytes(head) + payload


def _cut_v4(packet: bytes, part: _Part, start: int, end: int, last: bool) -> bytes:
    """Return one fragment; the first's options are the packet's, the others' those that their fragment had."""
    own = (packet[0] & 15) * 4
    options = packet[20:own] if start == 0 else part.data[20 : part.header]
    head = bytearray(packet[:20] + options)
    head[0] = 0x40 | len(head) // 4
    flags = part.data[6] & 0x40 | (0 if last else 0x20)
    struct.pack_into(
        "!HHH", head, 2, len(head) + end - start, *struct.unpack("!H", part.data[4:6]), flags << 8 | start // 8
    )
    return _summed(head) + packet[own + start : own + end]


def _cut_v6(packet: bytes, part: _Part, start: int, end: int, last: bool) -> bytes:
    """Return one fragment, its fragment header (RFC 8200 §4.5) where the sender had put it."""
    at = part.header - 8
    head = bytearray(packet[:at])
    field_at = _protocol_field(head, at)
    extension = struct.pack("!BxH", head[field_at], start | (not last)) + part.data[at + 4 : at + 8]
    head[field_at] = _FRAGMENT
    struct.pack_into("!H", head, 4, at - 40 + 8 + end - start)
    return bytes(head) + extension + packet[at + start : at + end]


def _protocol_field(data: bytes | bytearray, at: int) -> int:
    """Return where the protocol of the IPv6 header that starts at `at` is named: in the header before it."""
    field_at, header = 6, 40
    while header < at:
        field_at, header = header, header + (data[header + 1] + 1) * 8
    return field_at


def _summed(head: bytearray) -> bytes:
    head[10:12] = b"\0\0"
    head[10:12] = checksum(bytes(head)).to_bytes(2, "big")
    return bytes(head)
