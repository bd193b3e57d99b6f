"""The commands that operators need, against a director at work: what it tells is what happened, and packets go on."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nat_lb.testing.lab import Lab, RunningDirector, capture, wait_until
from nat_lb.testing.servers import Nginx
from tests.live.ground import IPV4, Family, Talk, bench, both_families, fetch, of_both, select, told

pytestmark = pytest.mark.live

COUNTS = ("opened", "packets_in", "octets_in", "packets_out", "octets_out")
CONTENT = os.urandom(16 << 20)  # more than all buffers on the way hold
FAST_END = "[timeouts]\nfin = 1\nclose = 1\n"


def web(family: Family) -> str:
    return family.service("web", 80, ['scheduler = "rr"'], servers="1:80 2:80")


def ask(director: RunningDirector, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command outside of every namespace of the lab: a control socket is a file."""
    command = [sys.executable, "-m", "nat_lb", *map(str, arguments), "--config", str(director.config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def real_servers(director: RunningDirector, family: Family) -> list[dict[str, Any]]:
    """Return what is told of a family's two real servers."""
    services = {service["service"]: service for service in told(director, "status")["services"]}
    servers: list[dict[str, Any]] = services[f"web{family.version}"]["real_servers"]
    return servers


def at(server: dict[str, Any], family: Family) -> str:
    """The name of the host that a real server is."""
    return {family.at(f"172.16.0.{n}" if family.version == 4 else f"fd00:172:16::{n}", 80): f"server{n - 1}"
            for n in (2, 3)}[server["real"]]  # fmt: skip


@pytest.fixture(scope="module")
def director(shared_lab: Lab) -> Iterator[RunningDirector]:
    one, other = shared_lab.servers
    with Nginx(one) as first, Nginx(other) as second:
        for site in (first, second):
            (site.root / "large.bin").write_bytes(CONTENT)
        yield shared_lab.start_director(FAST_END + of_both(web))


@both_families
def test_status_counts_what_the_real_servers_saw(shared_lab: Lab, director: RunningDirector, family: Family) -> None:
    before = real_servers(director, family)
    host = shared_lab.servers[0]
    with capture(host) as pcap:
        fetch(shared_lab, family, "-H", "Connection: close", path="/?[1-20]")
        # Forgotten a second after their last packet, so that none is still under way.
        wait_until(lambda: not told(director, "connections", "--service", f"web{family.version}"), what="their end")
    after = real_servers(director, family)
    gained = [{key: new[key] - old[key] for key in COUNTS} for old, new in zip(before, after, strict=True)]
    assert [server["opened"] for server in gained] == [10, 10]
    kind, length = ("ip", "ip.len") if family.version == 4 else ("ipv6", "ipv6.plen")
    header = 0 if family.version == 4 else 40
    for end, way in (("dst", "in"), ("src", "out")):
        seen = [int(text) + header for text in select(pcap, f"tcp && {kind}.{end} == {family.of(host)}", length)]
        assert (gained[0][f"packets_{way}"], gained[0][f"octets_{way}"]) == (len(seen), sum(seen))


def test_refusals_are_counted_by_their_reason(shared_lab: Lab, director: RunningDirector) -> None:
    before = told(director, "status")["refused"].get("no-service", 0)
    assert shared_lab.client.run(["curl", "-sS", IPV4.url(port=81)]).returncode == 7
    status = told(director, "status")
    assert status["refused"]["no-service"] == before + 1
    assert status["queue"]["not_forwarded"] >= 1 and status["queue"]["faults"] == 0
    assert "no-service" in ask(director, "status").stdout


@both_families
def test_drained_server_finishes_its_download_and_gets_nothing_new(
    shared_lab: Lab, director: RunningDirector, family: Family
) -> None:
    download: Any = shared_lab.client.spawn(
        ["curl", "-sS", family.url("/large.bin")], stdout=subprocess.PIPE, text=False, errors=None
    )  # it stands still until its output is read
    service = f"web{family.version}"

    def downloading() -> list[dict[str, Any]]:
        return [entry for entry in told(director, "connections", "--service", service)
                if entry["state"] == "ESTABLISHED"]  # fmt: skip

    (connection,) = wait_until(downloading, what="the download")
    done = ask(director, "drain", service, connection["real"])
    assert done.returncode == 0 and done.stdout.startswith(f"{service}: {connection['real']}: weight 0, "), done
    drained = next(server for server in real_servers(director, family) if server["real"] == connection["real"])
    assert drained["quiesced"] and drained["active"] == 1, "the download goes on"
    shares = Counter(fetch(shared_lab, family, "-H", "Connection: close", path="/?[1-4]").split())
    assert len(shares) == 1 and at(drained, family) not in shares
    assert ask(director, "drain", service, connection["real"], "--wait", "0").returncode == 1
    assert download.communicate(timeout=60)[0] == CONTENT
    done = ask(director, "drain", service, connection["real"], "--wait", "60")
    assert done.returncode == 0 and "no connection is left" in done.stdout, done
    assert ask(director, "drain", service, connection["real"], "--restore").returncode == 0
    assert len(Counter(fetch(shared_lab, family, "-H", "Connection: close", path="/?[1-2]").split())) == 2


def test_client_that_never_reads_disturbs_neither_packets_nor_others(
    shared_lab: Lab, director: RunningDirector
) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            deaf = stack.enter_context(socket.socket(socket.AF_UNIX))
            deaf.connect(str(director.config.with_name("control.sock")))
            deaf.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    deaf.send(b'{"command": "status"}\n' * 100)
            # What it asked and what it is told are all that the kernel keeps for it: it is stuck.
        said = bench(shared_lab.client, IPV4.url(), 300, 4)
        assert said["Failed requests"] == "0" and said["Complete requests"] == "300", said
        assert told(director, "status")["queue"]["faults"] == 0
        with Talk(shared_lab.client, IPV4.vip, 80) as talk:
            talk.ask()
            assert any(entry["state"] == "ESTABLISHED" for entry in told(director, "connections", "--service", "web4"))


def test_killed_director_is_followed_at_the_same_socket(lab: Lab) -> None:
    path = lab.directory / "run" / "director.sock"
    text = f'[director]\ncontrol = "{path}"\n{web(IPV4)}'
    first = lab.start_director(text)
    assert ask(first, "status").returncode == 0
    first.kill()
    done = ask(first, "status")
    assert (done.returncode, done.stderr) == (
        1, f"nat-lb: {path}: nobody listens there any more: the director that made this socket is gone.\n",
    )  # fmt: skip
    second = lab.start_director(text)
    process = told(second, "status")["process"]
    rival = lab.directory / "rival.toml"
    rival.write_text(text)
    done = lab.client.run([sys.executable, "-m", "nat_lb", "run", rival])  # another namespace, the same files
    assert done.returncode == 1
    assert f"control socket {path}: another program (process {process}) listens there" in done.stderr
    assert told(second, "status")["process"] == process
    assert second.stop() == 0
    assert not path.exists()
    assert "no director has its control socket there" in ask(second, "status").stderr


def test_director_without_a_place_for_its_socket_runs_on(lab: Lab) -> None:
    with Nginx(lab.servers[0]), Nginx(lab.servers[1]):
        director = lab.start_director(f'[director]\ncontrol = "/proc/nat-lb/control.sock"\n{web(IPV4)}')
        assert "control socket /proc/nat-lb/control.sock: cannot be made: " in director.log()
        assert fetch(lab, IPV4).startswith("server")
        assert ask(director, "status").returncode == 1


def test_reload_restores_what_was_drained(shared_lab: Lab, director: RunningDirector) -> None:
    assert ask(director, "drain", "web4", "172.16.0.2").returncode == 0
    assert [server["weight"] for server in real_servers(director, IPV4)] == [0, 1]
    director.process.send_signal(signal.SIGHUP)
    wait_until(lambda: [server["weight"] for server in real_servers(director, IPV4)] == [1, 1], what="the reload")
    assert "real server 172.16.0.2:80 has weight 0 instead of 1 now" in director.log()
