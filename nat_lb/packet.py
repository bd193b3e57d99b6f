"""IP packets as bytes: where things are, and nothing about what to do with them.

The law: this module and `checksum` are the only ones that know IPv4 from IPv6. Everything above sees *plain* packets,
an IP header without options or extension headers followed at once by the transport header: `peel` takes the extra
headers off an unusual packet and puts them back afterwards, so no other code has to step over them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeAlias

from nat_lb.checksum import adjust, checksum, ones_sum
from nat_lb.errors import PacketError
from nat_lb.verdict import Reason

ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
IPV4_HEADER, IPV6_HEADER = 20, 40
DEFAULT_HOPS = 64
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _DESTINATION_OPTIONS = 0, 43, 44, 60
PortsAt: TypeAlias = tuple[int | None, int | None]  # see `tracker.Tracker.ports_at`
_EXTENSIONS = frozenset({_HOP_BY_HOP, _ROUTING, _DESTINATION_OPTIONS})
_WORD = struct.Struct("!H")
_OCTETS = tuple(bytes((octet,)) for octet in range(256))  # cheaper than a slice of one octet


def flow_key(data: bytes) -> bytes | None:
    """Cut the flow key out of a plain packet that is no fragment; None for any other.

    Called for every packet, so nothing is verified here: a key cut from bytes that are not what they seem is in no
    table, and the packet then takes the way of the unknown, which does verify.
    """
    first = data[0]
    if first == 0x45:
        if data[7] or data[6] & 0x3F:
            return None
        return _OCTETS[data[9]] + data[12:24]
    if first >> 4 == 6:
        return data[6:7] + data[8:44]
    return None


class Packet:
    """A verified view of one IP packet for the paths that are not per-packet hot.

    Raises PacketError (malformed, truncated) from the constructor. `plain` holds the packet without IP options or
    extension headers, `offset` is where the transport header starts in `plain` (20 or 40 octets).
    """

    __slots__ = ("data", "fragment", "offset", "plain", "protocol", "restore")

    def __init__(self, data: bytes) -> None:
        self.data = data
        version = data[0] >> 4 if data else 0
        if version == 4:
            self._parse_ipv4(data)
        elif version == 6:
            self._parse_ipv6(data)
        else:
            raise PacketError(Reason.MALFORMED)

    def _parse_ipv4(self, data: bytes) -> None:
        if len(data) < IPV4_HEADER:
            raise PacketError(Reason.TRUNCATED)
        header = (data[0] & 15) * 4
        total = data[2] << 8 | data[3]
        if header < IPV4_HEADER or total < header:
            raise PacketError(Reason.MALFORMED)
        if total > len(data):
            raise PacketError(Reason.TRUNCATED)
        self.protocol = data[9]
        self.fragment = bool(data[7] or data[6] & 0x3F)
        self.offset = IPV4_HEADER
        self.plain, self.restore = peel(data[:total], header, self.protocol)

    def _parse_ipv6(self, data: bytes) -> None:
        if len(data) < IPV6_HEADER:
            raise PacketError(Reason.TRUNCATED)
        total = IPV6_HEADER + (data[4] << 8 | data[5])
        if total > len(data):
            raise PacketError(Reason.TRUNCATED)
        self.protocol, header, self.fragment = walk_extensions(data, total)
        self.offset = IPV6_HEADER
        self.plain, self.restore = peel(data[:total], header, self.protocol)

    @property
    def version(self) -> int:
        """4 or 6."""
        return self.data[0] >> 4

    @property
    def key(self) -> bytes:
        """The flow key; meaningful for protocols whose header starts with two ports."""
        if self.offset == IPV4_HEADER:
            return self.plain[9:10] + self.plain[12:24]
        return self.plain[6:7] + self.plain[8:44]

    def key_by(self, ports_at: PortsAt) -> bytes:
        """The flow key of a protocol whose header has its numbers at these offsets; one that is nowhere reads as 0."""
        head = self.key[:-4]
        return head + b"".join(numbers(self.plain, self.offset, ports_at))

    @property
    def source(self) -> bytes:
        """Source address, 4 or 16 octets."""
        return self.plain[12:16] if self.offset == IPV4_HEADER else self.plain[8:24]

    @property
    def destination(self) -> bytes:
        """Destination address, 4 or 16 octets."""
        return self.plain[16:20] if self.offset == IPV4_HEADER else self.plain[24:40]

    @property
    def hops(self) -> int:
        """Time to live or hop limit."""
        return self.plain[8 if self.offset == IPV4_HEADER else 7]

    @property
    def is_icmp(self) -> bool:
        """Whether this is the family's own ICMP."""
        return self.protocol == (ICMP if self.offset == IPV4_HEADER else ICMPV6)

    @property
    def payload(self) -> bytes:
        """The transport header and what follows it."""
        return self.plain[self.offset :]


