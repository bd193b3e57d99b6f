"""Reloading while packets flow: SIGHUP changes what the file changed, and nothing else."""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from nat_lb.testing.lab import Lab, RunningDirector, wait_until
from nat_lb.testing.servers import Nginx
from tests.live.ground import Family, Talk, both_families, curl, fetch, of_both, reload, report

BOTH = "1:80 2:80"


def web(servers: str) -> str:
    return of_both(lambda family: family.service("web", 80, ['scheduler = "rr"'], servers=servers))


@pytest.fixture(scope="module")
def running(shared_lab: Lab) -> Iterator[RunningDirector]:
    with Nginx(shared_lab.servers[0]), Nginx(shared_lab.servers[1]):
        yield shared_lab.start_director(web(BOTH))


@pytest.fixture
def director(running: RunningDirector) -> RunningDirector:
    """The director of the module, with both servers in use."""
    assert reload(running, web(BOTH)).endswith("reloaded")
    return running


def shares(lab: Lab, family: Family, requests: int = 6) -> Counter[str]:
    return Counter(fetch(lab, family, "-H", "Connection: close", path=f"/?[1-{requests}]").split())


@both_families
def test_added_server_gets_its_share(shared_lab: Lab, director: RunningDirector, family: Family) -> None:
    reload(director, web("1:80"))
    assert shares(shared_lab, family) == {"server1": 6}
    reload(director, web(BOTH))
    assert shares(shared_lab, family) == {"server1": 3, "server2": 3}


@both_families
def test_quiesced_server_keeps_its_connections_and_gets_no_new_ones(
    shared_lab: Lab, director: RunningDirector, family: Family
) -> None:
    with Talk(shared_lab.client, family.vip, 80) as one, Talk(shared_lab.client, family.vip, 80) as other:
        assert {one.ask(), other.ask()} == {"server1", "server2"}
        drained = one if one.ask() == "server1" else other
        reload(director, web("1:80*0 2:80"))
        assert shares(shared_lab, family) == {"server2": 6}
        assert [drained.ask() for _ in range(3)] == ["server1"] * 3
        reload(director, web(BOTH))
        assert drained.ask() == "server1"
    assert shares(shared_lab, family) == {"server1": 3, "server2": 3}


@both_families
def test_removed_server_loses_its_connections_and_the_other_keeps_its_own(
    shared_lab: Lab, director: RunningDirector, family: Family
) -> None:
    with Talk(shared_lab.client, family.vip, 80) as one, Talk(shared_lab.client, family.vip, 80) as other:
        assert {one.ask(), other.ask()} == {"server1", "server2"}
        gone, kept = (one, other) if one.ask() == "server1" else (other, one)
        reload(director, web("2:80"))
        assert shares(shared_lab, family) == {"server2": 6}
        assert gone.ask() == "lost"
        assert kept.ask() == "server2"


@both_families
def test_broken_file_changes_nothing_and_the_log_says_why(
    shared_lab: Lab, director: RunningDirector, family: Family
) -> None:
    with Talk(shared_lab.client, family.vip, 80) as talk:
        server = talk.ask()
        line = reload(director, web(BOTH).replace('scheduler = "rr"', 'scheduler = "rrr"'))
        assert "reload failed, nothing was changed" in line
        assert 'no installed plugin provides scheduler "rrr"' in line
        assert "reload failed" in reload(director, "[[service]\nport = ")
        assert talk.ask() == server
        assert shares(shared_lab, family) == {"server1": 3, "server2": 3}


def test_missing_file_changes_nothing_and_the_log_says_why(shared_lab: Lab, director: RunningDirector) -> None:
    director.config.unlink()
    assert "nat-lb.toml" in reload(director)
    assert shares(shared_lab, Family(4)) == {"server1": 3, "server2": 3}


@both_families
def test_added_and_removed_service_is_steered_and_no_longer(
    shared_lab: Lab, director: RunningDirector, family: Family
) -> None:
    assert curl(shared_lab.client, family.url(port=8080)).returncode == 7
    reload(director, web(BOTH) + family.service("second", 8080, servers="1:80"))
    assert fetch(shared_lab, family, port=8080) == "server1\n"
    reload(director, web(BOTH))
    assert curl(shared_lab.client, family.url(port=8080)).returncode == 7


@both_families
def test_twenty_reloads_lose_no_request_of_the_traffic(
    shared_lab: Lab, director: RunningDirector, family: Family, tmp_path: Path
) -> None:
    progress = tmp_path / "ab"
    with progress.open("w") as output:
        command = ["ab", "-q", "-n", "1000000", "-c", "4", family.url()]
        traffic = shared_lab.client.spawn(command, stdout=output, stderr=subprocess.STDOUT)
        spare = family.service("spare", 8080, servers="1:80")
        for number in range(20):
            assert reload(director, web(BOTH) + (spare if number % 2 else "")).endswith("reloaded")
        traffic.send_signal(signal.SIGINT)  # which makes ab tell how it went
        wait_until(lambda: traffic.poll() is not None, what="ab's report")
    said = report(progress.read_text())
    assert said["Failed requests"] == "0", said
    assert int(said["Complete requests"]) > 200, said
