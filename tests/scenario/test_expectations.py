"""Related connections that a payload announced: opened once, by those they were announced for, in time."""

from __future__ import annotations

import logging

import pytest

from nat_lb.testing import packets
from nat_lb.testing.packets import ACK, FIN, RST, SYN
from tests.little_plugins import Shelf
from tests.scenario.nets import IPV4, Net
from tests.scenario.talk import Talk


def expectations(talk: Talk) -> int:
    return len(talk.s.director.lifecycle.expectations)


def test_passive_client_reads_the_virtual_address_and_connects_to_it(shelf: Shelf, net: Net) -> None:
    talk = Talk(shelf, net, staged=True)
    assert talk.announces("AT", 30000) == f"{net.vip}:30000"
    client = talk.data(30000)
    client.sends(SYN).expect_forwarded(dst=f"{net.one}:30000")
    talk.s.server(f"{net.one}:30000", client.own).sends(SYN | ACK).expect_forwarded(src=f"{net.vip}:30000")
    child = talk.s.connection(client.own)
    assert child.parent is talk.s.connection(talk.client.own)
    assert expectations(talk) == 0


def test_stream_stays_consistent_after_an_address_of_another_length(shelf: Shelf, net: Net) -> None:
    talk = Talk(shelf, net)
    growth = len(net.vip) - len(net.one)
    talk.announces("AT", 30000)
    sent = talk.says(talk.server, "more")
    seq = int.from_bytes(sent.packet[-len("more\n") - 16 :][:4], "big")
    assert seq - int.from_bytes(sent.sent[-len("more\n") - 16 :][:4], "big") == growth
    acknowledged = talk.says(talk.client, "thanks")
    ack = int.from_bytes(acknowledged.packet[-len("thanks\n") - 12 :][:4], "big")
    assert ack == 5001 + len(f"AT {net.one}:30000\n") + len("more\n")


def test_active_server_seems_to_come_from_the_virtual_address(shelf: Shelf, net: Net) -> None:
    talk = Talk(shelf, net, staged=True)
    talk.says(talk.client, f"CALL {net.client}:5555")
    server = talk.s.server(f"{net.one}:6999", f"{net.client}:5555")
    server.sends(SYN).expect_forwarded(src=f"{net.vip}:6999")
    talk.s.client(f"{net.client}:5555", f"{net.vip}:6999").sends(SYN | ACK).expect_forwarded(dst=f"{net.one}:6999")
    server.sends(ACK).expect_forwarded(src=f"{net.vip}:6999")
    assert talk.s.state(f"{net.client}:5555") == "ESTABLISHED"


def test_nobody_else_may_use_what_was_announced(shelf: Shelf, net: Net) -> None:
    talk = Talk(shelf, net)
    talk.announces("AT", 30000)
    talk.says(talk.client, f"CALL {net.client}:5555")
    talk.s.client(f"{net.router}:4000", f"{net.vip}:30000").sends(SYN).expect_reset("no-service")
    talk.s.server(f"{net.two}:6999", f"{net.client}:5555").sends(SYN).expect_untouched()
    assert expectations(talk) == 2


def test_any_client_may_use_what_was_announced_to_all(shelf: Shelf, net: Net) -> None:
    talk = Talk(shelf, net)
    talk.announces("ALL", 30000)
    talk.s.client(f"{net.router}:4000", f"{net.vip}:30000").sends(SYN).expect_forwarded(dst=f"{net.one}:30000")


def test_what_many_were_told_is_one_endpoint_for_whoever_comes_first(shelf: Shelf, net: Net) -> None:
    talk = Talk(shelf, net)
    second = talk.s.client(f"{net.router}:3000")
    server = talk.s.server(f"{net.one}:7000", second.own)
    second.sends(SYN, seq=1000)
    server.sends(SYN | ACK, seq=5000, ack=1001)
    first = talk.announces("ALL", 30000)
    told = server.sends(ACK, f"ALL {net.one}:30000\n".encode(), seq=5001, ack=1001)
    assert talk.payload(told).split()[1].decode() == first == f"{net.vip}:30000"
    assert expectations(talk) == 1
    connections = len(talk.s.connections)
    talk.client.sends(RST, seq=1001)
    talk.s.time(15)
    assert (len(talk.s.connections), expectations(talk)) == (connections - 1, 1)  # the first announcer is gone
    third = talk.s.client(f"{net.router}:4000", first)
    third.sends(SYN).expect_forwarded(dst=f"{net.one}:30000")
    talk.data(30000).sends(SYN).expect_reset("no-service")


