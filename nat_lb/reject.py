"""Refusals: the TCP reset or ICMP error that tells a sender that its packet goes no further.

The law: a refusal is sent from the address that the sender wrote to, never in answer to an ICMP error, a reset or a
fragment, nor to a group, and quotes the sender's packet as it came (RFC 1122 §3.2.2, RFC 4443 §2.4), so nothing of
the inside shows.
"""

from __future__ import annotations

from ipaddress import ip_address

from nat_lb.packet import ICMP, ICMPV6, IPV4_HEADER, IPV6_HEADER, Packet, build, pseudo_sum, sealed
from nat_lb.segment import ACK, FIN, RST, SYN, Segment

_INTERNETWORK_CONTROL = 0xC0  # the precedence of routing messages, as ICMP errors carry it (RFC 1812 §4.3.2.5)
_LONGEST_ERROR = {4: 576, 6: 1280}  # octets, IP header included (RFC 1812 §4.3.2.3, RFC 4443 §3.1)
PORT_UNREACHABLE = {4: (3, 3), 6: (1, 4)}
TIME_EXCEEDED = {4: (11, 0), 6: (3, 0)}


def is_answerable(packet: Packet) -> bool:
    """Whether a refusal may be sent at all."""
    source = ip_address(packet.source)
    return not (source.is_multicast or source.is_unspecified or source.is_loopback or packet.fragment)


def reset(packet: Packet) -> bytes | None:
    """Return the TCP reset that answers a segment (RFC 9293 §3.10.7.1), None if there is no answer.

    Raises PacketError.
    """
    segment = Segment(packet.plain)
    if segment.flags & RST or not is_answerable(packet):
        return None
    if segment.flags & ACK:
        return segment.answer(segment.ack, 0, RST)
    length = len(segment.payload) + bool(segment.flags & SYN) + bool(segment.flags & FIN)
    return segment.answer(0, segment.seq + length, RST | ACK)


def icmp_error(packet: Packet, kinds: dict[int, tuple[int, int]]) -> bytes | None:
    """Return the ICMP error about a packet, from the address it was sent to; None if none may be sent.

    `kinds` gives type and code by IP version, such as PORT_UNREACHABLE.
    """
    if packet.is_icmp or not is_answerable(packet):
        return None
    version = packet.version
    header = IPV4_HEADER if version == 4 else IPV6_HEADER
    body = bytes((*kinds[version], 0, 0, 0, 0, 0, 0)) + packet.data[: _LONGEST_ERROR[version] - header - 8]
    if version == 4:
        return build(packet.destination, packet.source, ICMP, sealed(body, 2, 0), service=_INTERNETWORK_CONTROL)
    pseudo = pseudo_sum(packet.destination, packet.source, ICMPV6, len(body))
    return build(packet.destination, packet.source, ICMPV6, sealed(body, 2, pseudo))
