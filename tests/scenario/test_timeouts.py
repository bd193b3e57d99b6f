"""Connections end by time: each state after its own, to the second, however the clock moves."""

from __future__ import annotations

from itertools import pairwise

import pytest

from nat_lb.testing.packets import ACK, FIN, RST, SYN
from nat_lb.testing.scenario import Peer, Scenario
from tests.scenario.nets import IPV4, Net

OWN = "[service.timeouts]\n"
DAY = 86_400


def opened(toml: str, net: Net) -> tuple[Scenario, Peer, Peer]:
    s = Scenario(toml)
    return s, s.client(f"{net.client}:3000"), s.server(f"{net.one}:8000", f"{net.client}:3000")


def lasts(s: Scenario) -> int:
    """Return after how many whole seconds of silence the table is empty."""
    for second in range(1, 4000):
        s.time(1)
        if not s.connections:
            return second
    raise AssertionError("still there after 4000 s")


DIALOGUES = {
    "syn_recv": ("c", 60),
    "established": ("csa", 900),
    "fin_wait": ("csaF", 60),
    "close_wait": ("csaf", 60),
    "time_wait": ("csaFf", 60),
    "close": ("csar", 10),
    "syn_sent": ("csaFS", 60),
}
STEPS = {
    "c": (True, SYN), "s": (False, SYN | ACK), "a": (True, ACK), "f": (True, FIN | ACK), "r": (True, RST),
    "F": (False, FIN | ACK), "S": (False, SYN),
}  # fmt: skip


def play(client: Peer, server: Peer, dialogue: str) -> None:
    for step in dialogue:
        from_client, flags = STEPS[step]
        (client if from_client else server).sends(flags)


@pytest.mark.parametrize("state", sorted(DIALOGUES))
def test_each_state_lasts_its_default_time_without_packets(state: str) -> None:
    dialogue, seconds = DIALOGUES[state]
    s, client, server = opened(IPV4.web, IPV4)
    play(client, server, dialogue)
    assert s.state(client.own) == state.upper()
    assert seconds <= lasts(s) <= seconds + 1


@pytest.mark.parametrize("state", sorted(DIALOGUES))
def test_each_state_has_a_timeout_of_its_own_to_set(state: str) -> None:
    dialogue, _ = DIALOGUES[state]
    s, client, server = opened(f"[timeouts]\n{state} = 7\n" + IPV4.web, IPV4)
    play(client, server, dialogue)
    assert 7 <= lasts(s) <= 8


@pytest.mark.parametrize(
    ("group", "state"), [("syn", "syn_recv"), ("fin", "time_wait"), ("established", "established")]
)
def test_group_sets_its_states_and_a_services_table_wins(group: str, state: str) -> None:
    toml = f"[timeouts]\n{group} = 20\n" + IPV4.web + OWN + f"{group} = 5\n"
    for text, seconds in ((toml, 5), (toml.replace(OWN + f"{group} = 5", ""), 20)):
        s, client, server = opened(text, IPV4)
        play(client, server, DIALOGUES[state][0])
        assert seconds <= lasts(s) <= seconds + 1


def test_state_of_its_own_beats_its_group_in_one_table() -> None:
    s, client, server = opened("[timeouts]\nfin = 100\ntime_wait = 3\n" + IPV4.web, IPV4)
    play(client, server, "csaFf")
    assert lasts(s) in (3, 4)


def test_datagrams_keep_a_connection_for_the_udp_timeout(net: Net) -> None:
    s = Scenario(net.dns)
    s.client(f"{net.client}:3000").sends_datagram(b"query")
    assert s.state(f"{net.client}:3000") == "UDP"
    s.time(299)
    s.server(f"{net.one}:5353", f"{net.client}:3000").sends_datagram(b"answer").expect_forwarded(src=f"{net.vip}:53")
    assert lasts(s) in (300, 301)


def test_every_packet_starts_the_time_anew(net: Net) -> None:
    s, client, server = opened(net.web, net)
    play(client, server, "csa")
    for _ in range(5):
        s.time(890)
        client.sends(ACK).expect_forwarded(dst=server.own)
    assert lasts(s) in (900, 901)


def test_fraction_of_a_second_is_a_timeout_too() -> None:
    s, client, _ = opened("[timeouts]\nsyn = 0.25\n" + IPV4.web, IPV4)
    client.sends(SYN)
    s.time(1)
    assert s.connections == []


@pytest.mark.parametrize("first_tick", [True, False])
def test_jump_of_a_day_ends_everything_at_one_tick(net: Net, first_tick: bool) -> None:
    s, _, _ = opened(net.web, net)
    if first_tick:
        s.time(1)
    for port in range(3000, 3200):
        s.client(f"{net.client}:{port}").sends(SYN)
        s.client(f"{net.client}:{port}").sends(ACK)
    s.jump(DAY)
    assert s.connections == []
    assert not s.director.lifecycle.connections.flows


def test_connection_that_shortens_and_lengthens_its_time_ends_by_its_last_state() -> None:
    s, client, server = opened(IPV4.web, IPV4)
    play(client, server, "csa")
    for _ in range(20):  # the same port again and again: 900 s, 10 s, 60 s
        client.sends(RST)
        s.time(3)
        client.sends(SYN)
        s.time(3)
        client.sends(ACK)
        s.time(3)
    assert lasts(s) in (897, 898)


def test_thousands_of_connections_end_in_the_second_that_is_theirs() -> None:
    s, _, _ = opened(IPV4.web, IPV4)
    for port in range(10_000, 13_000):
        s.client(f"{IPV4.client}:{port}").sends(SYN)
        if port % 100 == 0:
            s.time(1)
    left = []
    for _ in range(62):
        s.time(1)
        left.append(len(s.connections))
    assert left[-1] == 0
    assert all(earlier - later in (0, 1, 99, 100, 101) for earlier, later in pairwise(left))


def test_shorter_timeout_in_a_reload_holds_for_the_connections_there_are(net: Net) -> None:
    s, client, server = opened(net.web, net)
    play(client, server, "csa")
    s.time(30)
    s.reload("[timeouts]\nestablished = 20\n" + net.web)
    s.time(1)
    assert s.connections == []


def test_longer_timeout_in_a_reload_holds_for_the_connections_there_are(net: Net) -> None:
    s, client, server = opened(net.web, net)
    play(client, server, "csa")
    s.reload("[timeouts]\nestablished = 2000\n" + net.web)
    assert lasts(s) in (2000, 2001)
