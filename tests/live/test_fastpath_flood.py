"""A flood of opening segments against a director with a fast path: those who are connected do not notice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nat_lb.cli.director import inquire
from nat_lb.testing.lab import Host, Lab, RunningDirector, wait_until
from tests.live.ground import IPV4

pytestmark = pytest.mark.live

HERE = Path(__file__).parent
PORT = 7
CONNECTIONS, FLOOD, ROOM = 100, 100_000, 8_000
TOML = f"""
[director]
datapath = "ebpf"
max_connections = {ROOM}
[timeouts]
syn = 2
{IPV4.service("echo", PORT, ['scheduler = "rr"'], servers=f"1:{PORT} 2:{PORT}")}
"""


def status(director: RunningDirector) -> Any:
    with inquire(None, director.config) as asked:
        return asked.ask("status")


def carried(director: RunningDirector) -> int:
    told = status(director)
    return int(told["carried"]) + int(told["connections"])


def resident(process: subprocess.Popen[str]) -> int:
    """Return a process's resident memory in octets."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
    return int(lines["VmRSS"].split()[0]) * 1024


class Steady:
    """A hundred connections that transfer without rest."""

    def __init__(self, host: Host) -> None:
        command: list[str | Path] = [sys.executable, HERE / "steady.py", "talk", Lab.vip, str(PORT), str(CONNECTIONS)]
        self.child = host.spawn(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1)

    def rounds(self) -> int:
        """Return how many rounds every connection has made at least; fails if one is broken."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write("\n")
        rounds, failed = map(int, self.child.stdout.readline().split())
        assert not failed, f"{failed} of {CONNECTIONS} connections broke"
        return rounds

    def goes_on(self) -> None:
        """Return when every connection has made another round."""
        before = self.rounds()
        wait_until(lambda: self.rounds() > before, what="another round of every connection")


@pytest.fixture
def echoing(lab: Lab) -> Lab:
    for server in lab.servers:
        server.spawn([sys.executable, HERE / "steady.py", "serve", str(PORT)])
        server.wait_listening(PORT)
    # Answers to clients that there are not end at the client's host, as they would somewhere in the network.
    lab.director.run(["ip", "route", "add", "100.64.0.0/10", "via", lab.client.v4], check=True)
    return lab


def test_flood_of_opening_segments_breaks_no_connection(echoing: Lab) -> None:
    director = echoing.start_director(TOML)
    steady = Steady(echoing.client)
    wait_until(steady.rounds, what="a round of every connection")
    memory = resident(director.process)
    flood = echoing.client.spawn([sys.executable, HERE / "syns.py", Lab.vip, str(PORT), str(FLOOD)])
    most, looks = 0, 0
    while flood.poll() is None:
        steady.goes_on()
        most, looks = max(most, carried(director)), looks + 1
    assert flood.returncode == 0
    assert looks, "the flood was over before anybody looked"
    counters = status(director)["fastpath"]["counters"]
    assert counters["new_connections"] > FLOOD / 2, "the flood got through to the table"
    assert counters["evictions"] > 0
    assert CONNECTIONS < most <= ROOM // 4 + 2 * CONNECTIONS, "half-open connections have a quarter of the table"
    assert resident(director.process) < memory + (16 << 20)
    wait_until(lambda: carried(director) == CONNECTIONS, what="the half-open connections to time out")
    steady.goes_on()
