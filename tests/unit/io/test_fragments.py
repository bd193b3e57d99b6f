"""Fragments: whole or not seen, and cut again as they were."""

from __future__ import annotations

import json
import struct
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP, IPOption, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, PadN, fragment6
from scapy.packet import Raw

from nat_lb.io.fragments import LIFETIME, Datagram, Reassembly, is_fragment
from nat_lb.packet import lower_hops

GOLDEN = Path(__file__).parents[4] / "shared" / "ipvs-golden" / "packets.json"
PAYLOAD = bytes(i & 0xFF for i in range(3000))


def v4(size: int = 3000, pieces: int = 1000, **fields: Any) -> list[bytes]:
    packet = IP(src="10.0.0.1", dst="10.0.0.2", id=77, **fields) / UDP(sport=1, dport=2) / PAYLOAD[:size]
    cut = fragment(IP(bytes(packet)), fragsize=pieces)  # type: ignore[no-untyped-call]
    return [bytes(piece) for piece in cut]


def v6(size: int = 3000, ident: int = 77, options: bool = False) -> list[bytes]:
    before = IPv6ExtHdrDestOpt(options=[PadN(optdata=b"abcd")]) if options else None
    head = IPv6(src="2001:db8::1", dst="2001:db8::2")
    head = head / before / IPv6ExtHdrFragment(id=ident) if before else head / IPv6ExtHdrFragment(id=ident)
    packet = head / UDP(sport=1, dport=2) / Raw(PAYLOAD[:size])
    return [bytes(piece) for piece in fragment6(packet, 1280)]  # type: ignore[no-untyped-call]


def whole(fragments: list[bytes], now: float = 0.0) -> Datagram | None:
    reassembly = Reassembly()
    results = [reassembly.add(fragment, now) for fragment in fragments]
    assert not any(results[:-1])
    return results[-1]


@pytest.mark.skipif(not GOLDEN.exists(), reason="the golden packets are not beside this checkout")
def test_fragments_leave_as_the_kernel_sends_them() -> None:
    (case,) = (case for case in json.loads(GOLDEN.read_text()) if case["case"] == "udp 2 fragments in order")
    datagram = whole([bytes.fromhex(packet) for packet in case["pkt_in"]])
    assert datagram is not None
    translated = IP(datagram.data)
    translated.dst, translated[UDP].dport = "10.2.0.12", 5353
    del translated.chksum, translated[UDP].chksum
    out = bytearray(bytes(translated))
    lower_hops(out)
    assert [piece.hex() for piece in datagram.cut(out)] == [packet["pkt"] for packet in case["out"]]


@pytest.mark.parametrize("fragments", [v4(), v4(options=IPOption(b"\x94\x04\0\0")), v6(), v6(options=True)])
def test_any_order_gives_the_same_datagram_and_the_same_cut(fragments: list[bytes]) -> None:
    assert len(fragments) > 2
    for order in permutations(fragments):
        datagram = whole(list(order))
        assert datagram is not None
        assert not is_fragment(datagram.data)
        assert datagram.cut(datagram.data) == fragments


def test_whole_ipv4_datagram_is_what_was_cut() -> None:
    datagram = whole(v4())
    assert datagram is not None
    packet = IP(datagram.data)
    assert bytes(packet[UDP].payload) == PAYLOAD
    check = packet.chksum
    del packet.chksum
    assert IP(bytes(packet)).chksum == check


@pytest.mark.parametrize("options", [False, True])
def test_whole_ipv6_datagram_is_what_was_cut(options: bool) -> None:
    datagram = whole(v6(options=options))
    assert datagram is not None
    packet = IPv6(datagram.data)
    assert IPv6ExtHdrFragment not in packet
    assert packet.plen == len(datagram.data) - 40
    assert bytes(packet[UDP].payload) == PAYLOAD


