"""Packets that are right but unusual, and packets that are wrong: the unusual is kept, the wrong stays wrong."""

from __future__ import annotations

import pytest

from nat_lb.checksum import adjust
from nat_lb.packet import Packet
from nat_lb.segment import Segment
from nat_lb.testing import packets
from nat_lb.testing.packets import ACK, FIN, RST, SYN
from nat_lb.testing.scenario import Peer, Scenario
from tests.scenario.nets import IPV4, IPV6, Net

EXTRA = {4: 4, 6: 8}  # octets of the router-alert option with its header


def web(net: Net) -> tuple[Scenario, Peer, Peer]:
    s = Scenario(net.web)
    return s, s.client(f"{net.client}:3000"), s.server(f"{net.one}:8000", f"{net.client}:3000")


def test_datagram_without_checksum_leaves_with_the_right_one() -> None:
    s = Scenario(IPV4.dns)
    for payload in b"", b"odd", b"even":
        sent = s.client(f"{IPV4.client}:3000").sends_datagram(payload, checksummed=False)
        packet = sent.expect_forwarded(dst=f"{IPV4.one}:5353", payload=payload).packet
        assert Packet(packet).payload[6:8] != b"\0\0"


def test_checksum_that_comes_out_as_zero_is_sent_as_all_ones(net: Net) -> None:
    s = Scenario(net.dns)
    client = s.client(f"{net.client}:3000")
    as_sent = packets.udp(client.own, f"{net.one}:5353", b"\0\0")
    fill = Packet(as_sent).payload[6:8]  # with its own checksum as payload, the translated datagram sums up to nothing
    packet = client.sends_datagram(fill).expect_forwarded(dst=f"{net.one}:5353").packet
    assert Packet(packet).payload[6:8] == b"\xff\xff"


@pytest.mark.parametrize("wrong_by", [1, 2, 0x8000, 0xFFFE])
def test_wrong_tcp_checksum_stays_wrong_by_the_same_amount(net: Net, wrong_by: int) -> None:
    _, client, server = web(net)
    client.sends(SYN)
    for peer in client, server:
        right = packets.tcp(peer.own, peer.other, ACK, b"abc")
        at = Packet(right).offset + 16
        wrong = bytearray(right)
        wrong[at : at + 2] = adjust(int.from_bytes(right[at : at + 2], "big"), wrong_by).to_bytes(2, "big")
        good, bad = peer.sends_packet(right).packet, peer.sends_packet(bytes(wrong)).packet
        repaired = adjust(int.from_bytes(bad[at : at + 2], "big"), 0xFFFF - wrong_by)
        assert bad[:at] + repaired.to_bytes(2, "big") + bad[at + 2 :] == good


def test_wrong_ip_header_checksum_stays_wrong() -> None:
    _, client, _ = web(IPV4)
    client.sends(SYN)
    for packet in (
        packets.tcp(client.own, client.other, ACK),
        packets.with_extra_header(packets.tcp(client.own, client.other, ACK)),
    ):
        wrong = bytearray(packet)
        wrong[11] ^= 0x10
        out = bytearray(client.sends_packet(bytes(wrong)).packet)
        assert not packets.checksums_are_right(bytes(out))


def test_options_and_extension_headers_survive_in_both_directions(net: Net) -> None:
    _, client, server = web(net)
    for peer, flags in (client, SYN), (server, SYN | ACK), (client, ACK):
        sent = packets.with_extra_header(packets.tcp(peer.own, peer.other, flags, b"payload"))
        outcome = peer.sends_packet(sent)
        if peer is client:
            outcome.expect_forwarded(dst=server.own, payload=b"payload")
        else:
            outcome.expect_forwarded(src=client.other, payload=b"payload")
        base = Packet(sent).offset
        assert outcome.packet[base : base + EXTRA[net.version]] == sent[base : base + EXTRA[net.version]]
        assert len(outcome.packet) == len(sent)


def test_packet_with_options_may_reuse_a_port_and_run_out_of_hops(net: Net) -> None:
    _, client, server = web(net)
    for flags in SYN, ACK, RST:
        client.sends(flags)
    again = packets.with_extra_header(packets.tcp(client.own, client.other, SYN))
    client.sends_packet(again).expect_forwarded(dst=server.own)
    client.sends_packet(packets.with_hops(again, 1)).answer  # noqa: B018 - fails unless there is one, with right checksums


