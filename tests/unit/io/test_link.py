"""Link layers: the IP packet is found in every kind of frame, and framed again as it came."""

from __future__ import annotations

import pytest

from nat_lb.io.link import ETHERNET, find_ip, framed, ip_length

V4 = b"\x45\x00\x00\x14" + bytes(16)
V6 = b"\x60\x00\x00\x00\x00\x03" + bytes(34) + b"abc"
MACS = bytes(range(12))


@pytest.mark.parametrize(
    ("link", "before"),
    [
        (ETHERNET, MACS + b"\x08\x00"),
        (ETHERNET, MACS + b"\x81\x00\x00\x05\x08\x00"),
        (ETHERNET, MACS + b"\x88\xa8\x00\x01\x81\x00\x00\x05\x08\x00"),
        (113, bytes(14) + b"\x08\x00"),
        (113, bytes(14) + b"\x81\x00\x00\x05\x08\x00"),
        (276, b"\x08\x00" + bytes(18)),
        (0, b"\x02\x00\x00\x00"),
        (108, b"\x00\x00\x00\x02"),
        *((kind, b"") for kind in (12, 14, 101, 228, 229)),
    ],
)
def test_packet_is_found_behind_every_header(link: int, before: bytes) -> None:
    assert find_ip(link, before + V4) == len(before)
    assert find_ip(link, before.replace(b"\x08\x00", b"\x86\xdd") + V6) == len(before)


@pytest.mark.parametrize(
    ("link", "frame"),
    [
        (ETHERNET, MACS + b"\x08\x06" + bytes(28)),
        (ETHERNET, MACS + b"\x00\x27" + bytes(39)),
        (ETHERNET, MACS),
        (ETHERNET, MACS + b"\x08\x00"),
        (ETHERNET, MACS + b"\x81\x00"),
        (113, bytes(14) + b"\x08\x06" + bytes(28)),
        (276, b"\x08\x06" + bytes(40)),
        (101, b""),
        (101, b"\x30" + bytes(30)),
        (0, b"\x02\x00\x00\x00"),
    ],
)
def test_frame_without_a_packet_is_no_error(link: int, frame: bytes) -> None:
    assert find_ip(link, frame) == -1


def test_packet_says_its_own_length() -> None:
    assert ip_length(V4 + bytes(26), 0) == 20
    assert ip_length(b"xx" + V6 + bytes(6), 2) == 43
    assert ip_length(V6[:39], 0) == 0


def test_frame_keeps_addresses_and_tags() -> None:
    header = MACS + b"\x81\x00\x00\x05\x08\x00"
    assert framed(V4, header) == header + V4
    assert framed(V6, header) == header[:-2] + b"\x86\xdd" + V6


def test_frame_of_an_answer_goes_back() -> None:
    assert framed(V4, MACS + b"\x08\x00", turned=True) == MACS[6:] + MACS[:6] + b"\x08\x00" + V4


def test_packet_without_a_header_gets_addresses_of_zeros() -> None:
    assert framed(V6, b"") == bytes(12) + b"\x86\xdd" + V6
