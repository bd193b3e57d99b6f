"""PPTP through the director: pptp on two clients, pptpd on both real servers, and GRE between them, judged by tshark.

pptpd counts calls from 0 on every machine and has one call a control connection. Calls that share a control connection
come to access concentrators of our own, which count from 10 on both machines.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from nat_lb.testing.lab import Lab, RunningDirector, capture, check_with_tshark, wait_until
from tests.live.ground import INSIDE, IPV4, counted, joined, related, select
from tests.live.pptp_programs import FIRST_CALL, Call, Concentrator, Pptpd

VPN, CONCENTRATORS = Lab.vip, "202.103.106.6"
DIRECTOR = "[director]\nlog_connections = true\n[timeouts]\nfin = 1\n"


class Ground(NamedTuple):
    lab: Lab
    director: RunningDirector

    def call(self, address: str, directory: str, client: int = 0) -> Call:
        return Call(self.lab.clients[client], address, self.lab.directory / directory)

    def ended(self, reason: str) -> int:
        """Return how many calls have ended for a reason."""
        lines = self.director.log().splitlines()
        return sum(": gre " in line and line.endswith(f"closed: {reason}") for line in lines)


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    lines = ['scheduler = "rr"', 'helpers = ["pptp"]']
    vpn = IPV4.service("vpn", 1723, lines, servers="1:1723 2:1723")
    concentrators = IPV4.service("concentrators", 1723, lines, servers="1:1724 2:1724").replace(VPN, CONCENTRATORS)
    with Lab(clients=2) as lab, contextlib.ExitStack() as stack:
        lab.director.run(["ip", "address", "add", f"{CONCENTRATORS}/32", "dev", "lo"], check=True)
        for host in lab.servers:
            stack.enter_context(Pptpd(host, 1723))
            stack.enter_context(Concentrator(host, 1724))
        yield Ground(lab, lab.start_director(DIRECTOR + vpn + concentrators))


@contextlib.contextmanager
def judged(lab: Lab) -> Iterator[Path]:
    """Capture on all legs into the file whose path is given; every packet has right checksums, no client sees inside.

    Of what either end sends, the capture has the client's leg and the real server's; the addresses tell them apart.
    """
    with contextlib.ExitStack() as stack:
        outside, inside = ([stack.enter_context(capture(host)) for host in side] for side in (lab.clients, lab.servers))
        together = lab.directory / f"{outside[0].stem}-legs.pcap"
        yield together
    joined([*outside, *inside]).rename(together)
    assert check_with_tshark(together) == []
    assert select(joined(outside), INSIDE) == []


def packets_of_calls(pcap: Path) -> set[tuple[str, str, int]]:
    """Return source, destination and call id of all GRE packets."""
    rows = (line.split("\t") for line in select(pcap, "gre && !icmp", "ip.src", "ip.dst", "gre.key.call_id"))
    return {(source, destination, int(number)) for source, destination, number in rows}


def test_calls_of_two_clients_on_both_servers_stay_apart(ground: Ground) -> None:
    lab = ground.lab
    with judged(lab) as pcap, contextlib.ExitStack() as stack:
        calls = [stack.enter_context(ground.call(VPN, f"vpn{at}", client=at // 2)) for at in range(4)]
        for at, call in enumerate(calls):
            server = f"server{at % 2 + 1}"
            assert {call.asks(f"question {number}") for number in range(5)} == {server}
            assert call.heard()[0] == f"hello from {server}"
        listed = related(ground.director, "vpn4", "gre")
        assert len(listed) == 4 and {entry["state"] for entry in listed} == {"GRE_STREAM"}
        assert {entry["announced_by"]["virtual"] for entry in listed} == {f"{VPN}:1723"}
    wait_until(lambda: related(ground.director, "vpn4", "gre") == [], 20.0, "the end of all calls with their parents")
    counts = counted(ground.director, "pptp")
    assert counts["expected"] == counts["met"] >= 4
    assert counts["rewritten"] >= 2, "the second server's calls have other numbers outside"
    seen = packets_of_calls(pcap)
    (ours, other), reals = (client.v4 for client in lab.clients), [host.v4 for host in lab.servers]
    sent_outside = {(ours, VPN, 0), (ours, VPN, 1), (other, VPN, 128), (other, VPN, 129)}
    arrived_inside = {(source, real, number) for real in reals for source, number in ((ours, 0), (other, 128))}
    assert {row for row in seen if row[0] in (ours, other)} == sent_outside | arrived_inside
    for client in ours, other:
        ids = {number for source, to, number in seen if (source, to) == (VPN, client)}
        assert len(ids) == 2
        assert ids == {number for source, to, number in seen if source in reals and to == client}


def test_calls_that_share_a_control_connection_stay_apart_and_are_cleared_one_by_one(ground: Ground) -> None:
    lab = ground.lab
    before = ground.ended("forgotten")
    with judged(lab) as pcap, contextlib.ExitStack() as stack:
        calls = [stack.enter_context(ground.call(CONCENTRATORS, f"shared{at % 2}")) for at in range(4)]
        names = [call.asks("who are you") for call in calls]
        assert sorted(names) == [f"server{n}/{FIRST_CALL + at}" for n in (1, 2) for at in (0, 1)]
        assert [name.partition("/")[0] for name in names] == ["server1", "server2"] * 2
        calls[0].hang_up()
        wait_until(lambda: ground.ended("forgotten") > before, 20.0, "the end of the cleared call")
        assert [call.asks("still there") for call in calls[1:]] == names[1:]
    client, reals = lab.client.v4, {host.v4 for host in lab.servers}
    public = set(range(FIRST_CALL, FIRST_CALL + 4))
    expected = {(client, CONCENTRATORS, number) for number in public}
    expected |= {(client, real, FIRST_CALL + at) for real in reals for at in (0, 1)}
    assert {row for row in packets_of_calls(pcap) if row[0] == client} == expected
    late = set(select(pcap, 'gre && frame contains "too late"', "ip.src"))
    assert late and late <= reals
    cleared = select(pcap, f"pptp.control_message_type == 13 && ip.src == {CONCENTRATORS}", "pptp.call_id")
    assert cleared and set(map(int, cleared)) <= public


def test_call_ends_when_the_server_hangs_up(ground: Ground) -> None:
    before = ground.ended("forgotten")
    with ground.call(VPN, "server-ends") as call:
        server = call.asks("are you there")
        call.says("bye")
        wait_until(lambda: ground.ended("forgotten") > before, 20.0, f"the end of the call to {server}")


def test_call_ends_when_the_client_closes_the_control_connection(ground: Ground) -> None:
    before = ground.ended("parent")
    with ground.call(VPN, "client-ends") as call:
        call.asks("are you there")
        call.hang_up()
        wait_until(lambda: ground.ended("parent") > before, 20.0, "the end of the call")
