"""A protocol whose packets do not name their source: opened as announced, by either end, and never otherwise."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest

from nat_lb.errors import ConfigError
from nat_lb.packet import Packet, build
from nat_lb.testing import packets
from nat_lb.testing.scenario import Outcome, Scenario
from nat_lb.verdict import Reason
from tests.little_plugins import Shelf
from tests.scenario.nets import IPV4, Net

PLUGIN = """
class Call(Tracker):
    name = "call"
    protocol = 47
    header = 8
    checksum_at = None
    ports_at = (None, 6)
    signature = ((1, 0x07, 0x01),)
    states = ("SILENT", "TALKING")
    events = ("packet",)
    transitions = {way: {"packet": ("TALKING", "TALKING")} for way in Direction}
    timeouts = {"SILENT": 10, "TALKING": 100}
    groups = {"call": ("TALKING",)}
    active = frozenset(states)
    opening = frozenset(events)


class Operator(Helper):
    name = "operator"
    protocol = "udp"
    most_expectations = 4

    def rewrite(self, message):
        verb, client, real = message.data.split()
        ends = Endpoint(message.peers.client.address, int(client)), Endpoint(message.peers.real.address, int(real))
        if verb == b"CALL":
            message.expect_between(*ends, protocol="call", bound=True)
        elif verb == b"HOLD":
            message.expect_client(ends[1], protocol="call")
        elif verb == b"END":
            message.forget(Endpoint(message.peers.virtual.address, int(real)), protocol="call")
        return ()


@hookimpl
def nat_lb_register_trackers():
    return [Call]


@hookimpl
def nat_lb_register_helpers():
    return [Operator]
