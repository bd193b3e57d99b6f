"""Payload rewriting, segment by segment, on one connection; many at once and two whole TCPs are in tests/property."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from nat_lb.errors import PacketError
from nat_lb.flow import Direction
from nat_lb.helper import Edit, Helper, Message, Peers
from nat_lb.payload import Rewritten, TcpRewriter
from nat_lb.segment import Segment
from nat_lb.testing import packets
from nat_lb.testing.packets import ACK, FIN, PSH, SYN, URG, endpoint
from nat_lb.testing.recording import Recording
from tests.nowhere import nowhere

CLIENT, VIRTUAL, REAL = "202.100.1.2:3000", "202.103.106.5:21", "172.16.0.3:21"
PEERS = Peers(endpoint(CLIENT), endpoint(VIRTUAL), endpoint(REAL))
NOWHERE = nowhere(PEERS.virtual, PEERS.real)


class Upper(Helper):
    """Makes every server's line that names `cat` name `tiger`; notes all that it was shown."""

    name = "upper"
    longest_message = 64

    def __init__(self, peers: Peers) -> None:
        super().__init__(peers)
        self.seen: list[bytes] = []

    def rewrite(self, message: Message) -> Iterable[Edit]:
        self.seen.append(message.data)
        if message.data == b"QUIT\r\n":
            message.stop()
        at = message.data.find(b"cat")
        return [Edit(at, at + 3, b"tiger")] if at >= 0 and not message.from_client else []


class Notes(Recording):
    """A ledger that records, and has no port to give."""

    def __init__(self) -> None:
        super().__init__(PEERS)
        self.full = True
        self.now = 0.0
        self.faults: list[str] = []
        self.undone = 0

    def begin(self) -> None: ...

    def commit(self, edited: bool) -> None: ...

    def undo(self) -> None:
        self.undone += 1

    def fault(self, method: str, error: Exception) -> None:
        self.faults.append(f"{method}: {error}")


class Line:
    """Both ends of the connection, before translation: server's stream starts at 5001, client's at 1001."""

    def __init__(self, helper: Helper | None = None, *, mss: int = 1460) -> None:
        self.helper = helper or Upper(PEERS)
        self.notes = Notes()
        self.rewriter = TcpRewriter(self.helper, PEERS, self.notes)
        option = b"\x02\x04" + mss.to_bytes(2, "big")
        self.send(Direction.ORIGINAL, SYN, seq=1000, ack=0, options=option)
        self.send(Direction.REPLY, SYN | ACK, seq=5000, ack=1001, options=option)

    def send(self, direction: Direction, flags: int, payload: bytes = b"", **fields: int | bytes) -> bytes | Rewritten:
        ends = (CLIENT, VIRTUAL) if direction is Direction.ORIGINAL else (REAL, CLIENT)
        result = self.take(packets.tcp(*ends, flags, payload, **fields), direction)  # type: ignore[arg-type]
        for packet in (*result.onward, *result.back) if isinstance(result, Rewritten) else (result,):
            assert packets.checksums_are_right(packet)
        return result

    def take(self, data: bytes, direction: Direction) -> bytes | Rewritten:
        """Do with a packet what the pipeline does."""
        through = self.rewriter.through(data, NOWHERE[direction], 0.0)
        return self.rewriter.rewrite(data, direction, 0.0) if through is None else through

    def server(self, payload: bytes, seq: int, flags: int = ACK | PSH, **fields: int | bytes) -> Segment:
        result = self.send(Direction.REPLY, flags, payload, **{"ack": 1001, **fields}, seq=seq)
        assert isinstance(result, bytes), result
        return Segment(result)

    def client(self, payload: bytes = b"", seq: int = 1001, ack: int = 5001, **fields: int | bytes) -> Segment:
        result = self.send(Direction.ORIGINAL, ACK, payload, seq=seq, ack=ack, **fields)
        assert isinstance(result, bytes), result
        return Segment(result)


def test_edit_changes_the_text_and_all_later_numbers() -> None:
    line = Line()
    assert line.server(b"a cat\r\n", 5001).payload == b"a tiger\r\n"
    later = line.server(b"more\r\n", 5008)
    assert (later.seq, later.payload) == (5010, b"more\r\n")
    assert line.client(ack=5016).ack == 5014
    assert line.client(b"fine\r\n", ack=5016).ack == 5014


def test_numbers_before_the_edit_do_not_move() -> None:
    line = Line()
    line.server(b"a cat\r\n", 5001)
    assert line.client(ack=5001).ack == 5001
    assert line.client(ack=5003).ack == 5003
    assert line.client(ack=5005).ack == 5003  # in the middle of what the server never sent


