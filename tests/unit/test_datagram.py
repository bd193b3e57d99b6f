"""Datagram rewriting: lengths and checksum follow the payload, and nothing else changes."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from nat_lb.datagram import DatagramRewriter
from nat_lb.errors import PacketError
from nat_lb.flow import Direction
from nat_lb.helper import Edit, Helper, Message, Peers
from nat_lb.testing import packets
from nat_lb.testing.packets import endpoint
from nat_lb.testing.recording import Recording

FOUR = "202.100.1.2:3000", "202.103.106.5:69", "172.16.0.3:69"
SIX = "[2001:db8::2]:3000", "[2001:db8::5]:69", "[fd00::3]:69"
BOTH = pytest.mark.parametrize("ends", [FOUR, SIX], ids=["ipv4", "ipv6"])
Ends = tuple[str, str, str]


class Notes(Recording):
    """A ledger that remembers faults."""

    now = 0.0

    def __init__(self, peers: Peers) -> None:
        super().__init__(peers)
        self.faults: list[str] = []

    def begin(self) -> None: ...

    def undo(self) -> None: ...

    def commit(self, edited: bool) -> None: ...

    def fault(self, method: str, error: Exception) -> None:
        self.faults.append(f"{method}: {error}")


class Upper(Helper):
    """Makes `cat` in the server's datagrams `tiger` and `a`; STOP turns it off."""

    name = "upper"
    protocol = "udp"

    def rewrite(self, message: Message) -> Iterable[Edit]:
        if message.data == b"STOP":
            message.stop()
        if message.data == b"FAIL":
            raise RuntimeError("no")
        at = message.data.find(b"cat")
        return [Edit(at, at + 3, b"a" if b"short" in message.data else b"tiger")] if at >= 0 else []


def rewriter(ends: Ends) -> DatagramRewriter:
    peers = Peers(*map(endpoint, ends))
    return DatagramRewriter(Upper(peers), peers, Notes(peers))


@BOTH
@pytest.mark.parametrize("text", [b"a cat", b"cat", b"odd cat!", b"a short cat", b"x" * 1001 + b"cat"])
def test_edited_datagram_is_what_its_sender_would_have_sent(ends: Ends, text: bytes) -> None:
    client, _, real = ends
    wanted = text.replace(b"cat", b"a" if b"short" in text else b"tiger")
    out = rewriter(ends).rewrite(packets.udp(real, client, text), Direction.REPLY, 0.0)
    assert out == packets.udp(real, client, wanted)


@BOTH
def test_datagram_with_nothing_to_edit_is_the_same_object(ends: Ends) -> None:
    sent = packets.udp(ends[0], ends[1], b"dog")
    assert rewriter(ends).rewrite(sent, Direction.ORIGINAL, 0.0) is sent


def test_datagram_without_a_checksum_stays_without() -> None:
    def bare(text: bytes) -> bytes:
        packet = bytearray(packets.udp(FOUR[2], FOUR[0], text))
        packet[26:28] = b"\0\0"
        return bytes(packet)

    assert rewriter(FOUR).rewrite(bare(b"a cat"), Direction.REPLY, 0.0) == bare(b"a tiger")


def test_wrong_checksum_is_never_shown_nor_repaired() -> None:
    packet = bytearray(packets.udp(FOUR[2], FOUR[0], b"a cat"))
    packet[-1] ^= 1
    with pytest.raises(PacketError, match="bad-checksum"):
        rewriter(FOUR).rewrite(bytes(packet), Direction.REPLY, 0.0)


@pytest.mark.parametrize("length", [0, 7, 14, 0xFFFF])
def test_length_that_cannot_be_is_malformed(length: int) -> None:
    packet = bytearray(packets.udp(FOUR[2], FOUR[0], b"a cat"))
    packet[24:26] = length.to_bytes(2, "big")
    with pytest.raises(PacketError, match="malformed"):
        rewriter(FOUR).rewrite(bytes(packet), Direction.REPLY, 0.0)


def test_datagram_that_would_outgrow_its_length_field_is_refused() -> None:
    peers = Peers(*map(endpoint, FOUR))

    class Huge(Upper):
        def rewrite(self, message: Message) -> Iterable[Edit]:
            return [Edit(0, 1, b"x" * 65600)]

    huge = DatagramRewriter(Huge(peers), peers, Notes(peers))
    with pytest.raises(PacketError, match="malformed"):
        huge.rewrite(packets.udp(FOUR[2], FOUR[0], b"a cat"), Direction.REPLY, 0.0)


def test_helper_that_stops_is_finished_and_one_that_fails_is_not() -> None:
    line, finished = rewriter(FOUR), []
    for text in b"FAIL", b"STOP":
        line.rewrite(packets.udp(FOUR[0], FOUR[1], text), Direction.ORIGINAL, 0.0)
        finished.append(line.finished)
    assert finished == [False, True]
    assert not line.began_with(b"")
    sent = packets.udp(FOUR[2], FOUR[0], b"a cat")
    assert line.rewrite(sent, Direction.REPLY, 0.0) is sent
