"""HTTP through the director: curl and ab against two nginx, whole files, long connections, many connections."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from nat_lb.testing.lab import Lab, wait_until
from tests.live.ground import (
    Family,
    Site,
    addresses,
    bench,
    both_families,
    curl,
    fetch,
    no_syn_sent_again,
    of_both,
    watched,
)

MEGABYTE = 1 << 20
CLOSE = ("-H", "Connection: close")


def web(family: Family) -> str:
    return family.service("web", 80, ['scheduler = "wrr"'], servers="1:80*1 2:8000*2")


@pytest.fixture(scope="module")
def sites(shared_lab: Lab) -> Iterator[list[Site]]:
    one, other = shared_lab.servers
    with Site(one, 80) as first, Site(other, 8000) as second:
        content = os.urandom(10 * MEGABYTE)
        for site in (first, second):
            (site.root / "large.bin").write_bytes(content)
        shared_lab.start_director(of_both(web))
        yield [first, second]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@both_families
@pytest.mark.usefixtures("sites")
def test_thirty_requests_are_shared_one_to_two(shared_lab: Lab, family: Family) -> None:
    with watched(shared_lab) as legs:
        answers = Counter(fetch(shared_lab, family, *CLOSE, path="/?[1-30]").split())
    assert answers == {"server1": 10, "server2": 20}
    assert addresses(legs.client, family) == {family.of(shared_lab.client), family.vip}


@both_families
def test_real_server_sees_the_true_client(shared_lab: Lab, sites: list[Site], family: Family) -> None:
    marked = f'"GET /?true{family.version} HTTP/1.1"'
    fetch(shared_lab, family, *CLOSE, path=f"/?true{family.version}")
    lines = wait_until(lambda: [line for site in sites for line in site.requests() if line.endswith(marked)])
    assert [line.split()[0] for line in lines] == [family.of(shared_lab.client)]


@both_families
def test_ten_megabytes_come_down_intact(shared_lab: Lab, sites: list[Site], family: Family, tmp_path: Path) -> None:
    target = tmp_path / "large.bin"
    with watched(shared_lab):
        curl(shared_lab.client, "-o", target, family.url("/large.bin"), check=True)
    assert digest(target) == digest(sites[0].root / "large.bin")


@both_families
def test_five_megabytes_go_up_intact(shared_lab: Lab, sites: list[Site], family: Family, tmp_path: Path) -> None:
    source = tmp_path / f"up{family.version}.bin"
    source.write_bytes(os.urandom(5 * MEGABYTE))
    with watched(shared_lab):
        curl(shared_lab.client, "--fail", "-T", source, family.url(f"/{source.name}"), check=True)
    stored = [site.root / source.name for site in sites if (site.root / source.name).exists()]
    assert [digest(path) for path in stored] == [digest(source)]


@both_families
@pytest.mark.usefixtures("sites")
def test_kept_alive_connection_stays_on_one_server(shared_lab: Lab, family: Family) -> None:
    said = fetch(shared_lab, family, "-w", "%{num_connects}\n", path="/?[1-20]").split()
    assert said[1::2] == ["1", *["0"] * 19]
    assert len(set(said[::2])) == 1


@both_families
@pytest.mark.usefixtures("sites")
def test_requests_in_parallel_all_succeed(shared_lab: Lab, family: Family) -> None:
    answers = Counter(fetch(shared_lab, family, "-Z", "--parallel-max", "50", *CLOSE, path="/?[1-150]").split())
    assert answers == {"server1": 50, "server2": 100}


@both_families
@pytest.mark.usefixtures("sites")
def test_five_hundred_concurrent_requests_have_no_failure(shared_lab: Lab, family: Family) -> None:
    with watched(shared_lab):
        said = bench(shared_lab.client, family.url(), 500, 25)
    assert (said["Complete requests"], said["Failed requests"]) == ("500", "0")
    assert "Non-2xx responses" not in said


@pytest.fixture
def few_ports(shared_lab: Lab) -> Iterator[None]:
    """A client that has only 64 ports, so that it must use each again and again."""
    setting = "net.ipv4.ip_local_port_range"
    before = shared_lab.client.run(["sysctl", "-n", setting], check=True).stdout.strip()
    shared_lab.client.run(["sysctl", "-q", "-w", f"{setting}=40000 40063"], check=True)
    yield
    shared_lab.client.run(["sysctl", "-q", "-w", f"{setting}={before}"], check=True)


@both_families
@pytest.mark.usefixtures("sites", "few_ports")
def test_port_in_use_again_connects_without_delay(shared_lab: Lab, family: Family) -> None:
    with no_syn_sent_again(shared_lab.client):
        said = bench(shared_lab.client, family.url(), 1000, 8)
    assert (said["Complete requests"], said["Failed requests"]) == ("1000", "0")
