"""Packets that open no connection: each is dropped or answered, and has a reason."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nat_lb.packet import Packet
from nat_lb.segment import Segment
from nat_lb.testing import packets
from nat_lb.testing.packets import ACK, FIN, PSH, RST, SYN
from nat_lb.testing.scenario import Peer, Scenario
from tests.scenario.nets import IPV4, Net


def unreachable(net: Net) -> tuple[int, int]:
    return (3, 3) if net.version == 4 else (1, 4)


def strangers(s: Scenario, net: Net) -> Iterator[Peer]:
    for port in range(3000, 3100):
        yield s.client(f"{net.client}:{port}")


@pytest.mark.parametrize("flags", [ACK, FIN | ACK, ACK | PSH, 0, FIN])
def test_segment_that_is_no_syn_and_has_no_connection_is_reset(net: Net, flags: int) -> None:
    s = Scenario(net.web)
    s.client(f"{net.client}:3000").sends(flags, b"hello", seq=70, ack=5).expect_reset("no-connection")
    assert s.connections == []


def test_reset_takes_its_sequence_number_from_the_acknowledgement(net: Net) -> None:
    answer = Segment(Scenario(net.web).client(f"{net.client}:3000").sends(ACK, seq=70, ack=5).answer)
    assert (answer.seq, answer.flags) == (5, RST)


def test_reset_of_a_segment_without_ack_acknowledges_all_of_it(net: Net) -> None:
    answer = Segment(Scenario(net.web).client(f"{net.client}:3000").sends(FIN, b"hello", seq=70).answer)
    assert (answer.seq, answer.ack, answer.flags) == (0, 76, RST | ACK)


def test_reset_without_connection_is_dropped_in_silence(net: Net) -> None:
    s = Scenario(net.web)
    s.client(f"{net.client}:3000").sends(RST).expect_dropped("reset-without-connection")
    s.client(f"{net.client}:3000").sends(RST | SYN).expect_dropped("reset-without-connection")
    s.client(f"{net.client}:3000", f"{net.vip}:99").sends(RST).expect_dropped("no-service")


def test_reply_without_connection_never_shows_the_servers_address(net: Net) -> None:
    s = Scenario(net.web)
    s.server(f"{net.one}:8000", f"{net.client}:3000").sends(ACK, b"x").expect_dropped("reply-without-connection")


def test_reply_without_connection_is_rejected_if_the_operator_wants_it(net: Net) -> None:
    s = Scenario('[director]\norphan_replies = "reject"\n' + net.web + net.dns)
    s.server(f"{net.one}:8000", f"{net.client}:3000").sends(ACK).expect_reset("reply-without-connection")
    s.server(f"{net.one}:8000", f"{net.client}:3000").sends(RST).expect_dropped("reply-without-connection")
    server = s.server(f"{net.one}:5353", f"{net.client}:3000")
    server.sends_datagram(b"x").expect_icmp(*unreachable(net), "reply-without-connection")


def test_no_real_server_at_all_is_port_unreachable_quoting_the_packet(net: Net) -> None:
    s = Scenario(net.service("empty", 81))
    s.client(f"{net.client}:3000").sends(SYN, b"data").expect_icmp(*unreachable(net), "no-real-server")
    assert s.connections == []


def test_quiesced_server_gets_no_connection_but_keeps_the_ones_it_has(net: Net) -> None:
    s = Scenario(net.web)
    old, new = s.client(f"{net.client}:3000"), s.client(f"{net.client}:3001")
    old.sends(SYN).expect_forwarded(dst=f"{net.one}:8000")
    s.reload(net.service("web", 80, f"{net.one}:8000 0"))
    old.sends(ACK).expect_forwarded(dst=f"{net.one}:8000")
    new.sends(SYN).expect_icmp(*unreachable(net), "no-real-server")


@pytest.mark.parametrize("scheduler", ["rr", "wrr", "lc", "sh"])
def test_weight_zero_is_never_chosen_by_any_scheduler(net: Net, scheduler: str) -> None:
    servers = f"{net.one}:80 0", f"{net.two}:80 3"
    s = Scenario(net.service("web", 80, *servers, more=f'scheduler = "{scheduler}"'))
    for client in strangers(s, net):
        client.sends(SYN)
    assert {str(connection.real) for connection in s.connections} <= {f"{net.two}:80"}


def test_server_at_its_upper_threshold_rests_until_below_the_lower(net: Net) -> None:
    s = Scenario(net.service("web", 80, f"{net.one}:80 1 upper_threshold = 4", f"{net.two}:80 1"))
    for client in list(strangers(s, net))[:12]:
        client.sends(SYN)
    (one,) = {c.real_server for c in s.connections if str(c.real) == f"{net.one}:80"}
    assert (one.connections, one.overloaded) == (4, True)
    mine = [str(c.client) for c in s.connections if c.real_server is one]
    for closed, overloaded in ((1, True), (2, False)):  # lower threshold: 4 less a quarter, so below 3
        s.client(mine[closed]).sends(ACK)
        s.client(mine[closed]).sends(RST)
        s.time(11)
        assert (one.connections, one.overloaded) == (4 - closed, overloaded)


def test_all_servers_overloaded_is_the_same_as_none(net: Net) -> None:
    s = Scenario(net.service("web", 80, f"{net.one}:80 1 upper_threshold = 1"))
    s.client(f"{net.client}:3000").sends(SYN).expect_forwarded(dst=f"{net.one}:80")
    s.client(f"{net.client}:3001").sends(SYN).expect_icmp(*unreachable(net), "no-real-server")


@pytest.mark.parametrize("mode", ["drop", "accept"])
def test_other_ports_are_silent_or_left_to_the_director(net: Net, mode: str) -> None:
    s = Scenario(f'[director]\nother_ports = "{mode}"\n' + net.web)
    client = s.client(f"{net.client}:3000", f"{net.vip}:22")
    for outcome in client.sends(SYN), client.sends(ACK), client.sends_datagram(b"x"):
        outcome.expect_untouched() if mode == "accept" else outcome.expect_dropped("no-service")


@pytest.mark.parametrize("mode", ["reject", "drop", "accept"])
def test_echo_and_foreign_protocols_are_the_directors_own_affair(net: Net, mode: str) -> None:
    s = Scenario(f'[director]\nother_ports = "{mode}"\n' + net.web)
    s.process(packets.echo(net.client.strip("[]"), net.vip.strip("[]"))).expect_untouched()
    gre = bytearray(packets.tcp(f"{net.client}:3000", f"{net.vip}:80", SYN))
    gre[9 if net.version == 4 else 6] = 47
    s.process(bytes(gre)).expect_untouched()


def test_full_table_drops_new_connections_and_serves_the_old(net: Net) -> None:
    s = Scenario("[director]\nmax_connections = 2\n" + net.web)
    first, second, third = list(strangers(s, net))[:3]
    first.sends(SYN)
    second.sends(SYN)
    third.sends(SYN).expect_dropped("table-full")
    first.sends(ACK).expect_forwarded(dst=f"{net.one}:8000")
    s.time(61)
    third.sends(SYN).expect_forwarded(dst=f"{net.one}:8000")


def test_client_that_reaches_one_server_by_two_services_from_one_port_is_refused_the_second() -> None:
    other = IPV4.service("other", 81, f"{IPV4.one}:8000 1")
    s = Scenario(IPV4.web + other)
    s.client(f"{IPV4.client}:3000").sends(SYN).expect_forwarded(dst=f"{IPV4.one}:8000")
    s.client(f"{IPV4.client}:3000", f"{IPV4.vip}:81").sends(SYN).expect_dropped("flow-taken")
    assert len(s.connections) == 1


def test_every_refusal_is_counted_by_its_reason(net: Net) -> None:
    s = Scenario(net.web)
    client = s.client(f"{net.client}:3000")
    client.sends(ACK)
    client.sends(ACK)
    client.sends(RST)
    assert s.director.pipeline.refused == {"no-connection": 2, "reset-without-connection": 1}


@pytest.mark.parametrize("source", ["224.0.0.1", "0.0.0.0", "127.0.0.1"])
def test_nothing_is_answered_to_an_address_that_is_no_hosts(source: str) -> None:
    s = Scenario(IPV4.web)
    s.client(f"{source}:3000").sends(ACK).expect_dropped("no-connection")
    s.client(f"{source}:3000", f"{IPV4.vip}:99").sends_datagram(b"x").expect_dropped("no-service")


@pytest.mark.parametrize(
    ("flags", "state"), [(ACK, "ESTABLISHED"), (ACK | PSH, "ESTABLISHED"), (FIN | ACK, "CLOSE"), (SYN, "SYN_RECV")]
)
def test_sloppy_director_takes_over_connections_it_never_saw_begin(net: Net, flags: int, state: str) -> None:
    s = Scenario("[director]\nsloppy_tcp = true\n" + net.web)
    s.client(f"{net.client}:3000").sends(flags).expect_forwarded(dst=f"{net.one}:8000")
    assert s.state(f"{net.client}:3000") == state


def test_sloppy_director_opens_nothing_for_a_reset(net: Net) -> None:
    s = Scenario("[director]\nsloppy_tcp = true\n" + net.web)
    s.client(f"{net.client}:3000").sends(RST).expect_dropped("reset-without-connection")
    assert s.connections == []


def test_refusal_is_sent_with_fresh_hops_and_quotes_no_more_than_allowed(net: Net) -> None:
    s = Scenario(net.service("empty", 81))
    outcome = s.client(f"{net.client}:3000").sends(SYN, b"x" * 1400)
    answer = Packet(outcome.expect_icmp(*unreachable(net)).answer)
    assert (answer.hops, len(answer.data)) == (64, 576 if net.version == 4 else 1280)
