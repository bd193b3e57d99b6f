"""docs/how-to/watch-and-drain.md: its commands print what it shows, for the traffic that it speaks of."""

from __future__ import annotations

import re
import shlex
import socket
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from nat_lb.cli import drain
from nat_lb.config import parse
from nat_lb.director import Director
from nat_lb.io.answers import Answers
from nat_lb.io.nfqueue import QueueStatistics
from nat_lb.testing.packets import ACK, FIN, PSH, SYN
from nat_lb.testing.scenario import Scenario
from tests.unit.cli.answering import answering, run

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "watch-and-drain.md").read_text()
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
(TOML,) = (text for language, text in BLOCKS if language == "toml")
TYPED = [
    command.split("\n", 1)
    for language, text in BLOCKS
    if language == "console"
    for command in re.split(r"^# ", text, flags=re.MULTILINE)[1:]
]
CLIENT, VIP = "202.100.1.2", "202.103.106.5"


class Conversation:
    """One client's connection."""

    def __init__(self, s: Scenario, port: int) -> None:
        self.client = s.client(f"{CLIENT}:{port}")
        self.client.sends(SYN)
        self.server = s.server(str(s.connection(self.client.own).real), self.client.own)
        self.server.sends(SYN | ACK)
        self.client.sends(ACK)
        self.client.sends(ACK | PSH, b"GET / HTTP/1.1\r\n\r\n")

    def goes_on(self, segments: int) -> None:
        for _ in range(segments):
            self.server.sends(ACK | PSH, bytes(1400))
            self.client.sends(ACK)

    def ends(self) -> None:
        self.server.sends(FIN | ACK)
        self.client.sends(FIN | ACK)
        self.server.sends(ACK)


@pytest.fixture
def scenario() -> Scenario:
    """A director that has read the page's file."""
    s = Scenario(TOML)
    s.director = Director(parse(TOML, "web.toml"), "web.toml")
    return s


@pytest.fixture
def download(scenario: Scenario) -> Conversation:
    """The last of three requests: it is still going on.  A fourth is for a port that no service has."""
    for port in (40000, 40002):
        short = Conversation(scenario, port)
        short.goes_on(1)
        short.ends()
        scenario.time(2.7)
    download = Conversation(scenario, 40004)
    scenario.client(f"{CLIENT}:40006", f"{VIP}:443").sends(SYN)
    scenario.time(42.2)
    download.goes_on(40)
    return download


def queue_of(s: Scenario) -> QueueStatistics:
    """Return what a queue would have counted."""
    traffic = [
        way for service in s.director.lifecycle.services for each in service.real_servers for way in each.traffic
    ]
    refused = s.director.pipeline.refused.total()
    return QueueStatistics(sum(way.packets for way in traffic) + refused, 0, 0, 0, refused, 0)


def printed(command: str, path: Path) -> str:
    """Return what a command prints, and the word after it if it succeeds, without the blanks at the ends of lines."""
    line, _, then = command.partition(" && echo ")
    done = run(*shlex.split(line)[1:], "--control", path)
    assert not done.return_value, done.output
    return "\n".join([*(line.rstrip() for line in done.stdout.splitlines()), *then.split()])


def general(text: str) -> str:
    """Replace what differs from run to run."""
    return re.sub(r"process \d+|since \S+ \([^)]*\)", "...", text.rstrip("\n"))


def test_every_command_prints_what_the_page_shows(
    scenario: Scenario, download: Conversation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(_: float) -> None:
        download.ends()
        scenario.time(62)

    monkeypatch.setattr(drain, "time", SimpleNamespace(sleep=wait, monotonic=time.monotonic))
    with answering(scenario, tmp_path / "s") as answers:
        answers.statistics = lambda: queue_of(scenario)
        assert len(TYPED) == 5
        for command, shown in TYPED:
            if command.startswith("echo"):
                assert spoken(shlex.split(command)[1], tmp_path / "s") == shown
            else:
                assert general(printed(command, tmp_path / "s")) == general(shown), command


def spoken(request: str, path: Path) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(request.encode() + b"\n")
        client.shutdown(socket.SHUT_WR)
        return client.makefile().read()


def test_table_of_commands_is_that_of_the_socket(scenario: Scenario) -> None:
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|[^|]*\|[^|]*\|[^|]*\|$", PAGE, re.MULTILINE)
    assert re.findall(r"\w+", " ".join(rows)) == list(Answers(scenario.director).commands)
