"""UDP through the director: dig against two dnsmasq, large answers, and how long a client keeps its server."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from nat_lb.testing.lab import Host, Lab, RunningDirector, wait_until
from nat_lb.testing.servers import Dnsmasq
from tests.live.ground import Family, addresses, both_families, of_both, select, watched

ECHO = Path(__file__).with_name("echo.py")
SHORT, LONG = 5001, 5002
LARGE_TEXT = [f"{number:03}" + "x" * 240 for number in range(15)]


def configuration(family: Family) -> str:
    dns = family.service("dns", 53, ['scheduler = "rr"'], servers="1:53 2:53", protocol="udp")
    short = family.service("short", SHORT, ["timeouts = { udp = 1 }"], servers="1:5000 2:5000", protocol="udp")
    return dns + short + family.service("long", LONG, servers="1:5000 2:5000", protocol="udp")


class Resolver(Dnsmasq):
    """A dnsmasq that also has a TXT record of more than 3.5 KB."""

    def command(self) -> list[str | Path]:
        texts = ",".join(LARGE_TEXT)
        return [*super().command(), "--edns-packet-max=4096", f"--txt-record=large.test,{texts}"]


@pytest.fixture(scope="module")
def director(shared_lab: Lab) -> Iterator[RunningDirector]:
    one, other = shared_lab.servers
    for number, host in enumerate(shared_lab.servers, 1):
        host.spawn([sys.executable, ECHO, "serve", "5000", str(number)])
        host.wait_listening(5000, "udp")
    with Resolver(one), Resolver(other):
        yield shared_lab.start_director("[director]\nlog_connections = true\n" + of_both(configuration))


def dig(lab: Lab, family: Family, name: str, *options: str) -> str:
    command = ["dig", "+time=20", "+tries=1", f"@{family.vip}", name, *options]
    return lab.client.run(command, check=True).stdout


def own_address(family: Family) -> str:
    return "A" if family.version == 4 else "AAAA"


@both_families
@pytest.mark.usefixtures("director")
def test_questions_go_round_and_answers_come_from_the_vip(shared_lab: Lab, family: Family) -> None:
    with watched(shared_lab) as legs:
        answers = Counter(dig(shared_lab, family, "who.test", own_address(family), "+short") for _ in range(8))
    assert answers == {f"{family.of(server)}\n": 4 for server in shared_lab.servers}
    assert addresses(legs.client, family) == {family.of(shared_lab.client), family.vip}
    kind = "ip" if family.version == 4 else "ipv6"
    replies = select(legs.client, f"udp && {kind}.dst == {family.of(shared_lab.client)}", f"{kind}.src", "udp.srcport")
    assert set(replies) == {f"{family.vip}\t53"}


@both_families
@pytest.mark.usefixtures("director")
def test_answer_of_four_kilobytes_arrives_whole(shared_lab: Lab, family: Family) -> None:
    with watched(shared_lab) as legs:
        answer = dig(shared_lab, family, "large.test", "TXT", "+bufsize=4096", "+ignore", "+notcp")
    assert [text for text in LARGE_TEXT if f'"{text}"' not in answer] == []
    assert "(UDP)" in answer
    assert "flags: qr aa rd ra tc" not in answer
    kind = "ip.frag_offset > 0" if family.version == 4 else "ipv6.fraghdr.offset > 0"
    assert select(legs.client, kind), "it came in fragments"


class Asker:
    """A client with one UDP socket."""

    def __init__(self, host: Host, family: Family, port: int) -> None:
        command: list[str | Path] = [sys.executable, ECHO, "again", family.vip, str(port)]
        self.child = host.spawn(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1)

    def ask(self) -> str:
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write("\n")
        return self.child.stdout.readline().strip()


@both_families
@pytest.mark.usefixtures("director")
def test_client_keeps_its_server_within_the_timeout(shared_lab: Lab, family: Family) -> None:
    asker = Asker(shared_lab.client, family, LONG)
    assert len({asker.ask() for _ in range(10)}) == 1


@both_families
def test_client_is_scheduled_again_after_the_service_timeout(
    shared_lab: Lab, director: RunningDirector, family: Family
) -> None:
    asker = Asker(shared_lab.client, family, SHORT)
    first = asker.ask()
    wait_until(lambda: _closed(director, family))
    assert {first, asker.ask()} == {"1 ok", "2 ok"}


def _closed(director: RunningDirector, family: Family) -> bool:
    return any(f" short{family.version}: " in line and "closed: " in line for line in director.log().splitlines())