def test_announcement_is_good_for_one_connection_only(shelf: Shelf, net: Net) -> None:
    talk = Talk(shelf, net)
    talk.announces("AT", 30000)
    talk.data(30000).sends(SYN).expect_forwarded(dst=f"{net.one}:30000")
    talk.data(30000).sends(SYN).expect_forwarded(dst=f"{net.one}:30000")  # a retransmission
    talk.s.client(f"{net.client}:4001", f"{net.vip}:30000").sends(SYN).expect_reset("no-service")


@pytest.mark.parametrize("flags", [RST, ACK, FIN | ACK])
def test_stray_segment_does_not_use_an_announcement_up(shelf: Shelf, flags: int) -> None:
    talk = Talk(shelf, IPV4)
    talk.announces("AT", 30000)
    talk.data(30000).sends(flags)
    assert (expectations(talk), len(talk.s.connections)) == (1, 1)
    talk.data(30000).sends(SYN).expect_forwarded(dst=f"{IPV4.one}:30000")


def test_first_packet_with_options_is_expected_too(shelf: Shelf, net: Net) -> None:
    talk = Talk(shelf, net)
    talk.announces("AT", 30000)
    client = talk.data(30000)
    packet = packets.with_extra_header(packets.tcp(client.own, client.other, SYN))
    client.sends_packet(packet).expect_forwarded(dst=f"{net.one}:30000")


def test_announcement_ends_after_its_time(shelf: Shelf, net: Net) -> None:
    talk = Talk(shelf, net)
    talk.announces("AT", 30000)
    talk.s.time(29)
    assert expectations(talk) == 1
    talk.s.time(1)
    assert expectations(talk) == 0
    talk.data(30000).sends(SYN).expect_reset("no-service")


def test_announcement_again_lengthens_its_time_and_is_the_same(shelf: Shelf, net: Net) -> None:
    talk = Talk(shelf, net)
    first = talk.announces("AT", 30000)
    talk.s.time(20)
    assert talk.announces("AT", 30000) == first
    talk.s.time(20)
    talk.data(30000).sends(SYN).expect_forwarded(dst=f"{net.one}:30000")


def test_newest_announcements_take_the_place_of_the_oldest(shelf: Shelf, net: Net) -> None:
    talk = Talk(shelf, net)
    for port in 30001, 30002, 30003:
        talk.announces("AT", port)
    talk.data(30001).sends(SYN).expect_reset("no-service")
    talk.data(30002).sends(SYN).expect_forwarded(dst=f"{net.one}:30002")
    talk.data(30003).sends(SYN).expect_forwarded(dst=f"{net.one}:30003")


@pytest.mark.parametrize("verb", ["BAD", "ODD"])
def test_failing_message_passes_as_it_is_and_reserves_nothing(shelf: Shelf, net: Net, verb: str) -> None:
    talk = Talk(shelf, net)
    talk.announces("AT", 30001)
    talk.announces("AT", 30002)
    text = f"{verb} {net.one}:30003"
    assert talk.payload(talk.says(talk.server, text)) == text.encode() + b"\n"
    for port in 30001, 30002:
        talk.data(port).sends(SYN).expect_forwarded(dst=f"{net.one}:{port}")
    talk.data(30003).sends(SYN).expect_reset("no-service")


def test_port_of_a_service_or_of_another_server_is_not_announced_twice(shelf: Shelf, net: Net) -> None:
    talk = Talk(shelf, net)
    assert talk.announces("AT", 7000) == f"{net.vip}:7001"


def test_address_of_another_host_is_refused_and_passes(
    shelf: Shelf, net: Net, caplog: pytest.LogCaptureFixture
) -> None:
    talk = Talk(shelf, net)
    text = f"AT {net.two}:30000"
    with caplog.at_level(logging.WARNING, "nat_lb.helpers"):
        assert talk.payload(talk.says(talk.server, text)) == text.encode() + b"\n"
    assert caplog.messages == [
        f"talk: talk {net.client}:3000 - {net.two}:30000 is not on this connection's real server {net.one.strip('[]')}"
    ]
    assert talk.s.director.lifecycle.expectations.counts["talk"].refused == {"refused": 1}


