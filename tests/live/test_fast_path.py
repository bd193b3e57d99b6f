"""What a fast path outlives, and what ends it: directors that stop, are killed, start again, or clean up."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Protocol

import pytest

from nat_lb.testing.lab import Lab, RunningDirector
from nat_lb.testing.servers import Nginx
from tests.live.ground import IPV4, IPV6, Family, Talk, both_families, curl, fetch, of_both, told


def web(family: Family) -> str:
    return family.service("web", 80, servers="1:80 2:80")


FAST = '[director]\ndatapath = "ebpf"\n' + of_both(web)
SLOW = '[director]\ndatapath = "nfqueue"\n' + of_both(web)


@pytest.fixture(scope="module")
def served(shared_lab: Lab) -> Iterator[Lab]:
    with Nginx(shared_lab.servers[0]), Nginx(shared_lab.servers[1]):
        yield shared_lab


class Start(Protocol):
    """Starts a director, which is gone before the next test."""

    def __call__(self, text: str, *, adopt: bool = False) -> RunningDirector: ...


@pytest.fixture
def start(served: Lab) -> Iterator[Start]:
    started: list[RunningDirector] = []

    def start(text: str, *, adopt: bool = False) -> RunningDirector:
        started.append(served.start_director(text, adopt=adopt))
        return started[-1]

    yield start
    for director in started:
        director.stop()
    assert cleanup(served).returncode == 0


def cleanup(lab: Lab) -> subprocess.CompletedProcess[str]:
    return lab.director.run([sys.executable, "-m", "nat_lb", "cleanup"])


BY_TCX = """
import socket, sys
from nat_lb_ebpf import tcx
print(*(device for device in sys.argv[1:] if tcx.present(socket.if_nametoindex(device), "nat_lb_tc")))
"""


def programs(lab: Lab) -> set[str]:
    """Return the devices of the director that our program is on: by TCX, or as a filter where the kernel is old."""
    devices = ("inside", "outside")
    shown = {
        device: lab.director.run(["tc", "filter", "show", "dev", device, "ingress"], check=True).stdout
        for device in devices
    }
    by_filter = {device for device, filters in shown.items() if "nat_lb_tc" in filters}
    return by_filter | set(lab.director.python(BY_TCX, *devices, check=True).stdout.split())


def goes_on(talk: Talk) -> None:
    assert talk.ask().startswith("server")


@both_families
def test_connection_is_carried_and_told_of_as_such(served: Lab, start: Start, family: Family) -> None:
    director = start(FAST)
    with Talk(served.client, family.vip, 80) as talk:
        goes_on(talk)
        [connection] = told(director, "connections", "--service", f"web{family.version}")
        assert (connection["path"], connection["state"]) == ("fast", "ESTABLISHED")
        assert connection["client"].startswith(family.bracketed(family.of(served.client)))
        status = told(director, "status")
    assert (status["datapath"], status["connections"], status["carried"]) == ("ebpf", 0, 1)
    assert {device["device"] for device in status["fastpath"]["devices"]} >= {"inside", "outside"}
    service = next(each for each in status["services"] if each["service"] == f"web{family.version}")
    assert sum(server["packets_out"] for server in service["real_servers"]) >= 2
    assert status["queue"]["received"] <= 4, "but for packets that found no neighbour known"


@pytest.mark.parametrize("end", [RunningDirector.stop, RunningDirector.kill])
def test_connections_outlive_the_process_and_are_taken_over(served: Lab, start: Start, end: Any) -> None:
    first = start(FAST)
    with Talk(served.client, IPV4.vip, 80) as old, Talk(served.client, IPV6.vip, 80) as other:
        goes_on(old)
        goes_on(other)
        end(first)
        goes_on(old)
        goes_on(other)
        assert {fetch(served, IPV4) for _ in range(2)} == {"server1\n", "server2\n"}, "a plan needs no process"
        second = start(FAST, adopt=True)
        goes_on(old)
        goes_on(other)
        paths = {connection["path"] for connection in told(second, "connections")}
    assert paths == {"fast"}
    assert "fast path: ebpf, " in second.log() and "ebpf, 0 connections" not in second.log()


def test_flush_and_the_slow_path_end_what_was_carried(served: Lab, start: Start) -> None:
    for text, adopt, left in ((FAST, False, {"inside", "outside"}), (SLOW, True, set())):
        first = start(FAST)
        with Talk(served.client, IPV4.vip, 80) as talk:
            goes_on(talk)
            first.stop()
            second = start(text, adopt=adopt)
            assert programs(served) == left
            assert told(second, "connections") == []
            assert talk.ask() == "lost"
        assert {fetch(served, IPV4) for _ in range(2)} == {"server1\n", "server2\n"}
        second.stop()


def test_cleanup_leaves_nothing_of_a_director_that_is_gone(served: Lab, start: Start) -> None:
    start(FAST).kill()
    assert programs(served) == {"inside", "outside"}
    assert fetch(served, IPV4).startswith("server")
    done = cleanup(served)
    assert (done.returncode, done.stdout.splitlines()) == (
        0, ["netfilter rules: none left", "fast path: ebpf: nothing left"],
    )  # fmt: skip
    assert programs(served) == set()
    assert "NAT-LB" not in served.director.run(["iptables-save"], check=True).stdout
    assert curl(served.client, IPV4.url()).returncode == 7, "nobody is there"


def test_cleanup_leaves_a_running_director_alone(served: Lab, start: Start) -> None:
    start(FAST)
    done = cleanup(served)
    assert done.returncode == 1
    assert "another nat-lb is running in this network namespace, on queue 0. Stop it first" in done.stderr
    assert programs(served) == {"inside", "outside"}
    assert fetch(served, IPV6).startswith("server")