def test_retransmission_with_other_boundaries_is_rewritten_to_the_same_octets() -> None:
    line = Line()
    line.server(b"a cat\r\nbye\r\n", 5001)
    for seq, data, image, wanted in (
        (5001, b"a cat\r\n", 5001, b"a tiger\r\n"),
        (5001, b"a c", 5001, b"a tiger"),
        (5004, b"at\r\nby", 5003, b"tiger\r\nby"),
        (5008, b"bye\r\n", 5010, b"bye\r\n"),
        (5001, b"a cat\r\nbye\r\n", 5001, b"a tiger\r\nbye\r\n"),
    ):
        segment = line.server(data, seq)
        assert (segment.seq, segment.payload) == (image, wanted)
    assert isinstance(line.helper, Upper)
    assert line.helper.seen == [b"a cat\r\n", b"bye\r\n"]


def test_line_that_is_split_is_held_and_goes_out_whole() -> None:
    line = Line()
    first = line.server(b"one\r\na c", 5001)
    assert (first.seq, first.payload) == (5001, b"one\r\n")
    second = line.server(b"at\r\n", 5009)
    assert (second.seq, second.payload) == (5006, b"a tiger\r\n")


def test_server_that_waits_for_its_half_line_is_answered_by_the_director() -> None:
    line = Line()
    assert line.server(b"a c", 5001).payload == b""
    again = line.send(Direction.REPLY, ACK | PSH, b"a c", seq=5001, ack=1001)
    assert isinstance(again, Rewritten)
    (back,) = again.back
    assert packets.describe(back) == f"tcp {CLIENT} > {REAL} [A] 0 octets"
    assert (Segment(back).seq, Segment(back).ack) == (1001, 5004)
    rest = line.server(b"at\r\n", 5004)
    assert (rest.seq, rest.payload) == (5001, b"a tiger\r\n")
    repeated = line.server(b"at\r\n", 5004)
    assert (repeated.seq, repeated.payload) == (5001, b"a tiger\r\n")
    assert line.client(ack=5001).ack == 5004
    assert line.client(ack=5010).ack == 5008


def test_segment_after_a_gap_waits_for_the_one_before() -> None:
    line = Line()
    with pytest.raises(PacketError, match="out-of-order"):
        line.server(b"later\r\n", 5020)
    assert line.server(b"a cat\r\n", 5001).payload == b"a tiger\r\n"


def test_clients_text_is_never_held_by_default() -> None:
    line = Line()
    assert line.client(b"half a li").payload == b"half a li"
    assert line.client(b"ne\r\n", seq=1010).payload == b"ne\r\n"
    assert isinstance(line.helper, Upper)
    assert line.helper.seen == [b"half a line\r\n"]


def test_fin_lets_go_of_everything_that_was_held() -> None:
    line = Line()
    line.server(b"no end", 5001)
    last = line.server(b"", 5007, flags=FIN | ACK)
    assert (last.seq, last.payload, last.flags) == (5001, b"no end", FIN | ACK)


def test_message_that_is_too_long_passes_unread_up_to_its_end() -> None:
    line = Line()
    text = b"cat " * 20
    assert line.server(text, 5001).payload == text
    assert line.server(b"cat\r\na cat\r\n", 5081).payload == b"cat\r\na tiger\r\n"
    assert isinstance(line.helper, Upper)
    assert line.helper.seen == [b"a cat\r\n"]


def test_payload_that_outgrew_the_segment_size_is_cut_in_two() -> None:
    line = Line(mss=20)
    result = line.send(Direction.REPLY, ACK | PSH, b"a cat, and more...\r\n", seq=5001, ack=1001)
    assert isinstance(result, Rewritten)
    first, second = map(Segment, result.onward)
    assert first.payload + second.payload == b"a tiger, and more...\r\n"
    assert (first.seq, len(first.payload), first.flags) == (5001, 20, ACK)
    assert (second.seq, second.flags) == (5021, ACK | PSH)


def test_segment_that_did_not_grow_is_never_cut() -> None:
    line = Line(mss=20)
    assert line.server(b"x" * 50 + b"\r\n", 5001).payload == b"x" * 50 + b"\r\n"


def test_wrong_checksum_is_not_read_and_not_passed() -> None:
    line = Line()
    packet = bytearray(packets.tcp(REAL, CLIENT, ACK, b"a cat\r\n", seq=5001, ack=1001))
    packet[37] ^= 1
    with pytest.raises(PacketError, match="bad-checksum"):
        line.take(bytes(packet), Direction.REPLY)
    assert isinstance(line.helper, Upper)
    assert line.helper.seen == []


def test_sack_blocks_are_told_in_the_senders_numbers() -> None:
    line = Line()
    line.server(b"a cat\r\n", 5001)
    sack = b"\x01\x01\x05\x0a" + (5010).to_bytes(4, "big") + (5020).to_bytes(4, "big")
    out = line.client(ack=5001, options=sack)
    assert out.data[44:52] == (5008).to_bytes(4, "big") + (5018).to_bytes(4, "big")


