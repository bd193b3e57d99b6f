"""Translation of one packet: only the server's side of the flow changes, and nothing else of the packet."""

from __future__ import annotations

import struct

import pytest

from nat_lb.flow import Direction, Endpoint
from nat_lb.nat import Binding, Traffic, transport_is_trustworthy
from nat_lb.packet import Packet
from nat_lb.testing import packets
from nat_lb.testing.packets import ACK, PSH, endpoint
from nat_lb.trackers import Tcp, Udp
from nat_lb.verdict import Stage

CLIENT, VIRTUAL, REAL = map(endpoint, ("202.100.1.2:3000", "202.103.106.5:80", "172.16.0.3:8000"))
CLIENT6, VIRTUAL6, REAL6 = map(endpoint, ("[2001:db8::2]:3000", "[2001:db8::5]:80", "[fd00::3]:8000"))
Three = tuple[Endpoint, Endpoint, Endpoint]
BOTH = pytest.mark.parametrize("three", [(CLIENT, VIRTUAL, REAL), (CLIENT6, VIRTUAL6, REAL6)], ids=["ipv4", "ipv6"])


def binding(virtual: Endpoint, real: Endpoint, *, udp: bool = False) -> Binding:
    return Binding(Udp if udp else Tcp, virtual, real, (Traffic(), Traffic()))


@BOTH
def test_original_direction_exchanges_the_destination_only(three: Three) -> None:
    client, virtual, real = three
    sent = packets.tcp(str(client), str(virtual), ACK, b"payload", seq=7, ack=8, options=b"\1\1\1\1")
    wanted = packets.tcp(str(client), str(real), ACK, b"payload", seq=7, ack=8, options=b"\1\1\1\1")
    assert binding(virtual, real).original.apply(sent) == wanted


@BOTH
def test_reply_direction_exchanges_the_source_only(three: Three) -> None:
    client, virtual, real = three
    sent = packets.udp(str(real), str(client), b"payload")
    assert binding(virtual, real, udp=True).reply.apply(sent) == packets.udp(str(virtual), str(client), b"payload")


@BOTH
def test_other_numbers_are_written_on_the_way(three: Three) -> None:
    client, virtual, real = three
    both, middle = binding(virtual, real), struct.Struct("!LLHH")
    for seq, ack in ((5, 2**32 - 1), (2**32 - 1, 0), (7, 8), (70000, 2**31)):
        numbers, change = middle.pack(seq, ack, 0x5018, 0xFFFF), seq - 7 + ack - 8
        there = both.original.apply(segment(client, virtual, 7, 8), numbers, change)
        back = both.reply.apply(segment(real, client, 7, 8), numbers, change)
        assert (there, back) == (segment(client, real, seq, ack), segment(virtual, client, seq, ack))


def segment(source: Endpoint, destination: Endpoint, seq: int, ack: int) -> bytes:
    return packets.tcp(str(source), str(destination), ACK | PSH, b"data", seq=seq, ack=ack)


@BOTH
def test_there_and_back_gives_the_same_packet(three: Three) -> None:
    client, virtual, real = three
    there, back = binding(virtual, real), binding(real, virtual)
    sent = packets.tcp(str(client), str(virtual), ACK, b"odd")
    assert back.original.apply(there.original.apply(sent)) == sent


def test_same_endpoint_on_both_sides_changes_nothing() -> None:
    sent = packets.tcp(str(CLIENT), str(VIRTUAL), ACK)
    assert binding(VIRTUAL, VIRTUAL).original.apply(sent) == sent


def test_traffic_class_identification_and_flags_pass_unchanged() -> None:
    sent = bytearray(packets.tcp(str(CLIENT), str(VIRTUAL), ACK))
    sent[1:8] = b"\xb8\x00\x28\x12\x34\x40\x00"
    out = binding(VIRTUAL, REAL).original.apply(packets.with_hops(bytes(sent), 64))
    assert out[:10] == packets.with_hops(bytes(sent), 64)[:10]
    assert packets.checksums_are_right(out)


def test_right_datagram_never_leaves_with_checksum_zero() -> None:
    translation = binding(VIRTUAL, REAL, udp=True).original
    for value in range(0, 0x10000, 0x101):
        out = translation.apply(packets.udp(str(CLIENT), str(VIRTUAL), value.to_bytes(2, "big")))
        assert Packet(out).payload[6:8] != b"\0\0"


def test_directions_are_rewritten_on_their_side_of_routing() -> None:
    both = binding(VIRTUAL, REAL)
    assert (both.original.direction, both.original.wrong_stage) == (Direction.ORIGINAL, Stage.AFTER_ROUTING)
    assert (both.reply.direction, both.reply.wrong_stage) == (Direction.REPLY, Stage.BEFORE_ROUTING)


@BOTH
def test_least_length_is_that_of_both_headers(three: Three) -> None:
    _, virtual, real = three
    base = 20 if virtual is VIRTUAL else 40
    assert binding(virtual, real).original.least_length == base + 20
    assert binding(virtual, real, udp=True).reply.least_length == base + 8


def test_checksum_begun_by_an_offloading_sender_is_trusted() -> None:
    packet = Packet(packets.tcp(str(CLIENT), str(VIRTUAL), ACK, b"payload"))
    segment = bytearray(packet.payload)
    trusted = [bytes(segment)]
    begun = packets.tcp(str(CLIENT), str(VIRTUAL), ACK, b"payload")
    from_pseudo_header = Packet(begun)
    segment[16:18] = b"\0\0"
    sum_of_pseudo_header = _pseudo(from_pseudo_header)
    segment[16:18] = sum_of_pseudo_header.to_bytes(2, "big")
    trusted.append(bytes(segment))
    for data in trusted:
        assert transport_is_trustworthy(packet.source, packet.destination, 6, data, 16)
    segment[17] ^= 1
    assert not transport_is_trustworthy(packet.source, packet.destination, 6, bytes(segment), 16)


def _pseudo(packet: Packet) -> int:
    total = sum(int.from_bytes(packet.source[at : at + 2], "big") for at in (0, 2))
    total += sum(int.from_bytes(packet.destination[at : at + 2], "big") for at in (0, 2)) + 6 + len(packet.payload)
    return (total & 0xFFFF) + (total >> 16)
