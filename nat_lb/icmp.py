"""ICMP errors about translated packets (RFC 792, RFC 4443; translation: RFC 5508 §7).

The law: an error is translated outside and inside, so that whoever gets it finds the packet that it sent, and no
inside address shows. What is quoted may be cut after eight octets of its transport header; its transport checksum is
left as it is.

Path-MTU discovery depends on this: fragmentation-needed and packet-too-big errors come back through here in both
directions, those too that the director's own stack sends about a packet that it was given translated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from nat_lb.checksum import adjust, delta, ones_sum
from nat_lb.connection import Connection, ConnectionTable
from nat_lb.errors import PacketError
from nat_lb.flow import Direction, reverse
from nat_lb.offload import Offload
from nat_lb.packet import ICMPV6, IPV4_HEADER, IPV6_HEADER, Packet, numbers, pseudo_sum, walk_extensions
from nat_lb.payload import TcpRewriter
from nat_lb.tracker import Tracker
from nat_lb.verdict import Reason

_HEADER = 8  # of an ICMP error, before the quoted packet
ERRORS = {4: frozenset({3, 4, 11, 12}), 6: frozenset({1, 2, 3, 4})}
_TRANSLATED = {
    4: frozenset({3, 4, 11}),
    6: frozenset({1, 2, 3}),
}  # a parameter problem points into a header that changed


def is_error(packet: Packet) -> bool:
    """Whether the packet is an ICMP error of its family."""
    return packet.is_icmp and packet.payload[:1] != b"" and packet.payload[0] in ERRORS[packet.version]


class Quoted(NamedTuple):
    """The packet that an error quotes."""

    key: bytes  # its flow
    transport: int  # where its transport header starts, counted from the start of the ICMP message


def quoted(packet: Packet, elsewhere: Mapping[int, type[Tracker]]) -> Quoted | None:
    """Return what an ICMP error quotes, None if too little of it is there to tell its flow.

    `elsewhere` has, by protocol, the trackers of headers that tell flows apart otherwise than TCP's and UDP's.
    """
    message = packet.payload
    inner = message[_HEADER:]
    if packet.version == 4:
        at = (inner[0] & 15) * 4 if inner and inner[0] >> 4 == 4 else 0
        whole = at >= IPV4_HEADER and len(inner) >= at + 8 and not (inner[7] or inner[6] & 0x1F)
        key = inner[9:10] + inner[12:20] + _numbers(inner, at, inner[9], elsewhere) if whole else b""
        return Quoted(key, _HEADER + at) if whole else None
    if len(inner) < IPV6_HEADER or inner[0] >> 4 != 6:
        return None
    try:
        protocol, at, fragment = walk_extensions(inner, len(inner))
    except PacketError:
        return None
    if fragment or len(inner) < at + 8:
        return None
    key = bytes((protocol,)) + inner[8:40] + _numbers(inner, at, protocol, elsewhere)
    return Quoted(key, _HEADER + at)


def _numbers(inner: bytes, at: int, protocol: int, elsewhere: Mapping[int, type[Tracker]]) -> bytes:
    tracker = elsewhere.get(protocol)
    return inner[at : at + 4] if tracker is None else b"".join(numbers(inner, at, tracker.ports_at))


def check(packet: Packet) -> None:
    """Raise PacketError unless the error is of a type that is translated and its checksum is right."""
    message = packet.payload
    if message[0] not in _TRANSLATED[packet.version]:
        raise PacketError(Reason.ICMP_UNTRANSLATABLE)
    pseudo = 0
    if packet.version == 6:
        pseudo = pseudo_sum(packet.source, packet.destination, ICMPV6, len(message))
    if (ones_sum(message) + pseudo) % 0xFFFF:
        raise PacketError(Reason.ICMP_BAD_CHECKSUM)


def find(table: ConnectionTable, inner: Quoted, offload: Offload | None = None) -> tuple[Connection, Direction] | None:
    """Return the connection whose packet is quoted, which may be carried, and where the error has to go."""
    key = reverse(inner.key)
    connection = table.flows.get(key) or table.quoted.get(inner.key)
    if connection is None and offload is not None:
        connection = offload.find(key)
    if connection is None:
        return None
    address = connection.virtual.address.packed
    from_director = inner.key[1 : 1 + len(address)] == address
    return connection, Direction.ORIGINAL if from_director else Direction.REPLY


def translate(packet: Packet, inner: Quoted, connection: Connection, direction: Direction) -> bytes | bytearray:
    """Return the error for the other side: towards the real server (ORIGINAL) or towards the client (REPLY)."""
    original = direction is Direction.ORIGINAL
    # The quoted packet went the other way: its source is what an error for the server hides, its destination for the
    # client.
    address, port = (connection.real if original else connection.virtual).packed
    message = bytearray(packet.payload)
    _rewrite_address(message, packet.version, address, at_source=original)
    port_at = connection.tracking.tracker.ports_at[0 if original else 1]
    if port_at is not None and len(message) >= inner.transport + port_at + 2:
        message[inner.transport + port_at : inner.transport + port_at + 2] = port
    if isinstance(connection.rewriter, TcpRewriter):
        at = inner.transport + 4
        sequence = int.from_bytes(message[at : at + 4], "big")
        quoted_direction = Direction.REPLY if original else Direction.ORIGINAL
        message[at : at + 4] = connection.rewriter.original_sequence(sequence, quoted_direction).to_bytes(4, "big")
    plain = bytearray(packet.plain)
    size = len(address)
    end = packet.offset if original else packet.offset - size
    moved = delta(bytes(plain[end - size : end]), address)
    plain[end - size : end] = address
    changed = delta(packet.payload, bytes(message)) + (moved if packet.version == 6 else 0)
    message[2:4] = adjust(message[2] << 8 | message[3], changed % 0xFFFF).to_bytes(2, "big")
    plain[packet.offset :] = message
    if packet.version == 4:
        plain[10:12] = adjust(plain[10] << 8 | plain[11], moved).to_bytes(2, "big")
    return packet.restore(plain)


def _rewrite_address(message: bytearray, version: int, address: bytes, *, at_source: bool) -> None:
    size = len(address)
    start = _HEADER + (12 if version == 4 else 8) + (0 if at_source else size)
    if version == 4:
        moved = delta(bytes(message[start : start + size]), address)
        at = _HEADER + 10
        message[at : at + 2] = adjust(message[at] << 8 | message[at + 1], moved).to_bytes(2, "big")
    message[start : start + size] = address