def test_urgent_pointer_moves_with_the_text_before_it() -> None:
    line = Line()
    packet = bytearray(packets.tcp(REAL, CLIENT, ACK | URG, b"a cat!\r\n", seq=5001, ack=1001))
    urgent = Segment(bytes(packet)).rebuilt(5001, 1001, b"a cat!\r\n", urgent=6)
    result = line.take(urgent, Direction.REPLY)
    assert isinstance(result, bytes)
    assert (Segment(result).payload, Segment(result).urgent) == (b"a tiger!\r\n", 8)


def test_new_handshake_on_the_same_ports_starts_anew() -> None:
    line = Line()
    line.server(b"a cat\r\n", 5001)
    line.send(Direction.REPLY, SYN | ACK, seq=9000, ack=1001)
    segment = line.server(b"a cat\r\n", 9001)
    assert (segment.seq, segment.payload) == (9001, b"a tiger\r\n")


def test_sequence_numbers_may_wrap_in_the_middle_of_an_edit() -> None:
    line = Line()
    start = 2**32 - 3
    line.send(Direction.REPLY, SYN | ACK, seq=start - 1, ack=1001)
    assert line.server(b"a cat\r\n", start).payload == b"a tiger\r\n"
    assert line.server(b"more\r\n", 4).seq == 6
    assert line.client(ack=12).ack == 10


def test_stopped_helper_sees_no_more_and_an_unedited_connection_is_finished() -> None:
    line = Line()
    line.client(b"QUIT\r\n")
    assert line.rewriter.finished
    assert line.server(b"a cat\r\n", 5001).payload == b"a cat\r\n"


def test_stopped_helper_leaves_the_adjustment_behind() -> None:
    line = Line()
    line.server(b"a cat\r\n", 5001)
    line.client(b"QUIT\r\n", ack=5010)
    assert not line.rewriter.finished
    assert line.server(b"more\r\n", 5008).seq == 5010


def test_connection_joined_in_its_middle_is_read_from_there_on() -> None:
    notes = Notes()
    rewriter = TcpRewriter(Upper(PEERS), PEERS, notes)
    result = rewriter.rewrite(packets.tcp(REAL, CLIENT, ACK, b"a cat\r\n", seq=777, ack=5), Direction.REPLY, 0.0)
    assert isinstance(result, bytes)
    assert Segment(result).payload == b"a tiger\r\n"


def test_original_sequence_is_what_the_sender_wrote() -> None:
    line = Line()
    line.server(b"a cat\r\n", 5001)
    assert line.rewriter.original_sequence(5010, Direction.REPLY) == 5008
    assert line.rewriter.original_sequence(1001, Direction.ORIGINAL) == 1001
    assert TcpRewriter(Upper(PEERS), PEERS, Notes()).original_sequence(7, Direction.REPLY) == 7


class Frameless(Upper):
    def frame(self, data: bytes, direction: Direction) -> int:
        raise ValueError("frame")


class Unholding(Upper):
    def holds(self, tail: bytes, direction: Direction) -> bool:
        raise ValueError("holds")


def test_helper_that_cannot_frame_is_left_and_holds_nothing_back() -> None:
    line = Line(Frameless(PEERS))
    assert line.server(b"220 hel", 5001).payload == b"220 hel"
    assert line.notes.faults == ["frame: frame"]
    assert line.rewriter.finished


def test_helper_that_cannot_say_what_it_holds_lets_it_pass() -> None:
    line = Line(Unholding(PEERS))
    assert line.server(b"220 hel", 5001).payload == b"220 hel"
    assert line.notes.faults == ["holds: holds"]


class Late(Upper):
    """Lets half lines pass and edits them when it is too late."""

    def holds(self, tail: bytes, direction: Direction) -> bool:
        return False


def test_edit_of_what_has_passed_already_is_refused() -> None:
    line = Line(Late(PEERS))
    assert line.server(b"a ca", 5001).payload == b"a ca"
    assert line.server(b"t\r\n", 5005).payload == b"t\r\n"
    assert "reaches into octets that holds() let pass" in line.notes.faults[0]
    assert line.notes.undone == 1


class Ignoring(Upper):
    """Ignores whole lines that begin with a hyphen, and notes all that it was asked about."""

    def __init__(self, peers: Peers) -> None:
        super().__init__(peers)
        self.asked: list[bytes] = []

    def ignores(self, octets: bytes, direction: Direction) -> bool:
        self.asked.append(octets)
        if octets == b"-fault\r\n":
            raise ValueError("ignores")
        return octets.startswith(b"-") and octets.endswith(b"\n")