def numbers(data: bytes, start: int, ports_at: PortsAt) -> tuple[bytes, ...]:
    """Return the two numbers of the transport header at `start` that tell flows apart, 2 octets each."""
    return tuple(b"\0\0" if at is None else data[start + at : start + at + 2] for at in ports_at)


def walk_extensions(data: bytes, total: int) -> tuple[int, int, bool]:
    """Return the upper protocol, the offset of its header and whether the packet is a fragment (RFC 8200 §4).

    What follows the fragment header of a fragment is a piece of something and is not read.
    """
    protocol, at = data[6], IPV6_HEADER
    while protocol in _EXTENSIONS or protocol == _FRAGMENT:
        if at + 8 > total:
            raise PacketError(Reason.TRUNCATED)
        if protocol == _FRAGMENT and (data[at + 2] << 8 | data[at + 3]) & 0xFFF9:
            return data[at], at + 8, True
        size = 8 if protocol == _FRAGMENT else (data[at + 1] + 1) * 8
        protocol, at = data[at], at + size
    if at > total:
        raise PacketError(Reason.TRUNCATED)
    return protocol, at, False


def _identity(data: bytes | bytearray) -> bytes | bytearray:
    return data


def peel(data: bytes, header: int, protocol: int) -> tuple[bytes, Callable[[bytes | bytearray], bytes | bytearray]]:
    """Take IP options or extension headers off and return the plain packet and the function that puts them back.

    The plain packet is a whole packet of its own; its IPv4 header checksum is right or wrong by as much as the
    original's.
    """
    base = IPV4_HEADER if data[0] >> 4 == 4 else IPV6_HEADER
    if header == base:
        return data, _identity
    extra = data[base:header]

    def exchange(whole: bytearray, growth: int) -> bytearray:
        resize(whole, growth)
        if base == IPV6_HEADER:
            whole[6] = protocol if growth < 0 else data[6]
            return whole
        whole[0] = 0x45 if growth < 0 else data[0]
        weight = ones_sum(extra) + (data[0] - 0x45 << 8)
        (check,) = _WORD.unpack_from(whole, 10)
        _WORD.pack_into(whole, 10, adjust(check, (weight if growth > 0 else -weight) % 0xFFFF))
        return whole

    plain = exchange(bytearray(data[:base] + data[header:]), -len(extra))
    return bytes(plain), lambda out: exchange(bytearray(out[:base] + extra + out[base:]), len(extra))


def resize(data: bytearray, growth: int) -> None:
    """Tell a plain packet's IP header that its payload grew by `growth` octets (negative: shrank)."""
    at = 2 if data[0] >> 4 == 4 else 4
    (length,) = _WORD.unpack_from(data, at)
    _WORD.pack_into(data, at, length + growth)
    if at == 2:
        (check,) = _WORD.unpack_from(data, 10)
        _WORD.pack_into(data, 10, adjust(check, growth % 0xFFFF))


def pseudo_sum(source: bytes, destination: bytes, protocol: int, length: int) -> int:
    """Return the sum of the pseudo-header that TCP, UDP and ICMPv6 checksums cover (RFC 9293 §3.1, RFC 8200 §8.1)."""
    return ones_sum(source + destination + struct.pack("!LL", length, protocol))


def build(source: bytes, destination: bytes, protocol: int, body: bytes, *, service: int = 0, flags: int = 0) -> bytes:
    """Return an IP packet of the director's own; addresses are packed, `service` and `flags` are IPv4's."""
    if len(source) == 16:
        return struct.pack("!LHBB", 6 << 28, len(body), protocol, DEFAULT_HOPS) + source + destination + body
    length = IPV4_HEADER + len(body)
    header = struct.pack("!BBHHHBBH", 0x45, service, length, 0, flags, DEFAULT_HOPS, protocol, 0) + source + destination
    return header[:10] + checksum(header).to_bytes(2, "big") + header[12:] + body


def sealed(body: bytes, at: int, pseudo: int) -> bytes:
    """Return a transport header and payload of the director's own with the checksum, 0 until now, at offset `at`."""
    total = (ones_sum(body) + pseudo) % 0xFFFF or 0xFFFF
    return body[:at] + (0xFFFF - total).to_bytes(2, "big") + body[at + 2 :]


def lower_hops(data: bytearray) -> None:
    """Lower the time to live or hop limit by one, as a router does; the caller has seen that it is more than one."""
    if data[0] >> 4 == 6:
        data[7] -= 1
        return
    data[8] -= 1
    (check,) = _WORD.unpack_from(data, 10)
    _WORD.pack_into(data, 10, adjust(check, 0xFFFF - 0x0100))
