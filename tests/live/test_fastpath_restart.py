"""The director's process ends, by a crash or in peace, and comes back under load: nobody who is connected notices."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nat_lb.cli.director import inquire
from nat_lb.testing.lab import Lab, RunningDirector, wait_until
from nat_lb.testing.servers import Nginx
from tests.live.ground import Family, bench, both_families, counter, of_both, report

pytestmark = pytest.mark.live

CONTENT = os.urandom(32 << 20)
SIPPER = Path(__file__).with_name("sipper.py")
SOME = 100  # requests that show that there is load


def web(family: Family) -> str:
    return family.service("web", 80, ['scheduler = "rr"'], servers="1:80 2:80")


TOML = f'[director]\ndatapath = "ebpf"\nmax_connections = 50000\n{of_both(web)}'


@pytest.fixture
def sites(lab: Lab) -> Iterator[list[Nginx]]:
    with Nginx(lab.servers[0]) as one, Nginx(lab.servers[1]) as other:
        for site in (one, other):
            (site.root / "large.bin").write_bytes(CONTENT)
        yield [one, other]


def opened(director: RunningDirector) -> int:
    """Return how many connections real servers have had, by the director's counters."""
    services: list[dict[str, Any]] = []
    with inquire(None, director.config) as asked:
        asked.ask("status", services.extend)
    return sum(server["opened"] for service in services for server in service["real_servers"])


class Download:
    """A long download that takes its time until it is told to end."""

    def __init__(self, lab: Lab, family: Family) -> None:
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self._child = lab.client.spawn([sys.executable, SIPPER, family.url("/large.bin")], bufsize=1, **pipes)

    def goes_on(self) -> None:
        """Return when it has got on."""
        before = self._octets()
        wait_until(lambda: self._octets() > before, what="the download")

    def _octets(self) -> int:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write("\n")
        return int(self._child.stdout.readline())

    def succeeds(self) -> None:
        """End it; fails if it was over already, or what came is not what was sent."""
        assert self._octets() < len(CONTENT), "the download was over too early to show anything"
        digest, errors = self._child.communicate(timeout=60)
        assert digest.strip() == hashlib.sha256(CONTENT).hexdigest(), errors


class Load:
    """ab on connections of its own and on kept ones, and a download: all must succeed."""

    def __init__(self, lab: Lab, family: Family, sites: list[Nginx]) -> None:
        self._lab, self._sites = lab, sites
        self._download = Download(lab, family)
        self._abs = [self._ab(family.url()), self._ab("-k", family.url())]
        self._resets = self._counted()

    def _ab(self, *arguments: str) -> subprocess.Popen[str]:
        command = ["ab", "-q", "-t", "100", "-n", "1000000", "-c", "2", *arguments]
        return self._lab.client.spawn(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def _counted(self) -> int:
        """Return how many connections a reset has ended, at either end, and how many resets the director has sent."""
        ends = sum(counter(host, "TcpEstabResets") for host in (self._lab.client, *self._lab.servers))
        return ends + counter(self._lab.director, "TcpOutRsts")

    def _served(self) -> list[int]:
        return [len(site.requests()) for site in self._sites]

    def goes_on(self) -> None:
        """Return when both real servers have answered more requests, and the download has got on."""
        before = self._served()

        def more() -> bool:
            return all(now > was + SOME for now, was in zip(self._served(), before, strict=True))

        wait_until(more, what="requests at both real servers")
        self._download.goes_on()

    def succeeds(self) -> int:
        """End it; fails if a request has failed, or a connection was reset. Returns how many connections it opened."""
        assert self._counted() == self._resets, "resets"
        completed = []
        for child in self._abs:
            child.send_signal(signal.SIGINT)  # prints its report
            said = child.communicate(timeout=60)[0]
            told = report(said)
            assert told.get("Failed requests") == "0", said
            assert "Non-2xx" not in said, said
            completed.append(int(told["Complete requests"]))
        self._download.succeeds()
        return completed[0]


@both_families
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "terminated"])
def test_director_that_ends_and_comes_back_is_missed_by_nobody(
    lab: Lab, sites: list[Nginx], family: Family, end: signal.Signals
) -> None:
    first = lab.start_director(TOML)
    load = Load(lab, family, sites)
    load.goes_on()
    first.host.stop(first.process, end)
    load.goes_on()
    done = bench(lab.client, family.url(), 50, 2)
    assert (done["Failed requests"], done["Complete requests"]) == ("0", "50"), "without a process"
    second = lab.start_director(TOML, adopt=True)
    load.goes_on()
    here = 50 + load.succeeds()
    assert opened(second) >= here, "the counters began anew"