def test_helper_that_stopped_lets_everything_pass(shelf: Shelf, net: Net) -> None:
    talk = Talk(shelf, net)
    talk.says(talk.client, "STOP")
    assert talk.announces("AT", 30000) == f"{net.one}:30000"
    assert talk.s.connection(talk.client.own).rewriter is None


def test_control_connection_lives_as_long_as_its_data_connection(shelf: Shelf, net: Net) -> None:
    talk = Talk(shelf, net, more="[service.timeouts]\nestablished = 100\n")
    talk.client.sends(ACK, seq=1001, ack=5001)
    talk.announces("AT", 30000)
    client = talk.data(30000)
    client.sends(SYN)
    client.sends(ACK)
    for _ in range(5):
        talk.s.time(90)
        client.sends(ACK)
    assert len(talk.s.connections) == 2
    talk.s.time(101)
    assert [str(c.client) for c in talk.s.connections] == [talk.client.own]
    talk.s.time(61)
    assert talk.s.connections == []


def test_what_a_connection_announced_ends_with_it(shelf: Shelf, net: Net) -> None:
    talk = Talk(shelf, net)
    talk.announces("AT", 30000)
    talk.client.sends(ACK, seq=1001, ack=5001)
    talk.client.sends(RST, seq=1001)
    talk.s.time(11)
    assert (expectations(talk), talk.s.connections) == (0, [])


def test_data_connection_counts_as_its_servers_load_and_ends_with_it(shelf: Shelf, net: Net) -> None:
    talk = Talk(shelf, net)
    talk.announces("AT", 30000)
    talk.data(30000).sends(SYN)
    (service,) = talk.s.director.lifecycle.services
    assert service.real_servers[0].active == 2
    talk.s.reload(net.service("talk", 7000, f"{net.two}:7000 1"))
    assert talk.s.connections == []


def test_data_connection_gets_a_helper_only_if_it_was_announced_so(shelf: Shelf, net: Net) -> None:
    talk = Talk(shelf, net)
    talk.announces("NEST", 30000)
    talk.announces("AT", 30001)
    talk.data(30000).sends(SYN)
    talk.data(30001).sends(SYN)
    assert talk.s.connection(talk.data(30000).own).rewriter is not None
    assert talk.s.connection(talk.data(30001).own).rewriter is None


def test_full_table_refuses_announced_connections_and_keeps_the_announcement(shelf: Shelf, net: Net) -> None:
    talk = Talk(shelf, net)
    talk.s.director.lifecycle.connections.limit = 1
    talk.announces("AT", 30000)
    talk.data(30000).sends(SYN).expect_dropped("table-full")
    assert expectations(talk) == 1


def test_two_active_connections_from_one_port_get_different_virtual_ports(shelf: Shelf) -> None:
    talk = Talk(shelf, IPV4, more="")
    talk.says(talk.client, f"CALL {IPV4.client}:5555")
    talk.s.client(f"{IPV4.client}:5555", f"{IPV4.vip}:7000").sends(SYN).expect_forwarded(dst=f"{IPV4.one}:7000")
    server = talk.s.server(f"{IPV4.one}:6999", f"{IPV4.client}:5555")
    server.sends(SYN).expect_forwarded(src=f"{IPV4.vip}:6999")
    talk.says(talk.client, f"CALL {IPV4.client}:5555")
    again = talk.s.server(f"{IPV4.one}:6998", f"{IPV4.client}:5555")
    again.sends(SYN).expect_forwarded(src=f"{IPV4.vip}:6998")


def test_icmp_error_quotes_the_sequence_number_that_its_receiver_wrote(shelf: Shelf) -> None:
    talk = Talk(shelf, IPV4)
    talk.announces("AT", 30000)
    later = talk.says(talk.server, "more")
    error = packets.icmp_error(IPV4.router, IPV4.vip, (11, 0), later.packet[:28])
    quoted = talk.s.process(error).packet[28:]
    assert quoted[12:28] == later.sent[12:28]  # addresses, ports and sequence number
    assert later.packet[24:28] != later.sent[24:28]
