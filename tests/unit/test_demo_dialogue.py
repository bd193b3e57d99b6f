"""An FTP dialogue is read from segments as TCP means them, and two captures of it are laid side by side."""

from __future__ import annotations

from nat_lb.demo.dialogue import Exchange, Line, connections, dialogue, side_by_side
from nat_lb.demo.wire import Endpoint, Segment

CLIENT, OTHER = Endpoint("202.100.1.2", 40000), Endpoint("202.100.1.2", 40001)
SERVER = Endpoint("202.103.106.5", 21)


def sent(time: float, seq: int, payload: bytes = b"", *, flags: str = "PA", client: Endpoint = CLIENT) -> Segment:
    return Segment(time, client, SERVER, seq, flags, payload, 64, 0)


def received(time: float, seq: int, payload: bytes = b"", *, flags: str = "PA") -> Segment:
    return Segment(time, SERVER, CLIENT, seq, flags, payload, 63, 0)


def texts(*segments: Segment) -> list[str]:
    return [line.text for line in dialogue(segments, CLIENT, SERVER)]


def test_lines_come_in_the_order_of_time() -> None:
    segments = received(1, 1, b"220 hello\r\n"), sent(2, 9, b"USER a\r\n"), received(3, 12, b"230 in\r\n")
    assert dialogue(segments, CLIENT, SERVER) == [
        Line(1, False, "220 hello"),
        Line(2, True, "USER a"),
        Line(3, False, "230 in"),
    ]


def test_line_in_two_segments_is_one_line() -> None:
    assert texts(received(1, 1, b"220 he"), received(2, 7, b"llo\r"), received(3, 11, b"\n")) == ["220 hello"]


def test_retransmission_with_other_boundaries_counts_once() -> None:
    assert texts(sent(1, 1, b"USER a\r\n"), sent(2, 1, b"USER a\r\nPASV\r\n"), sent(3, 9, b"PASV\r\n")) == [
        "USER a",
        "PASV",
    ]


def test_segments_out_of_order_are_put_in_order() -> None:
    assert texts(sent(1, 1, b"USER"), sent(2, 8, b"\r\nPASV\r\n"), sent(3, 5, b" a\0")) == ["USER a\0", "PASV"]


def test_sequence_numbers_may_wrap_around() -> None:
    first = 2**32 - 5
    assert texts(sent(0, first - 1, flags="S"), sent(1, first, b"USER a\r\n"), sent(2, 3, b"PASV\r\n")) == [
        "USER a",
        "PASV",
    ]


def test_nothing_is_told_beyond_a_gap() -> None:
    assert texts(sent(0, 0, flags="S"), sent(1, 1, b"USER a\r\n"), sent(2, 20, b"PASV\r\n")) == ["USER a"]


def test_clients_are_told_apart_in_the_order_of_their_coming() -> None:
    segments = [sent(1, 1, client=OTHER), sent(2, 1), sent(3, 2, client=OTHER), received(4, 1)]
    assert connections(segments, SERVER) == [OTHER, CLIENT]
    assert connections(segments, Endpoint("202.103.106.5", 80)) == []


def test_same_line_on_both_sides_stands_side_by_side() -> None:
    at_client = [Line(1, True, "PASV"), Line(2, False, "227 (202,103,106,5,1,2)")]
    at_server = [Line(9, False, "227 (172,16,0,3,1,2)"), Line(8, True, "PASV")]
    assert side_by_side(at_client, at_server) == [
        Exchange(True, "PASV", "PASV"),
        Exchange(False, "227 (202,103,106,5,1,2)", "227 (172,16,0,3,1,2)"),
    ]


def test_line_of_one_side_alone_stands_alone() -> None:
    assert side_by_side([Line(1, True, "QUIT")], [Line(1, False, "221 bye")]) == [
        Exchange(True, "QUIT", ""),
        Exchange(False, "", "221 bye"),
    ]