@pytest.mark.parametrize("growth", [-700, -8, -1, 1, 5, 8, 993, 2500])
@pytest.mark.parametrize("make", [v4, v6])
def test_grown_or_shrunk_datagram_is_cut_into_valid_fragments(make: object, growth: int) -> None:
    fragments: list[bytes] = make()  # type: ignore[operator]
    datagram = whole(fragments)
    assert datagram is not None
    longer = bytearray(datagram.data[:growth] if growth < 0 else datagram.data + bytes(growth))
    at, less = (2, 0) if longer[0] >> 4 == 4 else (4, 40)
    struct.pack_into("!H", longer, at, len(longer) - less)
    pieces = datagram.cut(longer)
    assert max(map(len, pieces)) <= max(map(len, fragments))
    again = whole(pieces)
    assert again is not None
    assert again.data[40:] == longer[40:]


def test_datagram_that_now_fits_is_sent_whole() -> None:
    datagram = whole(v4(1100))
    assert datagram is not None
    assert datagram.cut(datagram.data[:900]) == [datagram.data[:900]]


def test_overlap_discards_the_datagram_and_what_follows() -> None:
    first, second, third, *_ = v4()
    shifted = bytearray(second)
    struct.pack_into("!H", shifted, 6, struct.unpack_from("!H", second, 6)[0] - 1)
    reassembly = Reassembly()
    assert [reassembly.add(piece, 0.0) for piece in (first, bytes(shifted), second, third)] == [None] * 4
    assert (reassembly.discarded, reassembly.waiting) == (4, 0)


def test_exact_duplicate_is_ignored() -> None:
    first, *rest = v4()
    assert whole([first, first, *rest]) is not None


def test_second_and_different_end_discards_the_datagram() -> None:
    first, _, *_, last = v4()
    early = bytearray(last)
    struct.pack_into("!H", early, 6, 1008 // 8)
    assert whole([first, last, bytes(early)]) is None


def test_fragment_that_would_end_past_64_kib_is_discarded() -> None:
    late = bytearray(v4()[1])
    struct.pack_into("!H", late, 6, 0x1FFF)
    reassembly = Reassembly()
    assert reassembly.add(bytes(late), 0.0) is None
    assert reassembly.discarded == 1


def test_incomplete_datagram_is_given_up_after_its_lifetime() -> None:
    first, *rest = v4()
    reassembly = Reassembly()
    reassembly.add(first, 0.0)
    assert reassembly.waiting == 1
    assert [reassembly.add(piece, LIFETIME) for piece in rest] == [None] * len(rest)
    assert reassembly.discarded == 1


def test_datagrams_of_a_flood_of_first_fragments_are_bounded() -> None:
    reassembly = Reassembly()
    fragment = bytearray(v4()[0])
    for ident in range(5000):
        struct.pack_into("!H", fragment, 4, ident)
        reassembly.add(bytes(fragment), 0.0)
    assert reassembly.waiting <= 1025
    assert reassembly.waiting + reassembly.discarded == 5000


def test_interleaved_datagrams_are_kept_apart() -> None:
    left, right = v6(ident=1), v6(ident=2)
    reassembly = Reassembly()
    results = [reassembly.add(piece, 0.0) for pair in zip(left, right, strict=True) for piece in pair]
    assert [result is not None for result in results[-2:]] == [True, True]
    assert results[-1] is not None and results[-1].cut(results[-1].data) == right


def test_whole_packets_are_no_fragments() -> None:
    assert not is_fragment(bytes(IP(flags="DF") / UDP()))
    assert not is_fragment(bytes(IPv6() / UDP()))
    assert not is_fragment(bytes(IPv6() / IPv6ExtHdrFragment(offset=0, m=0) / UDP()))  # atomic, RFC 6946
    assert not is_fragment(bytes(IPv6() / IPv6ExtHdrDestOpt() / UDP()))


def test_fragments_of_both_families_are_recognised() -> None:
    assert all(map(is_fragment, [*v4(), *v6(), *v6(options=True)]))


@given(st.binary(min_size=20, max_size=120), st.booleans())
def test_any_bytes_are_taken_without_an_exception(data: bytes, is_v4: bool) -> None:
    data = bytes([data[0] & 15 | (0x40 if is_v4 else 0x60)]) + data[1:] + bytes(0 if is_v4 else 20)
    if is_fragment(data):
        datagram = Reassembly().add(data, 0.0)
        assert datagram is None or datagram.cut(datagram.data)
