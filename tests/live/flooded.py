"""A director with a fast path, connections that transfer without rest, and a flood of opening segments beside them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nat_lb.cli.director import inquire
from nat_lb.testing.lab import Host, Lab, RunningDirector, wait_until
from tests.live.ground import IPV4

HERE = Path(__file__).parent
PORT = 7
_TOML = f"""
[director]
datapath = "ebpf"
max_connections = {{room}}
[timeouts]
syn = 2
{IPV4.service("echo", PORT, ['scheduler = "rr"'], servers=f"1:{PORT} 2:{PORT}")}
"""


def status(director: RunningDirector) -> Any:
    """Return what a director tells of itself."""
    with inquire(None, director.config) as asked:
        return asked.ask("status")


def carried(director: RunningDirector) -> int:
    """Return how many connections there are, on both paths."""
    told = status(director)
    return int(told["carried"]) + int(told["connections"])


def resident(process: subprocess.Popen[str]) -> int:
    """Return a process's resident memory in octets."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
    return int(lines["VmRSS"].split()[0]) * 1024


class Steady:
    """Connections that transfer without rest, with a pause (seconds) between two rounds of one."""

    def __init__(self, host: Host, connections: int, pause: float) -> None:
        self.connections = connections
        talk = ["talk", Lab.vip, str(PORT), str(connections), str(pause)]
        command: list[str | Path] = [sys.executable, HERE / "steady.py", *talk]
        self._child = host.spawn(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1)
        wait_until(self.rounds, what="a round of every connection")

    def rounds(self) -> int:
        """Return how many rounds every connection has made at least; fails if one is broken."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write("\n")
        rounds, failed = map(int, self._child.stdout.readline().split())
        assert not failed, f"{failed} of {self.connections} connections broke"
        return rounds

    def goes_on(self) -> None:
        """Return when every connection has made another round."""
        before = self.rounds()
        wait_until(lambda: self.rounds() > before, what="another round of every connection")


@dataclass(frozen=True)
class Outcome:
    """What came of a flood that broke no connection."""

    segments: int
    seconds: float  # that it took
    most: int  # connections at once, those that transfer and half-open ones
    growth: int  # of the process, octets
    counters: dict[str, int]
    until_normal: float  # seconds from its end until only those that transfer are left


def bound(room: int, connections: int) -> int:
    """Return the most connections there may be: a quarter half-open, and one more that a CPU is about to let in."""
    return room // 4 + connections + (os.cpu_count() or 1)


def flood(lab: Lab, segments: int, connections: int, room: int, pause: float) -> Outcome:
    """Let a flood pass; fails if a connection breaks, or the table does not become what it was."""
    for server in lab.servers:
        server.spawn([sys.executable, HERE / "steady.py", "serve", str(PORT)])
        server.wait_listening(PORT)
    # Answers to clients that there are not end at the client's host, as they would somewhere in the network.
    lab.director.run(["ip", "route", "add", "100.64.0.0/10", "via", lab.client.v4], check=True)
    director = lab.start_director(_TOML.format(room=room))
    steady = Steady(lab.client, connections, pause)
    memory = resident(director.process)
    source = lab.client.spawn([sys.executable, HERE / "syns.py", lab.vip, str(PORT), str(segments)])
    most, seconds = _watch(source, director, steady.goes_on)
    assert source.returncode == 0
    counters, growth = status(director)["fastpath"]["counters"], resident(director.process) - memory
    start = time.monotonic()
    wait_until(lambda: carried(director) == connections, what="the half-open connections to time out")
    until_normal = time.monotonic() - start
    steady.goes_on()
    return Outcome(segments, seconds, most, growth, counters, until_normal)


def _watch(source: subprocess.Popen[str], director: RunningDirector, goes_on: Callable[[], None]) -> tuple[int, float]:
    """Return the most connections that were seen until the flood is over, and how long it took."""
    start, most = time.monotonic(), 0
    while source.poll() is None:
        goes_on()
        most = max(most, carried(director))
    return most, time.monotonic() - start
