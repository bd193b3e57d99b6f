"""ICMP errors about translated packets: whoever gets one finds the packet that it sent itself."""

from __future__ import annotations

import pytest

from nat_lb.packet import Packet
from nat_lb.testing import packets
from nat_lb.testing.packets import ACK, SYN
from nat_lb.testing.scenario import Outcome, Scenario
from nat_lb.verdict import Stage
from tests.scenario.nets import Net

KINDS = {4: [(3, 0), (3, 3), (3, 4), (11, 0), (4, 0)], 6: [(1, 0), (1, 4), (2, 0), (3, 0)]}
PARAMETER_PROBLEM = {4: (12, 0), 6: (4, 0)}


class Errors:
    """A connection, and the errors about its packets."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.s = Scenario(net.web)
        self.client = self.s.client(f"{net.client}:3000")
        self.server = self.s.server(f"{net.one}:8000", self.client.own)
        self.inwards = self.client.sends(SYN)
        self.outwards = self.server.sends(SYN | ACK, b"some payload")

    def about(self, packet: bytes, source: str, to: str, kind: tuple[int, int], cut: int | None = None) -> bytes:
        quoted = packet if cut is None else packet[: Packet(packet).offset + cut]
        return packets.icmp_error(source.strip("[]"), to.strip("[]"), kind, quoted, value=1400)


def unwrapped(outcome: Outcome) -> tuple[str, str, bytes]:
    """Return source and destination of a forwarded error, with right checksums, and what it quotes."""
    assert packets.checksums_are_right(outcome.packet), str(outcome)
    view = Packet(outcome.packet)
    text = packets.describe(outcome.packet).split()
    return text[-3], text[-1], view.payload[8:]


@pytest.mark.parametrize("cut", [None, 8, 20])
def test_error_from_the_clients_side_reaches_the_server_about_its_own_packet(net: Net, cut: int | None) -> None:
    e = Errors(net)
    for kind in KINDS[net.version]:
        source, to, quoted = unwrapped(e.s.process(e.about(e.outwards.packet, net.router, net.vip, kind, cut)))
        assert (source, to) == (net.router.strip("[]"), net.one.strip("[]"))
        assert e.outwards.sent.startswith(quoted[: Packet(e.outwards.sent).offset + 8])


@pytest.mark.parametrize("cut", [None, 8, 20])
@pytest.mark.parametrize("source", ["one", "inside"])
def test_error_from_the_servers_side_reaches_the_client_from_the_virtual_address(
    net: Net, source: str, cut: int | None
) -> None:
    e = Errors(net)
    for kind in KINDS[net.version]:
        error = e.about(e.inwards.packet, getattr(net, source), net.client, kind, cut)
        sender, to, quoted = unwrapped(e.s.process(error, Stage.AFTER_ROUTING))
        assert (sender, to) == (net.vip.strip("[]"), net.client.strip("[]"))
        assert e.inwards.sent.startswith(quoted[: Packet(e.inwards.sent).offset + 8])


def test_mtu_that_a_router_tells_is_passed_on(net: Net) -> None:
    e = Errors(net)
    kind = (3, 4) if net.version == 4 else (2, 0)
    error = e.about(e.inwards.packet, net.inside, net.client, kind)
    assert Packet(e.s.process(error).packet).payload[4:8] == (1400).to_bytes(4, "big")


def test_directors_own_error_about_an_untranslated_reply_passes_as_it_is(net: Net) -> None:
    e = Errors(net)
    kind = (3, 4) if net.version == 4 else (2, 0)
    e.s.process(e.about(e.outwards.sent, net.inside, net.one, kind), Stage.AFTER_ROUTING).expect_untouched()


def test_error_with_a_wrong_checksum_is_dropped(net: Net) -> None:
    e = Errors(net)
    kind = (3, 1) if net.version == 4 else (1, 0)
    error = bytearray(e.about(e.outwards.packet, net.router, net.vip, kind))
    error[Packet(bytes(error)).offset + 3] ^= 1
    e.s.process(bytes(error)).expect_dropped("icmp-bad-checksum")


def test_error_about_a_connection_that_nobody_has_is_dropped(net: Net) -> None:
    e = Errors(net)
    stranger = packets.tcp(f"{net.vip}:80", f"{net.client}:4000", ACK)
    e.s.process(e.about(stranger, net.router, net.vip, (3, 1))).expect_dropped("icmp-untranslatable")


def test_servers_error_about_a_forgotten_connection_does_not_show_its_address(net: Net) -> None:
    e = Errors(net)
    e.s.time(61)
    kind = (3, 3) if net.version == 4 else (1, 4)
    error = e.about(e.inwards.packet, net.one, net.client, kind)
    e.s.process(error, Stage.AFTER_ROUTING).expect_dropped("reply-without-connection")


def test_error_about_a_forgotten_connection_is_the_directors_own_if_other_ports_are(net: Net) -> None:
    s = Scenario('[director]\nother_ports = "accept"\n' + net.web)
    stranger = packets.tcp(f"{net.vip}:50000", f"{net.router}:443", ACK)
    kind = (3, 4) if net.version == 4 else (2, 0)
    s.process(packets.icmp_error(net.router.strip("[]"), net.vip.strip("[]"), kind, stranger)).expect_untouched()


@pytest.mark.parametrize("inwards", [True, False])
def test_parameter_problem_is_not_translated_and_not_let_through(net: Net, inwards: bool) -> None:
    e = Errors(net)
    kind = PARAMETER_PROBLEM[net.version]
    if inwards:
        error = e.about(e.outwards.packet, net.router, net.vip, kind)
    else:
        error = e.about(e.inwards.packet, net.inside, net.client, kind)
    e.s.process(error).expect_dropped("icmp-untranslatable")


@pytest.mark.parametrize("cut", [0, 4, 7])
def test_quotation_too_short_to_tell_its_flow_is_dropped(net: Net, cut: int) -> None:
    e = Errors(net)
    error = e.about(e.outwards.packet, net.router, net.vip, (3, 1), cut)
    e.s.process(error).expect_dropped("icmp-untranslatable")


def test_errors_between_other_hosts_pass_whatever_they_quote(net: Net) -> None:
    e = Errors(net)
    foreign = packets.tcp(f"{net.client}:5000", f"{net.router}:443", ACK)
    for kind in (*KINDS[net.version], PARAMETER_PROBLEM[net.version]):
        for cut in None, 8, 3:
            e.s.process(e.about(foreign, net.inside, net.client, kind, cut)).expect_untouched()


def test_error_with_options_in_its_header_keeps_them(net: Net) -> None:
    e = Errors(net)
    kind = (11, 0) if net.version == 4 else (3, 0)
    error = packets.with_extra_header(e.about(e.outwards.packet, net.router, net.vip, kind))
    outcome = e.s.process(error)
    assert unwrapped(outcome)[1] == net.one.strip("[]")
    assert len(outcome.packet) == len(error)


def test_quoted_packet_with_options_is_translated_behind_them(net: Net) -> None:
    e = Errors(net)
    kind = (11, 0) if net.version == 4 else (3, 0)
    for outcome, source, to in (e.outwards, net.router, net.vip), (e.inwards, net.inside, net.client):
        error = e.about(packets.with_extra_header(outcome.packet), source, to, kind)
        _, _, quoted = unwrapped(e.s.process(error))
        before_checksum = slice(len(packets.with_extra_header(outcome.sent)) - len(Packet(outcome.sent).payload) + 16)
        assert quoted[before_checksum] == packets.with_extra_header(outcome.sent)[before_checksum]


def test_error_about_an_error_or_a_later_fragment_is_dropped(net: Net) -> None:
    e = Errors(net)
    kind = (3, 1) if net.version == 4 else (1, 0)
    inner = e.about(e.outwards.packet, net.vip, net.router, kind)
    e.s.process(e.about(inner, net.router, net.vip, kind)).expect_dropped("icmp-untranslatable")


def test_udp_port_unreachable_of_a_real_server_reaches_the_client(net: Net) -> None:
    s = Scenario(net.dns)
    query = s.client(f"{net.client}:3000").sends_datagram(b"query")
    kind = (3, 3) if net.version == 4 else (1, 4)
    error = packets.icmp_error(net.one.strip("[]"), net.client.strip("[]"), kind, query.packet)
    source, _, quoted = unwrapped(s.process(error))
    assert source == net.vip.strip("[]")
    assert quoted[: Packet(query.sent).offset + 6] == query.sent[: Packet(query.sent).offset + 6]


def test_error_does_not_keep_a_connection_alive(net: Net) -> None:
    e = Errors(net)
    e.s.time(59)
    e.s.process(e.about(e.outwards.packet, net.router, net.vip, (3, 1) if net.version == 4 else (1, 0)))
    e.s.time(2)
    assert e.s.connections == []
