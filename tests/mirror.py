"""A fast path without a kernel: it remembers what it was given, and does nothing until a test says so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nat_lb.connection import Connection
from nat_lb.fastpath import Carried, CarriedEvent, FastPath, Happening
from nat_lb.flow import reverse
from nat_lb.scheduler import Plan
from nat_lb.service import CarriedLoad, RealServer, VirtualService

NOTHING = CarriedLoad(0, 0, 0, (0, 0), (0, 0))


class Mirror(FastPath):
    """Carries whatever it is given, up to `room` connections."""

    name = "mirror"

    def __init__(self) -> None:
        self.room = 1000
        self.running = False
        self.plans: dict[str, Plan | None] = {}
        self.wanted: frozenset[Happening] = frozenset()
        self.flows: dict[bytes, Carried] = {}  # by both keys
        self.notes: list[tuple[int, int]] = []
        self.loads: dict[str, CarriedLoad] = {}  # by real server
        self.happened: list[CarriedEvent] = []
        self.settled: list[str] = []
        self.missed = 0

    def start(self) -> None:
        self.running = True

    def publish(self, services: Iterable[tuple[VirtualService, Plan | None]], wanted: frozenset[Happening]) -> None:
        self.plans = {service.name: plan for service, plan in services}
        self.wanted = wanted

    def settle(self, service: VirtualService) -> None:
        self.settled.append(service.name)

    def open(self, connection: Connection) -> bool:
        if len(self) >= self.room:
            return False
        carried = seen(connection)
        self.flows[connection.key] = self.flows[connection.reply_key] = carried
        return True

    def find(self, key: bytes) -> Carried | None:
        return self.flows.get(key)

    def note(self, key: bytes, octet: int, length: int) -> None:
        self.notes.append((octet, length))

    def close(self, key: bytes) -> None:
        carried = self.flows.get(key)
        self.flows = {key: other for key, other in self.flows.items() if other is not carried}

    def __iter__(self) -> Iterator[Carried]:
        return (carried for key, carried in list(self.flows.items()) if key == carried.key)

    def __len__(self) -> int:
        return len(self.flows) // 2

    def load(self, service: VirtualService, server: RealServer) -> CarriedLoad:
        return self.loads.get(str(server), NOTHING)

    def events(self) -> Iterable[CarriedEvent]:
        happened, self.happened = self.happened, []
        return happened

    @property
    def lost(self) -> int:
        return self.missed

    def status(self) -> Mapping[str, Any]:
        return {"devices": [], "counters": {}}

    def leave(self) -> None:
        self.running = False

    def remove(self) -> None:
        self.running = False
        self.flows.clear()


def seen(connection: Connection) -> Carried:
    """Return what is carried of a connection."""
    assert reverse(reverse(connection.key)) == connection.key
    return Carried(
        connection.key, connection.service.key, connection.real_server.endpoint, connection.virtual, connection.real,
        connection.state, connection.last_seen,
    )  # fmt: skip
