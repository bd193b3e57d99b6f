"""The tables say in words what colour only repeats."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from nat_lb.demo import tables
from nat_lb.demo.acts import MODES, Download, digest
from nat_lb.demo.dialogue import Exchange
from nat_lb.demo.legs import Journey, Leg
from nat_lb.demo.wire import Endpoint, Segment

CLIENT, VIRTUAL, REAL = Endpoint("202.100.1.2", 3456), Endpoint("202.103.106.5", 80), Endpoint("172.16.0.3", 8000)


def printed(table: Any, width: int = 110) -> list[str]:
    output = io.StringIO()
    Console(file=output, width=width, markup=False).print(table)
    return [" ".join(line.replace("|", " ").split()) for line in output.getvalue().splitlines()]


def leg(title: str, source: Endpoint, target: Endpoint, ttl: int) -> Leg:
    return Leg(title, Segment(0.0, source, target, 7, "PA", b"GET / HTTP/1.1\r\nHost: x", ttl, 0x1234))


WAY = Journey(
    leg("client -> director", CLIENT, VIRTUAL, 64),
    leg("director -> real server", CLIENT, REAL, 63),
    leg("real server -> director", REAL, CLIENT, 64),
    leg("director -> client", VIRTUAL, CLIENT, 63),
)


def test_changed_fields_of_a_leg_have_a_mark() -> None:
    lines = printed(tables.journey(WAY))
    assert "source 202.100.1.2:3456 source 202.100.1.2:3456" in lines
    assert "destination 202.103.106.5:80 destination 172.16.0.3:8000 *" in lines
    assert "source 172.16.0.3:8000 source 202.103.106.5:80 *" in lines
    assert lines.count("TTL 64 TTL 63 *") == 2
    assert lines.count("checksum 0x1234 checksum 0x1234") == 2


def test_only_the_first_line_of_a_payload_is_shown() -> None:
    lines = printed(tables.journey(WAY))
    assert lines.count("payload GET / HTTP/1.1 payload GET / HTTP/1.1") == 2
    assert not any("Host" in line for line in lines)


def test_legs_stand_side_by_side_on_eighty_columns() -> None:
    lines = printed(tables.journey(WAY), width=80)
    assert lines[0] == "client -> director director -> real server"


def test_dialogue_repeats_a_line_only_where_it_differs() -> None:
    lines = printed(tables.exchange([Exchange(True, "PASV", "PASV"), Exchange(False, "227 (1)", "227 (2)")]))
    assert "client PASV the same" in lines
    assert "server 227 (1) 227 (2)" in lines


def test_download_that_differs_is_told_in_words() -> None:
    wanted = digest(b"file")
    rows = [(wanted, ""), (digest(b"x"), ""), (wanted, "curl: (18) partial file")]
    done = [Download(mode, 4, found, error) for mode, (found, error) in zip(MODES, rows, strict=False)]
    told = [line.rpartition("... ")[2] for line in printed(tables.downloads(done, wanted)) if "..." in line]
    assert told == ["identical", "differs", "curl: (18) partial file"]
