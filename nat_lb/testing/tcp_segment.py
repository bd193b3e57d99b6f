"""TCP segments in IP packets, built and read without any of the product's code.

The law: what is tested is not what tests.  Checksums are computed the long way here, from the whole packet.
"""

from __future__ import annotations

import struct
from ipaddress import ip_address
from typing import NamedTuple

from nat_lb.flow import Endpoint

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
MSS, SACK_PERMITTED, SACK, TIMESTAMPS = 2, 4, 5, 8


class Segment(NamedTuple):
    """A TCP segment in an IPv4 or IPv6 packet without options."""

    source: Endpoint
    destination: Endpoint
    seq: int
    ack: int
    flags: int
    window: int
    urgent: int
    options: bytes
    payload: bytes

    def pack(self) -> bytes:
        """Return the packet, both checksums right."""
        size = 20 + len(self.options)
        header = struct.pack("!HHLL", self.source.port, self.destination.port, self.seq, self.ack)
        header += struct.pack("!BBHHH", size << 2, self.flags, self.window, 0, self.urgent) + self.options
        source, destination = self.source.address.packed, self.destination.address.packed
        check = 0xFFFF ^ ones_sum(_pseudo(source, destination, size + len(self.payload)) + header + self.payload)
        tcp = header[:16] + struct.pack("!H", check) + header[18:] + self.payload
        if self.source.address.version == 6:
            return struct.pack("!LHBB", 6 << 28, len(tcp), 6, 64) + source + destination + tcp
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0) + source + destination
        return ip[:10] + struct.pack("!H", 0xFFFF ^ ones_sum(ip)) + ip[12:] + tcp

    @classmethod
    def unpack(cls, packet: bytes) -> tuple[Segment, bool]:
        """Return the segment and whether its checksums are right."""
        at, wide = (20, 4) if packet[0] >> 4 == 4 else (40, 16)
        source, destination, tcp = packet[at - 2 * wide : at - wide], packet[at - wide : at], packet[at:]
        sport, dport, seq, ack, size, flags, window, _, urgent = struct.unpack("!HHLLBBHHH", tcp[:20])
        size = size >> 4 << 2
        length = int.from_bytes(packet[2:4], "big") - 20 if at == 20 else int.from_bytes(packet[4:6], "big")
        good = length == len(tcp) and ones_sum(_pseudo(source, destination, len(tcp)) + tcp) == 0xFFFF
        good &= at == 40 or ones_sum(packet[:20]) == 0xFFFF
        ends = Endpoint(ip_address(source), sport), Endpoint(ip_address(destination), dport)
        return cls(*ends, seq, ack, flags, window, urgent, tcp[20:size], tcp[size:]), good

    def option(self, kind: int) -> bytes | None:
        """Return the value of an option, None if it is not there."""
        rest = self.options
        while rest and rest[0]:
            if rest[0] == 1:
                rest = rest[1:]
            elif rest[0] == kind:
                return rest[2 : rest[1]]
            else:
                rest = rest[rest[1] :]
        return None

    def __str__(self) -> str:
        flags = "".join(letter for bit, letter in enumerate("FSRPAU") if self.flags >> bit & 1)
        rest = f" {self.options.hex()}" if self.options else ""
        head = f"{self.source} > {self.destination} {flags} {self.seq}:{self.ack} win {self.window}"
        return f"{head}{rest} {len(self.payload)} {self.payload[:60]!r}"


def ones_sum(data: bytes) -> int:
    """Return the ones' complement sum of 16-bit words, the long way."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def _pseudo(source: bytes, destination: bytes, length: int) -> bytes:
    return source + destination + struct.pack("!LL", length, 6)


def signed(difference: int) -> int:
    """Return a difference of sequence numbers as the nearest to zero that it can be."""
    return ((difference + 0x80000000) & 0xFFFFFFFF) - 0x80000000