def test_tcp_options_pass_as_they_are(net: Net) -> None:
    _, client, server = web(net)
    options = b"\x02\x04\x05\xb4\x04\x02\x08\x0a\x00\x00\x00\x01\x00\x00\x00\x00\x01\x03\x03\x07"
    packet = client.sends(SYN, options=options).expect_forwarded(dst=server.own).packet
    assert Segment(packet).mss == 1460
    assert packet.endswith(options)


@pytest.mark.parametrize("flags", [SYN, ACK])
def test_last_hop_is_answered_from_the_virtual_address(net: Net, flags: int) -> None:
    s, client, _ = web(net)
    if flags == ACK:
        client.sends(SYN)
    kind = (11, 0) if net.version == 4 else (3, 0)
    for hops in 1, 0:
        packet = packets.with_hops(packets.tcp(client.own, client.other, flags), hops)
        client.sends_packet(packet).expect_icmp(*kind, "ttl-exceeded")
    assert len(s.connections) == (flags == ACK)


def test_servers_last_hop_is_spent_in_the_kernel_before_it_comes_here(net: Net) -> None:
    _, client, server = web(net)
    client.sends(SYN)
    packet = packets.with_hops(packets.tcp(server.own, server.other, SYN | ACK), 1)
    server.sends_packet(packet).expect_forwarded(src=client.other)


def fragment(net: Net, packet: bytes, *, last: bool) -> bytes:
    """Return a fragment: the first, or a last one at octet 8."""
    if net.version == 4:
        cut = bytearray(packet)
        cut[6:8] = b"\x00\x01" if last else b"\x20\x00"
        return packets.with_hops(bytes(cut), 64)
    length = (len(packet) - 32).to_bytes(2, "big")
    header = packet[6:7] + b"\0" + (b"\x00\x08" if last else b"\x00\x01") + b"\0\0\0\1"
    return packet[:4] + length + b"\x2c" + packet[7:40] + header + packet[40:]


@pytest.mark.parametrize("last", [True, False])
def test_fragments_that_nobody_reassembled_are_dropped(net: Net, last: bool) -> None:
    s, client, server = web(net)
    client.sends(SYN)
    for peer in client, server:
        packet = packets.tcp(peer.own, peer.other, ACK, b"12345678")
        s.process(fragment(net, packet, last=last)).expect_dropped("fragment")


@pytest.mark.parametrize("last", [True, False])
def test_fragments_of_other_hosts_pass_as_they_are(net: Net, last: bool) -> None:
    s, client, _ = web(net)
    packet = fragment(net, packets.tcp(client.own, f"{net.router}:80", ACK, b"12345678"), last=last)
    assert s.process(packet).packet == packet


def test_whole_packet_in_one_ipv6_fragment_is_no_fragment() -> None:
    _, client, server = web(IPV6)
    packet = packets.tcp(client.own, client.other, SYN)
    atomic = (
        packet[:4]
        + (len(packet) - 32).to_bytes(2, "big")
        + b"\x2c"
        + packet[7:40]
        + b"\x06\0\0\0\0\0\0\1"
        + packet[40:]
    )
    client.sends_packet(atomic).expect_forwarded(dst=server.own)


def test_padding_behind_a_first_packet_is_cut_off(net: Net) -> None:
    _, client, server = web(net)
    packet = packets.tcp(client.own, client.other, SYN)
    assert len(client.sends_packet(packet + b"\0" * 6).expect_forwarded(dst=server.own).packet) == len(packet)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 19, 20, 23, 39])
def test_packet_cut_short_is_dropped_and_no_fault_of_anybody(net: Net, length: int) -> None:
    s, client, _ = web(net)
    client.sends(SYN)
    outcome = s.director.pipeline.process(packets.tcp(client.own, client.other, ACK)[:length], s.now)
    assert getattr(outcome, "reason", None) in ("malformed", "truncated")
    assert not s.director.lifecycle.faults.counts


@pytest.mark.parametrize("flags", [SYN, FIN, 0])
def test_segment_with_half_a_header_opens_nothing(net: Net, flags: int) -> None:
    s, client, _ = web(net)
    whole = packets.tcp(client.own, client.other, flags)
    offset = Packet(whole).offset
    cut = bytearray(whole[: offset + 12])
    if net.version == 4:
        cut[2:4] = len(cut).to_bytes(2, "big")
    else:
        cut[4:6] = (12).to_bytes(2, "big")
    s.process(bytes(cut)).expect_dropped("truncated")
    assert s.connections == []
