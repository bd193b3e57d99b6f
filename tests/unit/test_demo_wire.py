"""Captures become segments: no padding in a payload, and every address is noticed."""

from __future__ import annotations

from pathlib import Path

from scapy.config import conf
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import CookedLinuxV2, Ether
from scapy.packet import Packet, Padding, Raw
from scapy.utils import wrpcap

from nat_lb.demo.wire import Endpoint, Wire, read

COOKED_V2 = 276
REQUEST = IP(src="202.100.1.2", dst="202.103.106.5", ttl=63) / TCP(sport=3456, dport=80, seq=7, flags="PA") / b"GET"


def captured(tmp_path: Path, *packets: Packet) -> Wire:
    path = tmp_path / "some.pcap"
    wrpcap(str(path), [CookedLinuxV2(proto=0x86DD if IPv6 in one else 0x0800) / one for one in packets])
    return read(path)


def test_segment_has_the_fields_of_the_packet(tmp_path: Path) -> None:
    [segment] = captured(tmp_path, REQUEST).segments
    assert (segment.source, segment.target) == (Endpoint("202.100.1.2", 3456), Endpoint("202.103.106.5", 80))
    assert (segment.seq, segment.flags, segment.payload, segment.ttl) == (7, "PA", b"GET", 63)
    assert segment.checksum == IP(bytes(REQUEST))[TCP].chksum


def test_padding_of_a_short_frame_is_no_payload(tmp_path: Path) -> None:
    bare = IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1, dport=2, flags="A")
    [segment] = captured(tmp_path, IP(bytes(bare)) / Padding(b"\0" * 6)).segments
    assert segment.payload == b""


def test_addresses_of_packets_that_are_not_tcp_count_too(tmp_path: Path) -> None:
    other = IP(src="172.16.0.2", dst="202.100.1.2") / UDP(sport=1, dport=2) / Raw(b"x")
    sixth = IPv6(src="2001:db8::1", dst="2001:db8::2") / UDP(sport=1, dport=2)
    wire = captured(tmp_path, REQUEST, other, sixth)
    assert wire.addresses == {
        ("202.100.1.2", "202.103.106.5"),
        ("172.16.0.2", "202.100.1.2"),
        ("2001:db8::1", "2001:db8::2"),
    }
    assert len(wire.segments) == 1


def test_scapy_dissects_other_layers_again_afterwards(tmp_path: Path) -> None:
    captured(tmp_path, REQUEST)
    assert Ether in conf.layers
    assert Ether(bytes(Ether() / REQUEST))[TCP].dport == 80
