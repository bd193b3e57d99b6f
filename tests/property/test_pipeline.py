"""Whatever the bytes, `process` gives one verdict, raises nothing, and leaves the connection table whole."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from nat_lb.packet import Packet
from nat_lb.plugins import Registry
from nat_lb.testing import packets
from nat_lb.testing.packets import ACK, SYN
from nat_lb.testing.scenario import Scenario
from nat_lb.verdict import NotForwarded, Stage
from tests.scenario.nets import IPV4, IPV6, Net

TOML = "[director]\nmax_connections = 50\n" + "".join(
    net.service(f"web{net.version}", 80, f"{net.one}:8000 1", f"{net.two}:80 1")
    + net.service(f"files{net.version}", 21, f"{net.one}:21 1", more='helpers = ["ftp"]')
    + net.service(f"dns{net.version}", 53, f"{net.one}:5353 1", protocol="udp")
    for net in (IPV4, IPV6)
)


def new_scenario() -> Scenario:
    """Return a director with one connection of each service."""
    s = Scenario(TOML, REGISTRY)
    for net in IPV4, IPV6:
        for port in 80, 21:
            s.client(f"{net.client}:3000", f"{net.vip}:{port}").sends(SYN)
        s.client(f"{net.client}:3000", f"{net.vip}:53").sends_datagram(b"query")
    return s


def valid_packets(net: Net) -> list[bytes]:
    """Return packets of every kind that the director knows, for the connections of `new_scenario` and for none."""
    client, vip, one = net.client, net.vip, net.one
    result = []
    for flags in (SYN, SYN | ACK, ACK, 0x11, 0x04, 0x14, 0, 0xFF):
        for source, to in (
            (f"{client}:3000", f"{vip}:80"), (f"{client}:3000", f"{vip}:21"), (f"{client}:3001", f"{vip}:21"),
            (f"{client}:3001", f"{vip}:99"), (f"{one}:8000", f"{client}:3000"), (f"{one}:21", f"{client}:3000"),
        ):  # fmt: skip
            result.append(packets.tcp(source, to, flags, b"PASV\r\n227 (10,0,0,1,8,8)\r\n", seq=1001, ack=1))
    result += [
        packets.udp(f"{client}:3000", f"{vip}:53", b"q"),
        packets.udp(f"{client}:3000", f"{vip}:53", b"q", checksummed=False),
        packets.udp(f"{one}:5353", f"{client}:3000", b"answer"),
        packets.echo(client.strip("[]"), vip.strip("[]")),
    ]
    for kind in (1, 0), (2, 0), (3, 3), (3, 4), (4, 0), (11, 0), (12, 0):
        for source, to, ends in (
            (net.router, vip, (f"{vip}:80", f"{client}:3000")),
            (net.inside, client, (f"{client}:3000", f"{one}:8000")),
        ):
            quoted = packets.tcp(*ends, ACK, b"x")
            result.append(packets.icmp_error(source.strip("[]"), to.strip("[]"), kind, quoted))
    return result + [packets.with_extra_header(packet) for packet in result]


VALID = [packet for net in (IPV4, IPV6) for packet in valid_packets(net)]
REGISTRY = Registry()
POSITION = st.integers(0, 119)


@st.composite
def hostile(draw: st.DrawFn) -> bytes:
    """A valid packet, mutated, cut, or with something appended; or any bytes at all."""
    if draw(st.integers(0, 4)) == 0:
        return draw(st.binary(max_size=80))
    packet = bytearray(draw(st.sampled_from(VALID)))
    for at, value in draw(st.lists(st.tuples(POSITION, st.integers(0, 255)), max_size=4)):
        packet[at % len(packet)] = value
    how = draw(st.integers(0, 3))
    if how == 0:
        return bytes(packet[: draw(POSITION)])
    if how == 1:
        return bytes(packet) + draw(st.binary(max_size=20))
    return bytes(packet)


def check_tables(s: Scenario) -> None:
    """Every connection is there by both of its keys or not at all, and every count is that of the table."""
    table = s.director.lifecycle.connections
    assert len(table.flows) % 2 == 0
    assert len(table) <= table.limit
    for connection in table:
        assert table.flows[connection.key] is connection
        assert table.flows[connection.reply_key] is connection
        assert connection.key != connection.reply_key
    assert {id(c) for c in table.flows.values()} == {id(c) for c in table}
    for service in s.director.lifecycle.services:
        for server in service.real_servers:
            own = [c for c in table if c.real_server is server]
            assert (server.active, server.connections) == (sum(c.is_active for c in own), len(own))


@settings(max_examples=250, deadline=None)
@given(st.lists(st.tuples(hostile(), st.sampled_from(Stage), st.integers(0, 100)), min_size=1, max_size=12))
def test_any_bytes_get_a_verdict_and_the_tables_stay_whole(steps: list[tuple[bytes, Stage, int]]) -> None:
    s = new_scenario()
    for data, stage, seconds in steps:
        verdict = s.director.pipeline.process(data, s.now, stage)
        assert isinstance(verdict, (bytes, bytearray, NotForwarded))
        s.jump(seconds)
        check_tables(s)
    assert not s.director.lifecycle.faults.counts
    s.jump(100_000)
    assert len(s.director.lifecycle.connections.flows) == 0
    check_tables(s)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(VALID), st.data())
def test_no_cut_of_a_valid_packet_is_anybodys_fault(packet: bytes, data: st.DataObject) -> None:
    s = new_scenario()
    verdict = s.director.pipeline.process(packet[: data.draw(st.integers(0, len(packet)))], s.now)
    assert isinstance(verdict, (bytes, bytearray, NotForwarded))
    assert not s.director.lifecycle.faults.counts


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(VALID))
def test_what_goes_on_from_a_valid_packet_is_valid_and_shows_no_inside_address(packet: bytes) -> None:
    s = new_scenario()
    verdict = s.director.pipeline.process(packet, s.now)
    sent = list(verdict.packets) if isinstance(verdict, NotForwarded) else [bytes(verdict)]
    for out in sent:
        assert packets.checksums_are_right(out), packets.describe(out)
        to_client = Packet(out).destination in (
            Packet(packets.echo(net.client.strip("[]"), net.vip.strip("[]"))).source for net in (IPV4, IPV6)
        )
        inside = {Packet(packets.echo(net.one.strip("[]"), net.vip.strip("[]"))).source for net in (IPV4, IPV6)}
        if to_client and out != packet:
            assert not any(address in out for address in inside), packets.describe(out)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(VALID), st.sampled_from([Stage.BEFORE_ROUTING, Stage.AFTER_ROUTING]))
def test_place_only_decides_whether_a_packet_is_dealt_with(packet: bytes, stage: Stage) -> None:
    anywhere = new_scenario().process(packet).verdict
    here = new_scenario().process(packet, stage).verdict
    if isinstance(here, NotForwarded):
        assert isinstance(anywhere, NotForwarded)
        assert (here.reason, here.packets) == (anywhere.reason, anywhere.packets)
    else:
        assert here in (packet, anywhere)