@pytest.fixture
def ignoring() -> tuple[Line, Ignoring]:
    helper = Ignoring(PEERS)
    line = Line(helper)
    line.client()
    return line, helper


def test_messages_that_the_helper_ignores_pass_unseen_and_what_follows_is_shown(
    ignoring: tuple[Line, Ignoring],
) -> None:
    line, helper = ignoring
    assert line.server(b"-cat\r\n", 5001).payload == b"-cat\r\n"
    assert line.server(b"a cat\r\n", 5007).payload == b"a tiger\r\n"
    assert line.client(b"-one\r\n", ack=5007).payload == b"-one\r\n"
    assert (helper.asked, helper.seen) == ([b"-cat\r\n", b"a cat\r\n"], [b"a cat\r\n", b"-one\r\n"])


def test_ignored_messages_are_renumbered_once_the_edit_before_them_has_arrived(
    ignoring: tuple[Line, Ignoring],
) -> None:
    line, helper = ignoring
    line.server(b"a cat\r\n", 5001)
    line.client(ack=5010)
    again = line.server(b"-more\r\n", 5008)
    assert (again.seq, again.payload) == (5010, b"-more\r\n")
    assert line.client(b"-fine\r\n", ack=5017).ack == 5015
    assert line.client(seq=1008, ack=5017).ack == 5015
    assert helper.asked == [b"a cat\r\n", b"-more\r\n", b"-fine\r\n"]


def test_late_acknowledgement_keeps_a_number_from_before_the_edit(ignoring: tuple[Line, Ignoring]) -> None:
    line, _ = ignoring
    line.server(b"a cat\r\n", 5001)
    line.client(ack=5010)
    assert line.server(b"", 5001, flags=ACK).seq == 5001
    assert line.server(b"", 5008, flags=ACK).seq == 5010


def test_sack_blocks_are_told_in_the_senders_numbers_long_after_the_edit(ignoring: tuple[Line, Ignoring]) -> None:
    line, _ = ignoring
    line.server(b"a cat\r\n", 5001)
    line.client(ack=5010)
    sack = b"\x01\x01\x05\x0a" + (5020).to_bytes(4, "big") + (5030).to_bytes(4, "big")
    assert line.client(ack=5010, options=sack).data[44:52] == (5018).to_bytes(4, "big") + (5028).to_bytes(4, "big")
    stamped = line.client(ack=5010, options=b"\x01\x01\x08\x0a" + bytes(8))
    assert (stamped.ack, stamped.timestamps) == (5008, (bytes(4), bytes(4)))


@pytest.mark.parametrize("ending", [b"", b"x" * 70])
def test_octets_in_the_middle_of_a_message_are_not_asked_about(ignoring: tuple[Line, Ignoring], ending: bytes) -> None:
    line, helper = ignoring
    line.client(b"half" + ending)
    line.client(b"-cat\r\n", seq=1005 + len(ending))
    assert helper.asked == [b"half" + ending]
    assert helper.seen == ([] if ending else [b"half-cat\r\n"])


def test_damaged_segment_is_not_asked_about_and_the_true_one_is(ignoring: tuple[Line, Ignoring]) -> None:
    line, helper = ignoring
    packet = bytearray(packets.tcp(REAL, CLIENT, ACK, b"a cat\r\n", seq=5001, ack=1001))
    packet[40] = ord("-")
    with pytest.raises(PacketError, match="bad-checksum"):
        line.take(bytes(packet), Direction.REPLY)
    assert line.server(b"a cat\r\n", 5001).payload == b"a tiger\r\n"
    assert helper.seen == [b"a cat\r\n"]


def test_header_that_is_longer_than_its_packet_is_malformed(ignoring: tuple[Line, Ignoring]) -> None:
    packet = bytearray(packets.tcp(CLIENT, VIRTUAL, ACK, seq=1001, ack=5001))
    packet[32] = 0xF0
    with pytest.raises(PacketError, match="malformed"):
        ignoring[0].take(bytes(packet), Direction.ORIGINAL)


def test_helper_that_fails_to_ignore_is_shown_the_message(ignoring: tuple[Line, Ignoring]) -> None:
    line, helper = ignoring
    assert line.server(b"-fault\r\n", 5001).payload == b"-fault\r\n"
    assert line.notes.faults == ["ignores: ignores"]
    assert helper.seen == [b"-fault\r\n"]


def test_helper_that_left_an_edited_connection_is_asked_no_more(ignoring: tuple[Line, Ignoring]) -> None:
    line, helper = ignoring
    line.server(b"a cat\r\n", 5001)
    line.client(b"QUIT\r\n", ack=5010)
    line.server(b"bye\r\n", 5008, ack=1007)
    asked = list(helper.asked)
    assert line.server(b"-x" * 50, 5013, ack=1007).seq == 5015
    assert helper.asked == asked
