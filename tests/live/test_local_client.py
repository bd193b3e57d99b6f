"""A client on the director itself: it reaches the services by the VIP like everybody else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from nat_lb.testing.lab import Lab
from nat_lb.testing.servers import Dnsmasq, Nginx
from tests.live.ground import Family, both_families, curl, of_both, watched


def services(family: Family) -> str:
    web = family.service("web", 80, ['scheduler = "wrr"'], servers="1:80*1 2:8000*2")
    return web + family.service("dns", 53, servers="1:53 2:53", protocol="udp")


@pytest.fixture(scope="module")
def running(shared_lab: Lab) -> Iterator[Lab]:
    one, other = shared_lab.servers
    with Nginx(one, 80) as first, Nginx(other, 8000) as second, Dnsmasq(one), Dnsmasq(other):
        for site in (first, second):
            (site.root / "large.bin").write_bytes(bytes(range(256)) * 4000)
        shared_lab.start_director(of_both(services))
        with watched(shared_lab):
            yield shared_lab


@both_families
def test_curl_on_the_director_is_shared_one_to_two(running: Lab, family: Family) -> None:
    done = curl(running.director, "-H", "Connection: close", family.url("/?[1-12]"), check=True)
    assert Counter(done.stdout.split()) == {"server1": 4, "server2": 8}


@both_families
def test_curl_on_the_director_downloads_a_megabyte(running: Lab, family: Family) -> None:
    done = curl(running.director, "-o", "/dev/null", "-w", "%{size_download}", family.url("/large.bin"), check=True)
    assert done.stdout == "1024000"


@both_families
def test_dig_on_the_director_is_answered_by_the_vip(running: Lab, family: Family) -> None:
    command = ["dig", "+short", "+time=20", "+tries=1", f"@{family.vip}", "who.test", "A"]
    answers = {running.director.run(command, check=True).stdout.strip() for _ in range(4)}
    assert answers == {server.v4 for server in running.servers}


@both_families
def test_real_servers_are_still_reached_directly(running: Lab, family: Family) -> None:
    address = family.of(running.servers[0])
    assert curl(running.director, family.url(address=address), check=True).stdout == "server1\n"


@both_families
def test_other_port_is_refused_on_the_director_too(running: Lab, family: Family) -> None:
    assert curl(running.director, family.url(port=8080)).returncode == 7
