"""Offload: what is handed over, what Python stands in for, and what is told of connections that are elsewhere."""

from __future__ import annotations

import pytest

from nat_lb.fastpath import CarriedEvent, Happening
from nat_lb.offload import CHECK
from nat_lb.packet import Packet
from nat_lb.scheduler import Cycle
from nat_lb.service import CarriedLoad
from nat_lb.testing import packets
from nat_lb.testing.packets import ACK, FIN, RST, SYN
from nat_lb.testing.scenario import Peer, Scenario
from nat_lb.verdict import Reason
from tests.little_plugins import RECORDER, Shelf
from tests.mirror import Mirror
from tests.scenario.nets import IPV4, IPV6, Net
from tests.scenario.talk import PLUGIN

CODED = """
class Last(Scheduler):
    name = "last"

    def schedule(self, flow):
        return self.service.real_servers[-1]

@hookimpl
def nat_lb_register_schedulers():
    return [Last]
"""


class World:
    """A scenario with a mirror for a fast path."""

    def __init__(self, toml: str, shelf: Shelf) -> None:
        self.s = Scenario(toml, shelf.registry())
        self.mirror = Mirror()
        self.adopted = self.s.director.lifecycle.start_offload(self.mirror, self.s.now)
        (self.service,) = self.s.director.lifecycle.services

    def opens(self, client: str = f"{IPV4.client}:3000") -> Peer:
        peer = self.s.client(client)
        peer.sends(SYN).expect_forwarded(dst=str(self.service.real_servers[-1]))
        return peer


@pytest.fixture
def world(shelf: Shelf) -> World:
    return World(IPV4.web, shelf)


def test_connection_is_handed_over_after_its_first_packet(world: World) -> None:
    world.opens()
    assert (len(world.s.connections), len(world.mirror)) == (0, 1)
    [carried] = world.mirror
    assert world.service.tracker.states[carried.state] == "SYN_RECV"
    (server,) = world.service.real_servers
    assert (server.opened, server.connections) == (0, 0)  # it is counted there
    assert str(carried.real) == str(server)
    assert world.s.director.lifecycle.offload is not None
    assert world.s.director.lifecycle.offload.find(carried.key) is not None


def test_connection_that_is_not_taken_stays(world: World) -> None:
    world.mirror.room = 0
    world.opens()
    assert (len(world.s.connections), len(world.mirror)) == (1, 0)
    assert world.service.real_servers[0].opened == 1


def test_packets_that_come_up_are_translated_and_noted(world: World) -> None:
    client = world.opens()
    server = world.s.server(f"{IPV4.one}:8000", client.own)
    reply = server.sends(SYN | ACK).expect_forwarded(src=client.other)
    odd = packets.with_extra_header(packets.tcp(client.own, client.other, ACK))
    client.sends_packet(odd).expect_forwarded(dst=f"{IPV4.one}:8000")
    assert world.mirror.notes == [(SYN | ACK, len(reply.sent)), (ACK, len(Packet(odd).plain))]
    assert world.s.connections == []


def test_packets_that_come_up_are_not_forwarded_without_hops_or_whole(world: World) -> None:
    client = world.opens()
    dying = packets.with_hops(packets.tcp(client.own, client.other, ACK), 1)
    client.sends_packet(dying).expect_icmp(11, 0, Reason.TTL_EXCEEDED)
    short = packets.tcp(client.own, client.other, ACK)[:36]
    client.sends_packet(short[:2] + len(short).to_bytes(2, "big") + short[4:]).expect_dropped(Reason.TRUNCATED)
    assert world.mirror.notes == []


