"""ICMP errors in detail: what counts as one, what of a quotation can be read; whole dialogues are scenarios."""

from __future__ import annotations

import pytest

from nat_lb import icmp
from nat_lb.errors import PacketError
from nat_lb.packet import Packet
from nat_lb.testing import packets
from nat_lb.testing.packets import ACK

QUOTED4 = packets.tcp("202.103.106.5:80", "202.100.1.2:3000", ACK, b"data")
QUOTED6 = packets.tcp("[2001:db8::5]:80", "[2001:db8::2]:3000", ACK, b"data")


def error4(kind: tuple[int, int] = (3, 4), quoted: bytes = QUOTED4) -> Packet:
    return Packet(packets.icmp_error("202.100.9.9", "202.103.106.5", kind, quoted))


def error6(kind: tuple[int, int] = (2, 0), quoted: bytes = QUOTED6) -> Packet:
    return Packet(packets.icmp_error("2001:db8::9", "2001:db8::5", kind, quoted))


@pytest.mark.parametrize("kind", range(256))
def test_errors_are_told_from_other_messages_of_each_family(kind: int) -> None:
    assert icmp.is_error(error4((kind, 0))) is (kind in (3, 4, 11, 12))
    assert icmp.is_error(error6((kind, 0))) is (kind in (1, 2, 3, 4))


def test_icmp_of_the_other_family_is_no_error() -> None:
    packet = bytearray(error4().data)
    packet[9] = 58
    assert not icmp.is_error(Packet(bytes(packet)))


def test_flow_of_the_quoted_packet_is_found_behind_its_header() -> None:
    assert icmp.quoted(error4(), {}) == (Packet(QUOTED4).key, 28)
    assert icmp.quoted(error6(), {}) == (Packet(QUOTED6).key, 48)


def test_flow_is_found_behind_options_and_extension_headers() -> None:
    assert icmp.quoted(error4(quoted=packets.with_extra_header(QUOTED4)), {}) == (Packet(QUOTED4).key, 32)
    assert icmp.quoted(error6(quoted=packets.with_extra_header(QUOTED6)), {}) == (Packet(QUOTED6).key, 56)


@pytest.mark.parametrize(
    "quoted",
    [b"", QUOTED4[:20], QUOTED4[:27], b"\x65" + QUOTED4[1:], b"\x4f" + QUOTED4[1:], b"\x41" + QUOTED4[1:],
     QUOTED4[:6] + b"\0\1" + QUOTED4[8:]],
)  # fmt: skip
def test_quotation_without_ports_tells_nothing_in_ipv4(quoted: bytes) -> None:
    assert icmp.quoted(error4(quoted=quoted), {}) is None


@pytest.mark.parametrize(
    "quoted",
    [b"", QUOTED6[:39], QUOTED6[:47], QUOTED4, QUOTED6[:6] + b"\x2c" + QUOTED6[7:40] + b"\6\0\0\x08" + bytes(20)],
)
def test_quotation_without_ports_tells_nothing_in_ipv6(quoted: bytes) -> None:
    assert icmp.quoted(error6(quoted=quoted), {}) is None


def test_right_errors_pass_the_check_and_wrong_ones_do_not() -> None:
    for error in error4(), error6():
        icmp.check(error)
        wrong = bytearray(error.data)
        wrong[-1] ^= 1
        with pytest.raises(PacketError, match="icmp-bad-checksum"):
            icmp.check(Packet(bytes(wrong)))


@pytest.mark.parametrize("error", [error4((12, 0)), error6((4, 0))])
def test_parameter_problem_fails_the_check(error: Packet) -> None:
    with pytest.raises(PacketError, match="icmp-untranslatable"):
        icmp.check(error)
