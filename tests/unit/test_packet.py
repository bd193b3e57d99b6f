"""Views of IP packets: what is found where, and what is no packet at all."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from nat_lb.errors import PacketError
from nat_lb.packet import Packet, flow_key, lower_hops, resize
from nat_lb.testing import packets
from nat_lb.testing.packets import SYN

V4 = packets.tcp("202.100.1.2:3000", "202.103.106.5:80", SYN, b"data")
V6 = packets.tcp("[2001:db8::2]:3000", "[2001:db8::5]:80", SYN, b"data")
BOTH = pytest.mark.parametrize("packet", [V4, V6], ids=["ipv4", "ipv6"])


@BOTH
def test_view_tells_the_fields_of_the_header(packet: bytes) -> None:
    view = Packet(packet)
    names = ("202.100.1.2", "202.103.106.5") if packet is V4 else ("2001:db8::2", "2001:db8::5")
    assert (str(ip_address(view.source)), str(ip_address(view.destination))) == names
    assert (view.version, view.protocol, view.hops, view.fragment) == (4 if packet is V4 else 6, 6, 64, False)
    assert view.payload.endswith(b"data")
    assert view.plain is packet


@BOTH
def test_extra_headers_are_peeled_off_and_put_back_unchanged(packet: bytes) -> None:
    longer = packets.with_extra_header(packet)
    view = Packet(longer)
    assert view.plain == packet
    assert bytes(view.restore(view.plain)) == longer


@BOTH
def test_plain_packet_may_change_and_grow_before_its_headers_return(packet: bytes) -> None:
    view = Packet(packets.with_extra_header(packet))
    plain = bytearray(view.plain + b"more")
    resize(plain, 4)
    lower_hops(plain)
    result = bytes(view.restore(plain))
    again = Packet(result)
    assert (again.hops, again.payload, len(again.data)) == (63, view.payload + b"more", len(view.data) + 4)
    if packet is V4:
        assert packets.with_hops(result, 63) == result


def test_wrong_header_checksum_is_wrong_by_as_much_in_the_plain_packet() -> None:
    longer = bytearray(packets.with_extra_header(V4))
    longer[10:12] = ((int.from_bytes(longer[10:12], "big") + 5) % 0xFFFF).to_bytes(2, "big")
    plain = Packet(bytes(longer)).plain
    assert (int.from_bytes(plain[10:12], "big") - int.from_bytes(V4[10:12], "big")) % 0xFFFF == 5
    assert bytes(Packet(bytes(longer)).restore(plain)) == longer


def test_every_extension_header_is_stepped_over() -> None:
    chain = (
        b"\x2b" + bytes(7) + b"\x3c" + bytes(7) + b"\x06\x01" + bytes(14)
    )  # hop-by-hop, routing, 16 octets of options
    packet = V6[:4] + (len(V6) - 40 + len(chain)).to_bytes(2, "big") + b"\0" + V6[7:40] + chain + V6[40:]
    view = Packet(packet)
    assert (view.protocol, view.plain) == (6, V6)
    assert bytes(view.restore(view.plain)) == packet


@pytest.mark.parametrize("offset_and_more", [0x0001, 0x0008, 0xFFF8])
def test_ipv6_fragment_is_told_and_what_follows_it_is_not_read(offset_and_more: int) -> None:
    header = b"\x3c\0" + offset_and_more.to_bytes(2, "big") + bytes(4)  # what follows would be an endless option header
    body = header + b"\x3c\xff" * 4
    packet = V6[:4] + len(body).to_bytes(2, "big") + b"\x2c" + V6[7:40] + body
    assert Packet(packet).fragment


@pytest.mark.parametrize(
    ("octets", "fragment"), [(b"\x20\0", True), (b"\0\1", True), (b"\x40\0", False), (b"\x80\0", False)]
)
def test_ipv4_fragment_is_told_by_offset_and_more(octets: bytes, fragment: bool) -> None:
    packet = V4[:6] + octets + V4[8:]
    assert Packet(packet).fragment is fragment
    assert (flow_key(packet) is None) is fragment


def test_no_flow_key_is_cut_where_ports_are_not_in_their_usual_place() -> None:
    assert flow_key(packets.with_extra_header(V4)) is None
    assert flow_key(b"\x00" * 40) is None
    assert flow_key(packets.with_extra_header(V6)) != flow_key(V6)


MALFORMED = {
    "nothing": (b"", "malformed"),
    "no IP version": (b"\x50" + V4[1:], "malformed"),
    "IPv4 header too short": (b"\x44" + V4[1:], "malformed"),
    "IPv4 shorter than its header": (V4[:2] + b"\0\x13" + V4[4:], "malformed"),
    "IPv4 cut in its header": (V4[:19], "truncated"),
    "IPv4 cut behind its header": (V4[:-1], "truncated"),
    "IPv4 options beyond the end": (b"\x4f" + V4[1:2] + b"\0\x14" + V4[4:20], "malformed"),
    "IPv6 cut in its header": (V6[:39], "truncated"),
    "IPv6 cut behind its header": (V6[:-1], "truncated"),
    "IPv6 extension beyond the end": (V6[:4] + b"\0\x08\0" + V6[7:40] + b"\x06\xff" + bytes(6), "truncated"),
    "IPv6 extension cut": (V6[:4] + b"\0\x04\0" + V6[7:40] + bytes(4), "truncated"),
}


@pytest.mark.parametrize("what", sorted(MALFORMED))
def test_bytes_that_are_no_packet_are_refused_with_a_reason(what: str) -> None:
    data, reason = MALFORMED[what]
    with pytest.raises(PacketError) as caught:
        Packet(data)
    assert caught.value.reason == reason


@BOTH
def test_octets_behind_the_packet_are_not_part_of_it(packet: bytes) -> None:
    assert Packet(packet + b"\0" * 6).plain == packet


@BOTH
def test_lowering_hops_keeps_the_checksum_right(packet: bytes) -> None:
    for hops in range(255, 1, -1):
        data = bytearray(packets.with_hops(packet, hops))
        lower_hops(data)
        assert bytes(data) == packets.with_hops(packet, hops - 1)
