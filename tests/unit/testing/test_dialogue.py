"""Dialogues: what is said, what arrives, and how two captures become one."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from nat_lb.flow import Direction
from nat_lb.testing import packets
from nat_lb.testing.dialogue import Connects, Dialogue, Says, client_connects, client_says, server_says
from nat_lb.testing.packets import ACK, FIN, SYN

CLIENT, VIRTUAL, REAL = "203.0.113.10:40000", "203.0.113.100:21", "10.77.0.11:21"
ANSWER, REWRITTEN = b"227 (10,77,0,11,4,210)\r\n", b"227 (203,0,113,100,4,210)\r\n"
TALK = Dialogue(
    client_says(b"PA"),
    client_says(b"SV\r\n"),
    server_says(ANSWER, arrives=REWRITTEN),
    client_connects("203.0.113.100:1234", reaches="10.77.0.11:1234"),
    client_says(b"QUIT\r\n"),
)


def write(path: Path, *frames: bytes) -> Path:
    """Write a capture of bare IP packets."""
    records = b"".join(struct.pack("<LLLL", at, 0, len(frame), len(frame)) + frame for at, frame in enumerate(frames))
    path.write_bytes(struct.pack("<LHHLLLL", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101) + records)
    return path


def capture(path: Path, server: str, answer: bytes, data: str, *, missing: bool = False) -> Path:
    """Write a conversation as it is seen on one side of a director: one segment is there twice."""
    asked = packets.tcp(CLIENT, server, ACK, b"PASV\r\n", seq=1001 + 5 * missing, ack=501)
    return write(
        path,
        packets.udp("203.0.113.10:53", "203.0.113.1:53", b"noise"),
        packets.tcp("203.0.113.10:999", server, SYN, seq=7),
        packets.tcp(CLIENT, server, SYN, seq=1000),
        packets.tcp(server, CLIENT, SYN | ACK, seq=500, ack=1001),
        asked,
        asked,
        packets.tcp(server, CLIENT, ACK, answer, seq=501, ack=1007),
        packets.tcp("203.0.113.10:50000", data, SYN, seq=1),
        packets.tcp("203.0.113.10:50000", data, SYN, seq=1),
        packets.tcp(CLIENT, server, ACK | FIN, b"QUIT\r\n", seq=1007, ack=501 + len(answer)),
    )


def test_what_arrives_counts_only_the_steps_before() -> None:
    assert TALK.sent(Direction.ORIGINAL) == b"PASV\r\nQUIT\r\n"
    assert TALK.arrived(Direction.REPLY) == REWRITTEN
    assert TALK.arrived(Direction.ORIGINAL, 2) == b"PA"
    assert TALK.arrived(Direction.REPLY, 3) == b""


def test_merged_dialogue_says_in_one_what_is_said_in_a_row() -> None:
    merged = TALK.merged()
    assert [str(step) for step in merged.steps] == [
        r"client says b'PASV\r\n'",
        f"server says {ANSWER!r}",
        "client connects to 203.0.113.100:1234",
        r"client says b'QUIT\r\n'",
    ]
    assert merged.arrived(Direction.REPLY) == REWRITTEN


def test_steps_go_in_after_what_is_said() -> None:
    step = client_connects("203.0.113.100:9", reaches="10.77.0.11:9")
    assert TALK.then(b"227 ", step).steps[3] is step
    with pytest.raises(ValueError, match=r"nobody says b'999' in this dialogue"):
        TALK.then(b"999", step)


def test_two_captures_tell_what_arrives_and_who_connects(tmp_path: Path) -> None:
    inside = capture(tmp_path / "inside.pcap", REAL, ANSWER, "10.77.0.11:1234")
    outside = capture(tmp_path / "outside.pcap", VIRTUAL, REWRITTEN, "203.0.113.100:1234")
    dialogue = Dialogue.from_captures(inside, outside, 21, number=2)
    said, answered, connects, left = dialogue.steps
    assert (said, left) == (client_says(b"PASV\r\n"), client_says(b"QUIT\r\n"))
    assert answered == Says(Direction.REPLY, ANSWER, REWRITTEN)
    assert isinstance(connects, Connects)
    assert (str(connects.to), str(connects.reaches)) == ("203.0.113.100:1234", "10.77.0.11:1234")
    assert (str(dialogue.client), str(dialogue.virtual), str(dialogue.real)) == (CLIENT, VIRTUAL, REAL)


def test_captures_that_do_not_match_or_lack_octets_are_refused(tmp_path: Path) -> None:
    inside = capture(tmp_path / "inside.pcap", REAL, ANSWER, "10.77.0.11:1234")
    with pytest.raises(ValueError, match="do not tell the same dialogue on port 21"):
        Dialogue.from_captures(inside, capture(tmp_path / "b.pcap", VIRTUAL, REWRITTEN, "192.0.2.1:21"), 21, number=2)
    with pytest.raises(ValueError, match="octets are missing before one of"):
        Dialogue.from_captures(
            inside, capture(tmp_path / "c.pcap", VIRTUAL, REWRITTEN, "192.0.2.1:21", missing=True), 21, number=2
        )
    with pytest.raises(ValueError, match="has no such connection to port 25"):
        Dialogue.from_captures(inside, inside, 25)