"""


class Phone:
    """A director with the protocol, and a control connection of datagrams that says CALL, HOLD or END."""

    def __init__(self, shelf: Shelf, net: Net, more: str = "") -> None:
        shelf.install("phone", PLUGIN)
        self.net = net
        more = f'helpers = ["operator"]\n{more}'
        toml = net.service("phone", 7000, f"{net.one}:7000 1", protocol="udp", more=more)
        self.s = Scenario(toml, shelf.registry(), staged=True)
        self.control = self.s.client(f"{net.client}:3000")

    def says(self, text: str) -> None:
        self.control.sends_datagram(text.encode()).expect_forwarded(dst=f"{self.net.one}:7000")

    def from_client(self, number: int, to: str = "", **fields: int) -> Outcome:
        """Let the client send a packet of the call that has this number at its receiver."""
        peer = self.s.client(f"{self.net.client}:1", f"{to or self.net.vip}:1")
        return peer.sends_packet(voice(self.net.client, to or self.net.vip, number, **fields))

    def from_server(self, number: int, source: str = "", **fields: int) -> Outcome:
        """Let a real server send one."""
        peer = self.s.server(f"{source or self.net.one}:1", f"{self.net.client}:1")
        return peer.sends_packet(voice(source or self.net.one, self.net.client, number, **fields))


def voice(source: str, to: str, number: int, *, version: int = 1, size: int = 8) -> bytes:
    """Return a packet of a call, `size` octets of header."""
    from_, to_ = (ip_address(address.strip("[]")).packed for address in (source, to))
    return build(from_, to_, 47, (struct.pack("!BBHHH", 0x20, version, 0x880B, 4, number) + b"talk")[:size])


def heard(outcome: Outcome) -> tuple[str, str, int]:
    """Return who calls whom, and the number, of what became of a packet; all else must be as it was."""
    before, after = Packet(outcome.sent), Packet(outcome.packet)
    assert before.payload[:6] + before.payload[8:] == after.payload[:6] + after.payload[8:]
    assert packets.checksums_are_right(outcome.packet)
    ends = (f"[{a}]" if a.version == 6 else str(a) for a in map(ip_address, (after.source, after.destination)))
    return (*ends, int.from_bytes(after.payload[6:8], "big"))  # type: ignore[return-value]


@pytest.mark.parametrize("first", ["client", "server"])
def test_announced_call_goes_both_ways_whoever_speaks_first(shelf: Shelf, net: Net, first: str) -> None:
    phone = Phone(shelf, net)
    phone.says("CALL 500 0")
    for speaker in ("client", "server") if first == "client" else ("server", "client"):
        if speaker == "client":
            assert heard(phone.from_client(0)) == (net.client, net.one, 0)
        else:
            assert heard(phone.from_server(500)) == (net.vip, net.client, 500)
    (_, call) = phone.s.connections
    assert (str(call.client), str(call.virtual), str(call.real)) == (
        f"{net.client}:500", f"{net.vip}:0", f"{net.one}:0",
    )  # fmt: skip
    assert call.tracking.tracker.name == "call"


def test_number_that_was_not_announced_is_nobodys(shelf: Shelf, net: Net) -> None:
    phone = Phone(shelf, net)
    phone.says("CALL 500 0")
    phone.from_client(1).expect_dropped(Reason.NO_SERVICE)
    phone.from_server(501).expect_dropped(Reason.REPLY_WITHOUT_CONNECTION)
    assert len(phone.s.connections) == 1


def test_packets_without_the_signature_are_no_concern_of_ours(shelf: Shelf, net: Net) -> None:
    phone = Phone(shelf, net)
    phone.says("CALL 500 0")
    phone.from_client(0, version=0).expect_untouched()
    phone.from_server(500, version=0).expect_untouched()
    phone.from_client(0, size=7).expect_untouched()


def test_packets_between_others_pass(shelf: Shelf) -> None:
    phone = Phone(shelf, IPV4)
    phone.from_client(0, to=IPV4.router).expect_untouched()
    phone.from_server(500, source=IPV4.router).expect_untouched()


def test_real_servers_of_services_without_helpers_have_calls_of_their_own(shelf: Shelf, net: Net) -> None:
    phone = Phone(shelf, net)
    web = net.service("web", 80, f"{net.two}:80 1")
    control = net.service("phone", 7000, f"{net.one}:7000 1", protocol="udp", more='helpers = ["operator"]')
    phone.s.reload(control + web)
    phone.from_server(7, source=net.two).expect_untouched()


def test_held_number_opens_nothing_until_the_client_has_one(shelf: Shelf, net: Net) -> None:
    phone = Phone(shelf, net)
    phone.says("HOLD 0 7")
    phone.from_client(7).expect_dropped(Reason.NO_SERVICE)
    phone.says("CALL 500 7")
    assert heard(phone.from_client(7)) == (net.client, net.one, 7)


def test_ended_call_is_closed_and_its_number_free(shelf: Shelf, net: Net) -> None:
    phone = Phone(shelf, net)
    phone.says("CALL 500 0")
    phone.from_client(0)
    phone.says("END 0 0")
    assert len(phone.s.connections) == 1
    phone.from_client(0).expect_dropped(Reason.NO_SERVICE)


def test_call_ends_with_the_connection_that_announced_it(shelf: Shelf, net: Net) -> None:
    phone = Phone(shelf, net, "[service.timeouts]\nudp = 30\n")
    phone.says("CALL 500 0")
    for _ in range(4):
        phone.from_client(0)
        phone.s.time(10)
    assert phone.s.connections == []


def test_timeout_of_the_announced_protocol_is_the_services_own(shelf: Shelf, net: Net) -> None:
    phone = Phone(shelf, net, "[service.timeouts]\ncall = 5\n")
    phone.says("CALL 500 0")
    phone.from_client(0)
    phone.s.time(6)
    assert [c.tracking.tracker.name for c in phone.s.connections] == ["udp"]


def test_service_of_such_a_protocol_is_an_error(shelf: Shelf) -> None:
    shelf.install("phone", PLUGIN)
    with pytest.raises(ConfigError, match='service "x": connections of protocol call have no ports'):
        Scenario(IPV4.service("x", 1, f"{IPV4.one}:1 1", protocol="call"), shelf.registry())


@pytest.mark.parametrize("inside", [False, True])
def test_icmp_error_about_a_call_is_translated(shelf: Shelf, inside: bool) -> None:
    phone = Phone(shelf, IPV4)
    phone.says("CALL 500 0")
    there, back = phone.from_client(0), phone.from_server(500)
    about, to = (there, IPV4.client) if inside else (back, IPV4.vip)
    error = packets.icmp_error(IPV4.router, to, (3, 4), about.packet)
    out = phone.s.process(error)
    quoted = Packet(out.packet).payload[8:]
    assert quoted[12:20] == about.sent[12:20]
    assert quoted[26:28] == about.sent[26:28]
    assert packets.checksums_are_right(out.packet)