def test_packet_that_ends_before_its_ports_is_nobodys(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    client = world.opens()
    whole: list[bytes] = []
    monkeypatch.setattr(world.mirror, "find", whole.append)
    short = packets.tcp(client.own, client.other, ACK)[:22]
    client.sends_packet(short[:2] + len(short).to_bytes(2, "big") + short[4:]).expect_dropped(Reason.TRUNCATED)
    assert whole == []


def test_icmp_error_about_a_carried_connection_is_translated(world: World) -> None:
    client = world.opens()
    reply = world.s.server(f"{IPV4.one}:8000", client.own).sends(SYN | ACK)
    error = world.s.process(packets.icmp_error(IPV4.router, IPV4.vip, (3, 4), reply.packet))
    assert Packet(error.packet).payload[8:28][12:20] == reply.sent[12:20]


def test_opening_segment_on_a_connection_that_winds_down_opens_a_new_one(world: World) -> None:
    client = world.opens()
    [carried] = world.mirror
    late = carried._replace(state=world.service.tracker.states.index("TIME_WAIT"))
    world.mirror.flows = dict.fromkeys(world.mirror.flows, late)
    client.sends(SYN).expect_forwarded(dst=f"{IPV4.one}:8000")
    [again] = world.mirror
    assert world.service.tracker.states[again.state] == "SYN_RECV"


def test_plan_is_published_unless_somebody_else_is_to_be_asked(shelf: Shelf) -> None:
    assert isinstance(World(IPV4.web, shelf).mirror.plans["web"], Cycle)
    sticky = IPV4.service("web", 80, f"{IPV4.one}:8000 1", more="persistence = 60")
    assert World(sticky, shelf).mirror.plans == {"web": None}
    sloppy = "[director]\nsloppy_tcp = true\n" + IPV4.web
    assert World(sloppy, shelf).mirror.plans == {"web": None}
    shelf.install("code", CODED)
    coded = IPV4.service("web", 80, f"{IPV4.one}:8000 1", more='scheduler = "last"')
    assert World(coded, shelf).mirror.plans == {"web": None}
    shelf.install("over", "@hookimpl\ndef nat_lb_schedule(service, flow):\n    return None\n")
    assert World(IPV4.web, shelf).mirror.plans == {"web": None}


def test_service_with_a_helper_keeps_its_connections(shelf: Shelf) -> None:
    shelf.install("talk", PLUGIN)
    world = World(IPV4.service("talk", 7000, f"{IPV4.one}:7000 1", more='helpers = ["talk"]'), shelf)
    world.opens()
    assert (world.mirror.plans, len(world.mirror), len(world.s.connections)) == ({"talk": None}, 0, 1)


def test_only_what_somebody_wants_to_hear_is_wanted(shelf: Shelf) -> None:
    assert World(IPV4.web, shelf).mirror.wanted == frozenset()
    sticky = IPV4.service("web", 80, f"{IPV4.one}:8000 1", more="persistence = 60")
    assert World(sticky, shelf).mirror.wanted == {Happening.CLOSED}
    shelf.install("recorder", RECORDER)
    assert World(IPV4.web, shelf).mirror.wanted == set(Happening)


def test_what_happens_there_is_announced_here(shelf: Shelf) -> None:
    module = shelf.install("recorder", RECORDER)
    world = World(IPV4.web, shelf)
    client = world.opens()
    [carried] = world.mirror
    states = world.service.tracker.states
    later = carried._replace(state=states.index("ESTABLISHED"))
    world.mirror.happened = [
        CarriedEvent(Happening.OPENED, carried, 0, ""),
        CarriedEvent(Happening.STATE_CHANGED, later, states.index("SYN_RECV"), ""),
        CarriedEvent(Happening.CLOSED, later, later.state, "evicted"),
    ]
    world.s.time(1)
    told = f"{client.own} > {client.other} > {IPV4.one}:8000"
    assert shelf.attribute(module, "seen") == [
        ("opened", "NONE", told), ("NONE", "SYN_RECV"),
        ("opened", "SYN_RECV", told), ("SYN_RECV", "ESTABLISHED"), ("closed", "evicted"),
    ]  # fmt: skip


class Talking(World):
    """A control connection, and what the server announces on it."""

    def __init__(self, shelf: Shelf) -> None:
        shelf.install("talk", PLUGIN)
        super().__init__(IPV4.service("talk", 7000, f"{IPV4.one}:7000 1", more='helpers = ["talk"]'), shelf)
        client = self.opens()
        server = self.s.server(f"{IPV4.one}:7000", client.own)
        client.sends(SYN, seq=1000)
        server.sends(SYN | ACK, seq=5000, ack=1001)
        server.sends(ACK, f"AT {IPV4.one}:30000\n".encode(), seq=5001, ack=1001)
        self.s.client(f"{IPV4.client}:4000", f"{IPV4.vip}:30000").sends(SYN).expect_forwarded(dst=f"{IPV4.one}:30000")
        self.parent = self.s.connection(client.own)


def test_announced_connection_is_handed_over_and_still_belongs_to_its_parent(shelf: Shelf) -> None:
    world = Talking(shelf)
    assert (len(world.mirror), world.parent.children) == (1, 1)
    [carried] = world.mirror
    assert world.s.director.lifecycle.offload is not None
    child = world.s.director.lifecycle.offload.find(carried.key)
    assert child is not None
    assert child.parent is world.parent
    world.s.time(CHECK + 1)
    assert world.parent.children == 1
    world.mirror.close(carried.key)
    world.s.time(CHECK + 1)
    assert world.parent.children == 0
    assert not world.s.director.lifecycle.offload._kept


def test_announced_connection_whose_end_is_told_ends_once(shelf: Shelf) -> None:
    module = shelf.install("recorder", RECORDER)
    world = Talking(shelf)
    [carried] = world.mirror
    world.mirror.close(carried.key)
    world.mirror.happened = [CarriedEvent(Happening.CLOSED, carried, carried.state, "expired")]
    world.s.time(2 * CHECK)
    closed = [event for event in shelf.attribute(module, "seen") if event[0] == "closed"]
    assert (world.parent.children, closed) == (0, [("closed", "expired")])


def test_counters_are_those_of_both_paths_together(world: World) -> None:
    (server,) = world.service.real_servers
    world.mirror.room = 0
    world.opens()
    world.mirror.loads[str(server)] = CarriedLoad(5, 2, 9, (10, 20), (1000, 2000))
    offload = world.s.director.lifecycle.offload
    assert offload is not None
    packets_before = server.traffic[0].packets
    for _ in range(2):
        offload.refresh(world.service)
        assert (server.active, server.inactive, server.opened) == (6, 2, 10)
        assert (server.traffic[0].packets, server.traffic[1].octets) == (packets_before + 10, 2000)
    world.mirror.loads[str(server)] = CarriedLoad(0, 0, 9, (10, 20), (1000, 2000))
    offload.refresh(world.service)
    assert (server.active, server.inactive, server.opened) == (1, 0, 10)


def test_carried_load_counts_for_the_thresholds(shelf: Shelf) -> None:
    world = World(IPV4.service("web", 80, f"{IPV4.one}:8000 1 upper_threshold = 5"), shelf)
    (server,) = world.service.real_servers
    world.mirror.loads[str(server)] = CarriedLoad(5, 0, 5, (0, 0), (0, 0))
    world.s.client(f"{IPV4.client}:3000").sends(SYN).expect_icmp(3, 3, Reason.NO_REAL_SERVER)
    assert server.overloaded


def test_removed_real_servers_carried_connections_end(shelf: Shelf) -> None:
    module = shelf.install("recorder", RECORDER)
    world = World(IPV4.web, shelf)
    world.opens()
    world.s.reload(IPV4.service("web", 80, f"{IPV4.two}:8000 1"))
    assert len(world.mirror) == 0
    assert shelf.attribute(module, "seen")[-1] == ("closed", "removed")
    assert world.mirror.settled == ["web"]


@pytest.mark.parametrize("net", [IPV4, IPV6], ids=["ipv4", "ipv6"])
def test_removed_services_carried_connections_end(shelf: Shelf, net: Net) -> None:
    world = World(net.web, shelf)
    world.s.client(f"{net.client}:3000").sends(SYN)
    assert len(world.mirror) == 1
    world.s.reload(net.service("other", 81, f"{net.one}:8000 1"))
    assert (len(world.mirror), list(world.mirror.plans)) == (0, ["other"])


def test_connections_of_an_earlier_process_are_adopted_if_somebody_has_them(shelf: Shelf) -> None:
    first = World(IPV4.web, shelf)
    first.opens()
    [carried] = first.mirror
    stranger = carried._replace(key=b"\6" + carried.key[1:], server=carried.server._replace(port=1))
    second = Scenario(IPV4.web, shelf.registry())
    mirror = Mirror()
    mirror.flows = {carried.key: carried, b"reply": carried}
    assert second.director.lifecycle.start_offload(mirror, second.now) == 1
    mirror.loads[str(carried.server)] = CarriedLoad(1, 0, 1, (0, 0), (0, 0))
    looked = Scenario(IPV4.web, shelf.registry())
    mirror.flows = {stranger.key: stranger, b"reply": stranger}  # not looked at: the counters tell of none
    assert (looked.director.lifecycle.start_offload(mirror, looked.now), len(mirror)) == (1, 1)
    mirror.loads.clear()
    mirror.flows = {stranger.key: stranger, b"reply": stranger}
    third = Scenario(IPV4.web, shelf.registry())
    assert (third.director.lifecycle.start_offload(mirror, third.now), len(mirror)) == (0, 0)


def test_persistence_follows_carried_connections(shelf: Shelf) -> None:
    two = IPV4.service("web", 80, f"{IPV4.one}:8000 1", f"{IPV4.two}:8000 1", more="persistence = 60")
    world = World(two, shelf)
    client = world.s.client(f"{IPV4.client}:3000")
    client.sends(SYN).expect_forwarded(dst=f"{IPV4.one}:8000")
    [carried] = world.mirror
    persistence = world.s.director.lifecycle.persistence
    world.s.time(125)  # its connection is alive, so the template is
    assert len(persistence) == 1
    world.mirror.close(carried.key)
    world.mirror.missed = 1  # nobody told
    world.s.time(125)
    assert len(persistence) == 0


@pytest.mark.parametrize("flags", [RST, FIN | ACK, ACK])
def test_packet_of_nobody_is_refused_as_ever(world: World, flags: int) -> None:
    world.s.client(f"{IPV4.client}:3000").sends(flags)
    assert (len(world.mirror), len(world.s.connections)) == (0, 0)
