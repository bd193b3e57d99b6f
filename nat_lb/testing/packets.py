"""Packets to test with: built whole, with right checksums, from endpoints written as in the configuration.

The law: what a builder returns is a valid packet of the family of its addresses; a test that wants a broken one breaks
it itself.  Endpoints are written `192.0.2.1:80` or `[2001:db8::1]:80`.
"""

from __future__ import annotations

import struct
from ipaddress import ip_address

from nat_lb.checksum import checksum, ones_sum
from nat_lb.flow import Endpoint, FlowKey
from nat_lb.packet import ICMP, ICMPV6, IPV4_HEADER, TCP, UDP, Packet, build, pseudo_sum, resize, sealed
from nat_lb.segment import ACK, FIN, PSH, RST, SYN, URG

__all__ = [
    "ACK", "FIN", "PSH", "RST", "SYN", "URG",
    "checksums_are_right", "describe", "echo", "endpoint", "icmp_error", "tcp", "transport", "udp",
    "with_extra_header", "with_hops",
]  # fmt: skip

_CHECKSUM_AT = {TCP: 16, UDP: 6, ICMP: 2, ICMPV6: 2}
_ECHO_REQUEST = {4: 8, 6: 128}
_ROUTER_ALERT = {4: b"\x94\x04\x00\x00", 6: b"\x05\x02\x00\x00\x01\x00"}  # RFC 2113; RFC 2711, padded
_HOP_BY_HOP = 0


def endpoint(text: str) -> Endpoint:
    """Read an endpoint as the configuration and the log write it; raises ValueError."""
    address, _, port = text.rpartition(":")
    return Endpoint(ip_address(address.strip("[]")), int(port))


def tcp(
    source: str,
    destination: str,
    flags: int,
    payload: bytes = b"",
    *,
    seq: int = 1000,
    ack: int = 0,
    options: bytes = b"",
) -> bytes:
    """Return a TCP segment; `flags` such as `SYN | ACK`, `options` in whole words of four octets."""
    header = (20 + len(options)) // 4 << 4
    rest = struct.pack("!LLBBHHH", seq % 2**32, ack % 2**32, header, flags, 65535, 0, 0) + options + payload
    return transport(source, destination, TCP, rest, checksum_at=_CHECKSUM_AT[TCP])


def udp(source: str, destination: str, payload: bytes = b"", *, checksummed: bool = True) -> bytes:
    """Return a UDP datagram; with `checksummed=False` its checksum is 0, which says that there is none (RFC 768)."""
    rest = struct.pack("!HH", 8 + len(payload), 0) + payload
    packet = transport(source, destination, UDP, rest, checksum_at=_CHECKSUM_AT[UDP])
    at = Packet(packet).offset + 6
    return packet if checksummed else packet[:at] + b"\0\0" + packet[at + 2 :]


def transport(source: str, destination: str, protocol: int, rest: bytes, *, checksum_at: int) -> bytes:
    """Return a packet of any protocol that has ports as TCP has them; `rest` is what follows the ports.

    `checksum_at` is the offset of the checksum, which counts the pseudo-header, in the transport header.
    """
    (from_, from_port), (to, to_port) = endpoint(source).packed, endpoint(destination).packed
    body = from_port + to_port + rest
    return build(from_, to, protocol, sealed(body, checksum_at, pseudo_sum(from_, to, protocol, len(body))))


def icmp_error(source: str, destination: str, kind: tuple[int, int], quoted: bytes, *, value: int = 0) -> bytes:
    """Return an ICMP error between two addresses; `kind` is type and code, `value` the second word (such as an MTU)."""
    return _icmp(source, destination, struct.pack("!BBHL", *kind, 0, value) + quoted)


def echo(source: str, destination: str, payload: bytes = b"ping") -> bytes:
    """Return an ICMP echo request between two addresses."""
    kind = _ECHO_REQUEST[ip_address(source).version]
    return _icmp(source, destination, struct.pack("!BBHHH", kind, 0, 0, 1, 1) + payload)


def with_extra_header(packet: bytes) -> bytes:
    """Return the packet with a router-alert option: IPv4 options (RFC 2113) or a hop-by-hop header (RFC 2711)."""
    version = packet[0] >> 4
    if version == 6:
        longer = bytearray(packet[:40] + packet[6:7] + b"\0" + _ROUTER_ALERT[6] + packet[40:])
        longer[6] = _HOP_BY_HOP
        resize(longer, 8)
        return bytes(longer)
    header = bytearray(packet[:IPV4_HEADER] + _ROUTER_ALERT[4])
    header[0] = 0x46
    struct.pack_into("!H", header, 2, len(packet) + 4)
    return _checked(header) + packet[IPV4_HEADER:]


def with_hops(packet: bytes, hops: int) -> bytes:
    """Return the packet with another time to live or hop limit."""
    version = packet[0] >> 4
    header = bytearray(packet[: (packet[0] & 15) * 4 if version == 4 else 40])
    header[8 if version == 4 else 7] = hops
    return (_checked(header) if version == 4 else bytes(header)) + packet[len(header) :]


def checksums_are_right(packet: bytes) -> bool:
    """Whether the IPv4 header's and the transport's checksum are right; a UDP checksum of 0 over IPv4 is."""
    view = Packet(packet)
    if view.version == 4 and ones_sum(packet[: (packet[0] & 15) * 4]) != 0xFFFF:
        return False
    at = _CHECKSUM_AT.get(view.protocol)
    if at is None or (view.protocol == UDP and view.version == 4 and view.payload[6:8] == b"\0\0"):
        return True
    with_pseudo_header = view.protocol != ICMP
    pseudo = pseudo_sum(view.source, view.destination, view.protocol, len(view.payload)) if with_pseudo_header else 0
    return (ones_sum(view.payload) + pseudo) % 0xFFFF == 0


def describe(packet: bytes) -> str:
    """Return one line that tells a packet in a failed test: `tcp 192.0.2.1:3000 > 192.0.2.9:80 [S] 0 octets`."""
    view = Packet(packet)
    if view.protocol not in (TCP, UDP):
        kind = "/".join(map(str, view.payload[:2])) if view.is_icmp else ""
        return f"protocol {view.protocol} {kind} {ip_address(view.source)} > {ip_address(view.destination)}"
    flow = FlowKey.from_bytes(view.key)
    if view.protocol == UDP:
        return f"udp {flow} {len(view.payload) - 8} octets"
    flags = "".join(letter for bit, letter in enumerate("FSRPAU") if view.payload[13] & 1 << bit)
    return f"tcp {flow} [{flags}] {len(view.payload) - (view.payload[12] >> 4) * 4} octets"


def _checked(header: bytearray) -> bytes:
    header[10:12] = b"\0\0"
    header[10:12] = checksum(header).to_bytes(2, "big")
    return bytes(header)


def _icmp(source: str, destination: str, body: bytes) -> bytes:
    from_, to = ip_address(source).packed, ip_address(destination).packed
    if len(from_) == 4:
        return build(from_, to, ICMP, sealed(body, 2, 0))
    return build(from_, to, ICMPV6, sealed(body, 2, pseudo_sum(from_, to, ICMPV6, len(body))))
