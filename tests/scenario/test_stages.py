"""Where a packet was taken decides what may be done to it: a client's before routing, a real server's after."""

from __future__ import annotations

from nat_lb.testing import packets
from nat_lb.testing.packets import ACK, SYN
from nat_lb.testing.scenario import Scenario
from nat_lb.verdict import Stage
from tests.scenario.nets import Net

BEFORE, AFTER = Stage.BEFORE_ROUTING, Stage.AFTER_ROUTING


def test_dialogue_goes_through_where_netfilter_takes_its_packets(net: Net) -> None:
    s = Scenario(net.web, staged=True)
    client, server = s.client(f"{net.client}:3000"), s.server(f"{net.one}:8000", f"{net.client}:3000")
    client.sends(SYN).expect_forwarded(dst=server.own)
    server.sends(SYN | ACK).expect_forwarded(src=client.other)
    client.sends(ACK).expect_forwarded(dst=server.own)


def test_packet_of_a_known_connection_is_untouched_at_the_wrong_place(net: Net) -> None:
    s = Scenario(net.web)
    client, server = s.client(f"{net.client}:3000"), s.server(f"{net.one}:8000", f"{net.client}:3000")
    client.sends(SYN)
    state = s.state(client.own)
    s.process(packets.tcp(client.own, client.other, ACK), AFTER).expect_untouched()
    s.process(packets.tcp(server.own, server.other, SYN | ACK), BEFORE).expect_untouched()
    assert s.state(client.own) == state


def test_first_packet_of_a_client_opens_nothing_after_routing(net: Net) -> None:
    s = Scenario(net.web)
    s.process(packets.tcp(f"{net.client}:3000", f"{net.vip}:80", SYN), AFTER).expect_untouched()
    s.process(packets.tcp(f"{net.client}:3000", f"{net.vip}:22", SYN), AFTER).expect_untouched()
    assert s.connections == []


def test_translated_packet_seen_again_after_routing_passes(net: Net) -> None:
    s = Scenario(net.web)
    onward = s.client(f"{net.client}:3000").sends(SYN).packet
    s.process(onward, AFTER).expect_untouched()


def test_reply_without_connection_is_refused_after_routing_only(net: Net) -> None:
    s = Scenario(net.web)
    orphan = packets.tcp(f"{net.one}:8000", f"{net.client}:3000", ACK)
    s.process(orphan, BEFORE).expect_untouched()
    s.process(orphan, AFTER).expect_dropped("reply-without-connection")


def test_icmp_error_is_translated_at_its_directions_place_only(net: Net) -> None:
    s = Scenario(net.web)
    client, server = s.client(f"{net.client}:3000"), s.server(f"{net.one}:8000", f"{net.client}:3000")
    inwards, outwards = client.sends(SYN).packet, server.sends(SYN | ACK).packet
    kind = (3, 4) if net.version == 4 else (2, 0)
    to_server = packets.icmp_error(net.router.strip("[]"), net.vip.strip("[]"), kind, outwards)
    to_client = packets.icmp_error(net.inside.strip("[]"), net.client.strip("[]"), kind, inwards)
    s.process(to_server, AFTER).expect_untouched()
    s.process(to_client, BEFORE).expect_untouched()
    assert s.process(to_server, BEFORE).packet != to_server
    assert s.process(to_client, AFTER).packet != to_client
