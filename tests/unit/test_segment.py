"""TCP segments: read, and put together anew with right checksums."""

from __future__ import annotations

import pytest

from nat_lb.errors import PacketError
from nat_lb.packet import Packet, pseudo_sum
from nat_lb.payload import acknowledgement
from nat_lb.segment import LAYOUTS, Segment
from nat_lb.testing import packets
from nat_lb.testing.packets import ACK, PSH, SYN, URG

V4, V6 = ("202.100.1.2:3000", "202.103.106.5:80"), ("[2001:db8::2]:3000", "[2001:db8::5]:80")
BOTH = pytest.mark.parametrize("ends", [V4, V6], ids=["ipv4", "ipv6"])
SACK = b"\x01\x01\x05\x12" + b"".join(edge.to_bytes(4, "big") for edge in (100, 200, 300, 2**32 - 1))


@BOTH
def test_header_fields_are_read_where_they_are(ends: tuple[str, str]) -> None:
    segment = Segment(packets.tcp(*ends, SYN | ACK, b"data", seq=7, ack=8, options=b"\x02\x04\x05\xb4"))
    assert (segment.seq, segment.ack, segment.flags, segment.window, segment.header) == (7, 8, SYN | ACK, 65535, 24)
    assert (segment.payload, segment.mss, segment.timestamps) == (b"data", 1460, None)
    assert (segment.source, segment.destination) == (Packet(segment.data).source, Packet(segment.data).destination)


@BOTH
@pytest.mark.parametrize("payload", [b"", b"x", b"longer than before", b"even"])
@pytest.mark.parametrize("old", [b"", b"odd", b"data"])
def test_rebuilt_segment_is_the_one_built_anew(ends: tuple[str, str], old: bytes, payload: bytes) -> None:
    segment = Segment(packets.tcp(*ends, ACK | PSH, old, seq=7, ack=8, options=b"\1\1\1\0"))
    assert segment.rebuilt(2**32 + 5, 2**32 - 1, payload, flags=ACK) == packets.tcp(
        *ends, ACK, payload, seq=5, ack=2**32 - 1, options=b"\1\1\1\0"
    )


def test_urgent_pointer_is_written_and_checksummed() -> None:
    segment = Segment(packets.tcp(*V4, ACK | URG, b"data"))
    again = segment.rebuilt(segment.seq, segment.ack, b"data", urgent=3)
    assert Segment(again).urgent == 3
    assert packets.checksums_are_right(again)


def test_every_edge_of_a_sack_option_is_mapped() -> None:
    segment = Segment(packets.tcp(*V4, ACK, options=SACK))
    again = segment.rebuilt(segment.seq, segment.ack, b"", sack=lambda left, right: (left + 10, right + 10))
    edges = [int.from_bytes(again[at : at + 4], "big") for at in range(44, 60, 4)]
    assert edges == [110, 210, 310, 9]
    assert packets.checksums_are_right(again)


def test_block_of_which_nothing_is_left_becomes_padding() -> None:
    segment = Segment(packets.tcp(*V4, ACK, options=SACK))
    at = segment.data.index(SACK)
    first = segment.rebuilt(segment.seq, segment.ack, b"", sack=lambda left, right: (left, min(right, 250)))
    assert first[at : at + len(SACK)] == SACK[:3] + b"\x0a" + SACK[4:12] + b"\x01" * 8
    none = segment.rebuilt(segment.seq, segment.ack, b"", sack=lambda left, right: (left, left))
    assert none[at : at + len(SACK)] == b"\x01" * len(SACK)
    assert packets.checksums_are_right(first)
    assert packets.checksums_are_right(none)


def test_timestamps_are_found_among_other_options() -> None:
    options = b"\x02\x04\x05\xb4\x04\x02\x08\x0a\x11\x22\x33\x44\x00\x00\x00\x00\x01\x03\x03\x07"
    assert Segment(packets.tcp(*V4, SYN, options=options)).timestamps == (b"\x11\x22\x33\x44", bytes(4))


@pytest.mark.parametrize(
    "options", [b"\x02\x00\x00\x00", b"\x02\x01\x00\x00", b"\x08\xff\x00\x00", b"\x01\x01\x01\x02"]
)
def test_options_of_a_wrong_length_end_the_reading(options: bytes) -> None:
    segment = Segment(packets.tcp(*V4, SYN, options=options))
    assert (segment.mss, segment.timestamps) == (None, None)


@BOTH
def test_answer_goes_back_with_right_checksums(ends: tuple[str, str]) -> None:
    answer = Segment(packets.tcp(*ends, ACK, b"data")).answer(1, 2, ACK, window=9, options=b"\1\1\1\1")
    view = Segment(answer)
    assert (view.seq, view.ack, view.flags, view.window, view.header, view.payload) == (1, 2, ACK, 9, 24, b"")
    assert packets.describe(answer) == f"tcp {ends[1]} > {ends[0]} [A] 0 octets"
    assert packets.checksums_are_right(answer)


@pytest.mark.parametrize(("change", "reason"), [((32, 0x40), "malformed"), ((32, 0xF0), "malformed")])
def test_header_length_that_cannot_be_is_refused(change: tuple[int, int], reason: str) -> None:
    packet = bytearray(packets.tcp(*V4, ACK))
    packet[change[0]] = change[1]
    with pytest.raises(PacketError, match=reason):
        Segment(bytes(packet))


def test_header_that_is_not_whole_is_refused() -> None:
    with pytest.raises(PacketError, match="truncated"):
        Segment(packets.tcp(*V4, ACK)[:39])


def test_acknowledgement_in_a_peers_place_is_as_recent_as_what_its_receiver_took() -> None:
    options = b"\x01\x01\x08\x0a" + b"\x00\x00\x00\x07" + b"\x00\x00\x00\x09"
    answer = Segment(acknowledgement(Segment(packets.tcp(*V4, ACK, b"x", options=options)), 100, None))
    assert answer.timestamps == (b"\x00\x00\x00\x09", b"\x00\x00\x00\x07")
    assert (answer.flags, answer.ack) == (ACK, 100)


@BOTH
@pytest.mark.parametrize("payload", [b"", b"x", b"even", b"odd" * 99])
def test_checksum_is_sound_if_right_or_only_begun(ends: tuple[str, str], payload: bytes) -> None:
    packet = packets.tcp(*ends, ACK, payload, seq=7, ack=8)
    layout = LAYOUTS[Packet(packet).version]
    at = layout.at + 16
    view = Packet(packet)
    begun = pseudo_sum(view.source, view.destination, 6, len(packet) - layout.at).to_bytes(2, "big")
    assert layout.is_sound(packet)
    assert layout.is_sound(packet[:at] + begun + packet[at + 2 :])
    for damaged in (layout.at - 1, layout.at, at, len(packet) - 1):
        assert not layout.is_sound(packet[:damaged] + bytes((packet[damaged] ^ 4,)) + packet[damaged + 1 :])
