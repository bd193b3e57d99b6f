"""GRE with PPTP's call ids: packets name one end, and the numbers differ by direction."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import ClassVar

import pytest

from nat_lb.api import Connection, Direction, Endpoint, FlowKey, Tracker
from nat_lb.testing.installed import registry
from nat_lb.testing.packets import endpoint, udp, with_hops
from nat_lb_ebpf import Opened
from nat_lb_ebpf.plans import compile_tracker

from .duel import SMALL, Duel
from .nets import IPV4, NETS, Net

GRE = 47
CLIENT_CALL, PUBLIC_CALL, SERVER_CALL = 700, 801, 0


class Calls(Tracker):
    """PPTP's GRE, as a tracker of a plugin's."""

    name = "calls"
    protocol = GRE
    header = 8
    checksum_at = None
    ports_at = (None, 6)
    signature = ((0, 0xEF, 0x20), (1, 0x7F, 0x01), (2, 0xFF, 0x88), (3, 0xFF, 0x0B))
    states = ("NEW", "CLIENT", "SERVER", "STREAM")
    events = ("packet",)
    transitions: ClassVar[Mapping[Direction, Mapping[str, tuple[str, ...]]]] = {
        Direction.ORIGINAL: {"packet": ("CLIENT", "CLIENT", "STREAM", "STREAM")},
        Direction.REPLY: {"packet": ("SERVER", "STREAM", "SERVER", "STREAM")},
    }
    timeouts: ClassVar[Mapping[str, float]] = {"NEW": 600, "CLIENT": 600, "SERVER": 600, "STREAM": 18000}
    active = frozenset(states)
    opening = frozenset(events)


def gre(
    source: str, destination: str, call: int, payload: bytes = b"ppp", *, head: bytes = b"\x30\x01\x88\x0b"
) -> bytes:
    """Return a packet of a call, named by its receiver's number."""
    carrier = bytearray(
        udp(f"{source}:0", f"{destination}:0", head + struct.pack("!HHL", len(payload), call, 1) + payload)
    )
    at = 20 if carrier[0] >> 4 == 4 else 40
    carrier[9 if at == 20 else 6] = GRE
    shorter = bytes(carrier[:at] + carrier[at + 8 :])  # the UDP header goes
    size = (2, len(shorter)) if at == 20 else (4, len(shorter) - at)
    return with_hops(shorter[: size[0]] + struct.pack("!H", size[1]) + shorter[size[0] + 2 :], 64)


def announced(duel: Duel, net: Net) -> Connection:
    """Give both the connection of a call that a control connection announced."""
    registry().trackers["calls"] = Calls
    service = duel.serve(net.service(f"{net.one}:1723", port=1723))
    tracking, server = service.tracking_of("calls"), service.real_servers[0]
    assert tracking is not None
    client, virtual, real = (
        Endpoint(endpoint(f"{host}:0").address, call)
        for host, call in ((net.client, CLIENT_CALL), (net.vip, PUBLIC_CALL), (net.one, SERVER_CALL))
    )
    binding = type(server.binding)(Calls, virtual, real, server.traffic)
    key = FlowKey(GRE, client, virtual).to_bytes()
    connection = Connection(key, service, server, binding, 0, duel.scenario.now, tracking=tracking)
    duel.scenario.director.lifecycle.connections.add(connection)
    assert duel.path.connections.open(connection) is Opened.YES
    return connection


@pytest.mark.live
@pytest.mark.parametrize("net", NETS, ids=("ipv4", "ipv6"))
def test_call_is_carried_both_ways_by_its_numbers(net: Net, duel: Duel) -> None:
    connection = announced(duel, net)
    host, vip, one = (end.strip("[]") if net is IPV4 else end for end in (net.client, net.vip, net.one))
    out = duel.both(gre(host, vip, PUBLIC_CALL))
    assert struct.unpack_from("!H", out, len(out) - 9)[0] == SERVER_CALL
    back = duel.both(gre(one, host, CLIENT_CALL))
    assert struct.unpack_from("!H", back, len(back) - 9)[0] == CLIENT_CALL
    assert duel.states() == {str(connection.client): "STREAM"}
    duel.loads()
    assert duel.path.connections.find(connection.reply_key) == duel.path.connections.find(connection.key)
    assert duel.path.connections.close(connection.reply_key)
    assert duel.fast(gre(host, vip, PUBLIC_CALL)) is None


@pytest.mark.live
@pytest.mark.parametrize(
    "head", [b"\x30\x00\x88\x0b", b"\x30\x01\x08\x00", b"\xb0\x01\x88\x0b"], ids=("version", "ethertype", "checksum")
)
def test_other_kinds_of_gre_go_up_the_stack(head: bytes, duel: Duel) -> None:
    announced(duel, IPV4)
    assert duel.fast(gre(IPV4.client, IPV4.vip, PUBLIC_CALL, head=head)) is None
    assert duel.fast(gre(IPV4.client, IPV4.vip, PUBLIC_CALL + 1)) is None


@pytest.mark.live
def test_reload_changes_how_long_calls_wait(tc: Duel) -> None:
    announced(tc, IPV4)
    (entry,) = tc.path.connections
    tc.scenario.reload("[timeouts]\nnew = 7\n" + IPV4.service(f"{IPV4.one}:1723", port=1723))
    assert tc.path.connections.sweep(entry.last_seen + 8) == 0
    assert tc.path.services.update_servers(tc.services[0])
    assert [tc.path.connections.sweep(entry.last_seen + passed) for passed in (6, 8)] == [0, 1]


@pytest.mark.live
def test_call_whose_flow_is_taken_is_not_opened_and_costs_no_room(tc: Duel) -> None:
    connection = announced(tc, IPV4)
    for _ in range(2 * SMALL.announced):
        assert tc.path.connections.open(connection) is Opened.TAKEN
    assert [entry.key for entry in tc.path.connections] == [connection.key]


def test_kernel_knows_the_tracker_of_calls_by_its_shape() -> None:
    assert compile_tracker(Calls) is not None
    assert compile_tracker(type("Odd", (Calls,), {"signature": ()})) is None
