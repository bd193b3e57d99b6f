"""A fast path that fails: what each of its faults costs, and what goes on."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest

from nat_lb.connection import Connection
from nat_lb.contained import Contained
from nat_lb.errors import SystemFault
from nat_lb.fastpath import Carried, CarriedEvent, Happening
from nat_lb.io.answers import Answers
from nat_lb.scheduler import Plan
from nat_lb.service import CarriedLoad, RealServer, VirtualService
from nat_lb.testing.packets import ACK, SYN
from nat_lb.testing.scenario import Scenario
from nat_lb.verdict import Reason
from tests.mirror import Mirror
from tests.scenario.nets import IPV4


class Broken(Mirror):
    """A mirror that raises where it is told to."""

    def __init__(self, *broken: str) -> None:
        super().__init__()
        self.broken = set(broken)

    def _try(self, what: str) -> None:
        if what in self.broken:
            raise SystemFault(f"the kernel refuses {what}")

    def publish(self, services: Iterable[tuple[VirtualService, Plan | None]], wanted: frozenset[Happening]) -> None:
        self._try("publish")
        super().publish(services, wanted)

    def settle(self, service: VirtualService) -> None:
        self._try("settle")

    def open(self, connection: Connection) -> bool:
        self._try("open")
        return super().open(connection)

    def find(self, key: bytes) -> Carried | None:
        self._try("find")
        return super().find(key)

    def note(self, key: bytes, octet: int, length: int) -> None:
        self._try("note")

    def close(self, key: bytes) -> None:
        self._try("close")
        super().close(key)

    def __iter__(self) -> Iterator[Carried]:
        for carried in super().__iter__():
            yield carried
            self._try("list")

    def __len__(self) -> int:
        self._try("count")
        return super().__len__()

    def load(self, service: VirtualService, server: RealServer) -> CarriedLoad:
        self._try("load")
        return super().load(service, server)

    def events(self) -> Iterable[CarriedEvent]:
        yield from super().events()
        self._try("events")

    @property
    def lost(self) -> int:
        self._try("lost")
        return self.missed

    def status(self) -> Mapping[str, Any]:
        self._try("status")
        return {"devices": [{"device": "eth0"}], "counters": {"hits": 1}}


class World:
    """A director whose fast path works until something is put into `broken`."""

    def __init__(self, toml: str = IPV4.web, mirror: Broken | None = None) -> None:
        self.s = Scenario(toml)
        self.mirror = mirror or Broken()
        lifecycle = self.s.director.lifecycle
        lifecycle.start_offload(Contained(self.mirror, lifecycle.faults, lambda: self.s.now), self.s.now)

    def faults(self) -> list[str]:
        return [where for _, where in self.s.director.lifecycle.faults.counts]


@pytest.fixture
def world() -> World:
    return World()


def test_fault_before_the_start_is_the_start_s() -> None:
    for what in ("publish", "list"):
        mirror = Broken(what)
        first = World()
        first.s.client(f"{IPV4.client}:3000").sends(SYN)
        mirror.flows = first.mirror.flows
        with pytest.raises(SystemFault, match=f"the kernel refuses {what}"):
            World(mirror=mirror)


def test_connection_that_cannot_be_handed_over_stays_with_the_slow_path(world: World) -> None:
    world.mirror.broken = {"open"}
    client = world.s.client(f"{IPV4.client}:3000")
    client.sends(SYN).expect_forwarded(dst=f"{IPV4.one}:8000")
    client.sends(ACK).expect_forwarded(dst=f"{IPV4.one}:8000")
    assert (len(world.s.connections), len(world.mirror), world.faults()) == (1, 0, ["fast path's open"])


def test_packet_that_cannot_be_noted_goes_on(world: World) -> None:
    client = world.s.client(f"{IPV4.client}:3000")
    client.sends(SYN)
    world.mirror.broken = {"note"}
    client.sends(ACK).expect_forwarded(dst=f"{IPV4.one}:8000")
    assert world.faults() == ["fast path's note"]


def test_packet_that_may_be_carried_is_dropped_and_not_refused(world: World) -> None:
    client = world.s.client(f"{IPV4.client}:3000")
    client.sends(SYN)
    world.mirror.broken = {"find"}
    client.sends(ACK).expect_dropped(Reason.PLUGIN_FAULT)
    assert world.faults() == ["pipeline"]
    world.mirror.broken.clear()
    client.sends(ACK).expect_forwarded(dst=f"{IPV4.one}:8000")


def test_services_that_were_refused_are_put_in_force_later(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.s.client(f"{IPV4.client}:3000").sends(SYN)
    world.mirror.broken = {"publish", "settle"}
    world.s.reload(IPV4.service("other", 81, f"{IPV4.two}:80 1"))
    world.s.time(3)
    assert list(world.mirror.plans) == ["web"]
    assert len(world.mirror) == 0, "the reload went on: the service's connections are closed"
    assert "fast path's publish" in world.faults()
    assert "the services; those in force before go on until it works" in caplog.text
    world.mirror.broken.clear()
    with caplog.at_level(logging.INFO):
        world.s.time(1)
    assert list(world.mirror.plans) == ["other"]
    assert "fast path: the services are in force now" in caplog.messages
    world.mirror.plans.clear()
    world.s.time(1)
    assert world.mirror.plans == {}, "once is enough"


def test_events_before_a_fault_are_told_and_what_time_asks_for_is_done() -> None:
    world = World("[timeouts]\nsyn = 5\n" + IPV4.service("web", 80, f"{IPV4.one}:8000 1", more="persistence = 60"))
    world.s.client(f"{IPV4.client}:3000").sends(SYN)
    [carried] = world.mirror
    world.mirror.room = 0
    world.s.client(f"{IPV4.client}:3001").sends(SYN)
    world.mirror.close(carried.key)
    world.mirror.happened = [CarriedEvent(Happening.CLOSED, carried, carried.state, "expired")]
    world.mirror.broken = {"events", "lost", "count"}
    world.s.time(6)
    assert world.s.connections == [], "that of the slow path expired"
    world.s.time(121)
    assert len(world.s.director.lifecycle.persistence) == 0, "the closing of both was heard of"
    assert set(world.faults()) == {"fast path's events", "fast path's lost"}


def test_connection_that_cannot_be_closed_keeps_no_new_one_from_opening(world: World) -> None:
    client = world.s.client(f"{IPV4.client}:3000")
    client.sends(SYN)
    [carried] = world.mirror
    late = carried._replace(state=6)
    world.mirror.flows = dict.fromkeys(world.mirror.flows, late)
    world.mirror.broken = {"close"}
    client.sends(SYN).expect_forwarded(dst=f"{IPV4.one}:8000")
    assert world.faults() == ["fast path's close"]


def test_counters_stand_still_while_they_cannot_be_read(world: World) -> None:
    (service,) = world.s.director.lifecycle.services
    (server,) = service.real_servers
    answers = Answers(world.s.director, lambda: world.s.now)

    def told() -> tuple[int, int, Any]:
        answer = answers.commands["status"]({})
        (web,) = next(answer)
        with pytest.raises(StopIteration) as last:
            next(answer)
        return web["real_servers"][0]["active"], last.value.value["carried"], last.value.value["fastpath"]["counters"]

    world.s.client(f"{IPV4.client}:3000").sends(SYN)
    world.mirror.loads[str(server)] = CarriedLoad(1, 0, 1, (1, 0), (40, 0))
    assert told() == (1, 1, {"hits": 1})
    world.mirror.broken = {"load", "count", "status"}
    assert told() == (1, 1, {})
    world.s.client(f"{IPV4.client}:3001").sends(SYN).expect_forwarded(dst=f"{IPV4.one}:8000")


def test_list_ends_where_it_cannot_be_read_on(world: World) -> None:
    for port in (3000, 3001):
        world.s.client(f"{IPV4.client}:{port}").sends(SYN)
    world.mirror.broken = {"list"}
    offload = world.s.director.lifecycle.offload
    assert offload is not None
    assert len(list(offload)) == 1
    assert world.faults() == ["fast path's list"]


@pytest.mark.parametrize("end", ["leave", "remove"])
def test_end_is_the_fast_path_s_own(world: World, end: str) -> None:
    offload = world.s.director.lifecycle.offload
    assert offload is not None
    assert (offload.fastpath.name, world.mirror.running) == ("mirror", True)
    getattr(offload.fastpath, end)()
    assert not world.mirror.running
