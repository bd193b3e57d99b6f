"""Captures as lists of TCP segments, and as the set of addresses that a host talked to.

The law: captures are parsed by scapy and nothing of nat-lb's own packet code, which is what is being judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scapy.config import conf
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, TCPerror
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import CookedLinux, CookedLinuxV2
from scapy.packet import Packet
from scapy.utils import PcapReader


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and a port."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class Segment:
    """One TCP segment as a capture has it; `time` is in seconds since the epoch."""

    time: float
    source: Endpoint
    target: Endpoint
    seq: int
    flags: str
    payload: bytes
    ttl: int
    checksum: int


@dataclass(frozen=True)
class Wire:
    """What one host sent and received: its TCP segments in order, and every packet's addresses."""

    path: Path
    segments: list[Segment]
    addresses: frozenset[tuple[str, str]]
    """Source and destination of every IP packet, TCP or not."""


def read(path: Path) -> Wire:
    """Read a capture of the lab."""
    segments, addresses = [], set()
    for packet in _packets(path):
        if IP in packet:
            addresses.add((packet[IP].src, packet[IP].dst))
            if TCP in packet:
                segments.append(_segment(packet))
        elif IPv6 in packet:
            addresses.add((packet[IPv6].src, packet[IPv6].dst))
    return Wire(path, segments, frozenset(addresses))


def _packets(path: Path) -> Iterator[Packet]:
    # Nothing above TCP is to be dissected: it costs seconds and is not needed.
    conf.layers.filter([CookedLinux, CookedLinuxV2, IP, IPv6, TCP, UDP, ICMP, IPerror, TCPerror])
    try:
        with PcapReader(str(path)) as reader:
            yield from reader
    finally:
        conf.layers.unfilter()


def _segment(packet: Packet) -> Segment:
    ip, tcp = packet[IP], packet[TCP]
    source, target = Endpoint(ip.src, tcp.sport), Endpoint(ip.dst, tcp.dport)
    # By IP's length, and not all that follows: a short frame is padded.
    length = ip.len - 4 * ip.ihl - 4 * tcp.dataofs
    payload = bytes(tcp.payload)[:length]
    return Segment(float(packet.time), source, target, tcp.seq, str(tcp.flags), payload, ip.ttl, tcp.chksum)
