"""Refusals: from the address that was written to, and never where none may be sent."""

from __future__ import annotations

import pytest

from nat_lb.packet import Packet
from nat_lb.reject import PORT_UNREACHABLE, TIME_EXCEEDED, icmp_error, is_answerable, reset
from nat_lb.segment import Segment
from nat_lb.testing import packets
from nat_lb.testing.packets import ACK, FIN, RST, SYN

V4, V6 = ("202.100.1.2:3000", "202.103.106.5:80"), ("[2001:db8::2]:3000", "[2001:db8::5]:80")
BOTH = pytest.mark.parametrize("ends", [V4, V6], ids=["ipv4", "ipv6"])


@BOTH
def test_reset_of_a_syn_acknowledges_it_and_its_payload(ends: tuple[str, str]) -> None:
    answer = reset(Packet(packets.tcp(*ends, SYN, b"abc", seq=2**32 - 2)))
    assert answer is not None
    segment = Segment(answer)
    assert (segment.flags, segment.seq, segment.ack, segment.payload) == (RST | ACK, 0, 2, b"")
    assert packets.checksums_are_right(answer)
    assert packets.describe(answer).startswith(f"tcp {ends[1]} > {ends[0]} [RA]")


@BOTH
def test_reset_of_an_acknowledging_segment_continues_its_numbers(ends: tuple[str, str]) -> None:
    answer = reset(Packet(packets.tcp(*ends, FIN | ACK, b"abc", seq=9, ack=77)))
    assert answer is not None
    assert (Segment(answer).flags, Segment(answer).seq, Segment(answer).ack) == (RST, 77, 0)


@BOTH
def test_no_reset_is_answered_with_a_reset(ends: tuple[str, str]) -> None:
    assert reset(Packet(packets.tcp(*ends, RST))) is None
    assert reset(Packet(packets.tcp(*ends, RST | ACK))) is None


def test_icmp_error_is_built_as_routers_build_it() -> None:
    packet = packets.udp(*V4, b"x")
    answer = icmp_error(Packet(packet), PORT_UNREACHABLE)
    assert answer is not None
    assert (answer[1], answer[8], answer[9]) == (0xC0, 64, 1)
    assert (answer[20], answer[21], answer[24:28], answer[28:]) == (3, 3, bytes(4), packet)
    assert packets.checksums_are_right(answer)


@pytest.mark.parametrize(("ends", "longest"), [(V4, 576), (V6, 1280)], ids=["ipv4", "ipv6"])
def test_icmp_error_is_no_longer_than_every_link_carries(ends: tuple[str, str], longest: int) -> None:
    answer = icmp_error(Packet(packets.udp(*ends, b"x" * 1300)), TIME_EXCEEDED)
    assert answer is not None
    assert len(answer) == longest
    assert packets.checksums_are_right(answer)


def test_icmp_is_never_answered_with_an_error() -> None:
    assert icmp_error(Packet(packets.echo("202.100.1.2", "202.103.106.5")), TIME_EXCEEDED) is None
    assert icmp_error(Packet(packets.echo("2001:db8::2", "2001:db8::5")), TIME_EXCEEDED) is None


@pytest.mark.parametrize("source", ["224.0.0.1", "0.0.0.0", "127.0.0.1", "[ff02::1]", "[::]", "[::1]"])
def test_sources_that_are_no_single_host_are_not_answered(source: str) -> None:
    to = "[2001:db8::5]:80" if "[" in source else "202.103.106.5:80"
    packet = Packet(packets.tcp(f"{source}:3000", to, SYN))
    assert not is_answerable(packet)
    assert reset(packet) is None
    assert icmp_error(packet, PORT_UNREACHABLE) is None


def test_fragments_are_not_answered() -> None:
    packet = bytearray(packets.udp(*V4, b"x"))
    packet[6] = 0x20
    assert icmp_error(Packet(bytes(packet)), PORT_UNREACHABLE) is None
