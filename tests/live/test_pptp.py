"""PPTP through the director: pptp on two clients, pptpd on both real servers, and GRE between them, judged by tshark.

pptpd counts calls from 0 on every machine and has one call a control connection. Calls that share a control connection
come to access concentrators of our own, which count from 10 on both machines.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from nat_lb.testing.lab import Lab, RunningDirector, capture, check_with_tshark, wait_until
from tests.live.ground import INSIDE, IPV4, joined, select
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


class Judged:
    """Captures at every host but the director; what they show is right, or leaving the block fails."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Judged:
        hosts = [*self.lab.clients, *self.lab.servers]
        self.paths = {host.name: self._stack.enter_context(capture(host)) for host in hosts}
        return self

    def __exit__(self, *fault: object) -> None:
        self._stack.close()
        outside = joined([self.paths[client.name] for client in self.lab.clients])
        if fault == (None, None, None):
            assert select(outside, INSIDE) == []
            assert check_with_tshark(joined(list(self.paths.values()))) == []

    def calls(self, host: str, destination: str) -> set[tuple[str, int]]:
        """Return the sources and call ids of GRE packets to an address, as a host saw them."""
        found = select(self.paths[host], f"gre && ip.dst == {destination}", "ip.src", "gre.key.call_id")
        pairs = (line.split("\t") for line in found)
        return {(source, int(number)) for source, number in pairs}


def test_calls_of_two_clients_on_both_servers_stay_apart(ground: Ground) -> None:
    lab = ground.lab
    with contextlib.ExitStack() as stack:
        judged = stack.enter_context(Judged(lab))
        calls = [stack.enter_context(ground.call(VPN, f"vpn{at}", client=at // 2)) for at in range(4)]
        for at, call in enumerate(calls):
            server = f"server{at % 2 + 1}"
            assert {call.asks(f"question {number}") for number in range(5)} == {server}
            assert call.heard()[0] == f"hello from {server}"
    ours, other = (client.v4 for client in lab.clients)
    assert judged.calls("client", VPN) == {(ours, 0), (ours, 1)}
    assert judged.calls("client2", VPN) == {(other, 128), (other, 129)}
    for host in lab.servers:
        assert judged.calls(host.name, host.v4) == {(ours, 0), (other, 128)}
    for client in lab.clients:
        assert {source for source, _ in judged.calls(client.name, client.v4)} == {VPN}


def test_calls_that_share_a_control_connection_stay_apart_and_are_cleared_one_by_one(ground: Ground) -> None:
    lab = ground.lab
    before = ground.ended("forgotten")
    with contextlib.ExitStack() as stack:
        judged = stack.enter_context(Judged(lab))
        calls = [stack.enter_context(ground.call(CONCENTRATORS, f"shared{at % 2}")) for at in range(4)]
        names = [call.asks("who are you") for call in calls]
        assert sorted(names) == [f"server{n}/{FIRST_CALL + at}" for n in (1, 2) for at in (0, 1)]
        assert [name.partition("/")[0] for name in names] == ["server1", "server2"] * 2
        calls[0].hang_up()
        wait_until(lambda: ground.ended("forgotten") > before, 20.0, "the end of the cleared call")
        assert [call.asks("still there") for call in calls[1:]] == names[1:]
    public = set(range(FIRST_CALL, FIRST_CALL + 4))
    assert {number for _, number in judged.calls("client", CONCENTRATORS)} == public
    for server in lab.servers:
        assert {number for _, number in judged.calls(server.name, server.v4)} == {FIRST_CALL, FIRST_CALL + 1}
    assert len(select(judged.paths["server1"], 'gre && frame contains "too late"')) == 2
    assert select(judged.paths["client"], 'gre && frame contains "too late"') == []
    cleared = select(judged.paths["client"], "pptp.control_message_type == 13", "pptp.call_id")
    assert set(map(int, cleared)) == public


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
