"""A client that uses a port again while the director still remembers the old connection."""

from __future__ import annotations

import pytest

from nat_lb.testing.packets import ACK, FIN, RST, SYN
from nat_lb.testing.scenario import Scenario
from tests.scenario.nets import IPV4, Net

CLIENT, SERVER = "client", "server"
Dialogue = list[tuple[str, int]]
SYNS: Dialogue = [(CLIENT, SYN)]
OPEN: Dialogue = [*SYNS, (SERVER, SYN | ACK), (CLIENT, ACK)]
WAYS: dict[str, Dialogue] = {  # to every state that a client's SYN may find a connection in
    "SYN_RECV": SYNS,
    "ESTABLISHED": OPEN,
    "CLOSE_WAIT": [*OPEN, (CLIENT, FIN | ACK)],
    "FIN_WAIT": [*OPEN, (SERVER, FIN | ACK)],
    "SYN_SENT": [*OPEN, (SERVER, FIN | ACK), (SERVER, SYN)],
    "TIME_WAIT": [*OPEN, (SERVER, FIN | ACK), (CLIENT, FIN | ACK)],
    "CLOSE": [*OPEN, (CLIENT, RST)],
}
REOPENED = {"TIME_WAIT", "CLOSE"}


def in_state(net: Net, state: str) -> Scenario:
    """Return a director of two real servers (rr), the first of which has a connection in this state."""
    s = Scenario(net.service("web", 80, f"{net.one}:80 1", f"{net.two}:80 1"))
    client, server = s.client(f"{net.client}:3000"), s.server(f"{net.one}:80", f"{net.client}:3000")
    for who, flags in WAYS[state]:
        (client if who == CLIENT else server).sends(flags)
    assert s.state(client.own) == state
    return s


@pytest.mark.parametrize("state", sorted(WAYS))
def test_syn_on_a_used_port_is_scheduled_anew_only_after_the_end(net: Net, state: str) -> None:
    s = in_state(net, state)
    old = s.connection(f"{net.client}:3000")
    wanted = net.two if state in REOPENED else net.one
    s.client(f"{net.client}:3000").sends(SYN).expect_forwarded(dst=f"{wanted}:80")
    assert (s.connection(f"{net.client}:3000") is old) is (state not in REOPENED)
    assert len(s.connections) == 1


@pytest.mark.parametrize("state", sorted(REOPENED))
def test_retransmitted_segments_of_an_ended_connection_keep_their_server(net: Net, state: str) -> None:
    s = in_state(net, state)
    s.client(f"{net.client}:3000").sends(FIN | ACK).expect_forwarded(dst=f"{net.one}:80")
    s.server(f"{net.one}:80", f"{net.client}:3000").sends(ACK).expect_forwarded(src=f"{net.vip}:80")


@pytest.mark.parametrize("state", sorted(REOPENED))
def test_reused_port_with_no_server_left_ends_the_old_connection_and_is_refused(state: str) -> None:
    s = in_state(IPV4, state)
    s.reload(IPV4.service("web", 80, f"{IPV4.one}:80 0", f"{IPV4.two}:80 0"))
    s.client(f"{IPV4.client}:3000").sends(SYN).expect_icmp(3, 3, "no-real-server")
    assert s.connections == []


def test_load_is_counted_right_over_many_reuses_of_one_port() -> None:
    s = in_state(IPV4, "CLOSE")
    for _ in range(10):
        s.client(f"{IPV4.client}:3000").sends(SYN)
        s.client(f"{IPV4.client}:3000").sends(ACK)
        s.client(f"{IPV4.client}:3000").sends(RST)
    (service,) = s.director.lifecycle.services
    assert [(server.active, server.inactive) for server in service.real_servers] == [(0, 1), (0, 0)]
    s.time(11)
    assert [server.connections for server in service.real_servers] == [0, 0]
    assert sum(server.opened for server in service.real_servers) == 11
