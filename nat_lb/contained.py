"""A fast path whose faults are contained, whatever it raises.

The law: until it has started a fault is the start's, and afterwards it costs what was asked and no more. A connection
that cannot be handed over stays with the slow path, a packet that cannot be noted goes on, counters stand still. Only
`find` passes its fault on: that a packet belongs to nobody must not be a guess, for it would be refused.

Services that could not be put in force are tried again with every `events`, which is about once a second; until then
those before them are.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from nat_lb.connection import Connection
from nat_lb.fastpath import Carried, CarriedEvent, FastPath, Happening
from nat_lb.faults import FaultLog
from nat_lb.scheduler import Plan
from nat_lb.service import CarriedLoad, RealServer, VirtualService

log = logging.getLogger("nat_lb")

T = TypeVar("T")
_NOTHING = CarriedLoad(0, 0, 0, (0, 0), (0, 0))


class Contained(FastPath):
    """Does what `path` does, and keeps its faults from whoever asks; `clock` is in seconds."""

    def __init__(self, path: FastPath, faults: FaultLog, clock: Callable[[], float]) -> None:
        self.name = path.name
        self._path = path
        self._faults = faults
        self._clock = clock
        self._running = False
        self._owed: tuple[list[tuple[VirtualService, Plan | None]], frozenset[Happening]] | None = None
        self._length = 0
        self._lost = 0

    def start(self) -> None:
        self._path.start()
        self._running = True

    def publish(self, services: Iterable[tuple[VirtualService, Plan | None]], wanted: frozenset[Happening]) -> None:
        published = list(services)
        self._owed = published, wanted
        subject = "the services; those in force before go on until it works"
        if self._ask("publish", subject, False, lambda: self._publish(published, wanted)):
            self._owed = None

    def _publish(self, services: list[tuple[VirtualService, Plan | None]], wanted: frozenset[Happening]) -> bool:
        self._path.publish(services, wanted)
        return True

    def settle(self, service: VirtualService) -> None:
        self._ask("settle", str(service), None, lambda: self._path.settle(service))

    def open(self, connection: Connection) -> bool:
        return self._ask("open", str(connection), False, lambda: self._path.open(connection))

    def find(self, key: bytes) -> Carried | None:
        return self._path.find(key)

    def note(self, key: bytes, octet: int, length: int) -> None:
        self._ask("note", "one packet", None, lambda: self._path.note(key, octet, length))

    def close(self, key: bytes) -> None:
        self._ask("close", "one connection", None, lambda: self._path.close(key))

    def __iter__(self) -> Iterator[Carried]:
        try:
            yield from self._path
        except Exception as error:
            self._contain("list", "all connections", error)

    def __len__(self) -> int:
        self._length = self._ask("count", "all connections", self._length, lambda: len(self._path))
        return self._length

    def load(self, service: VirtualService, server: RealServer) -> CarriedLoad:
        last = server.carried or _NOTHING
        return self._ask("load", f"{service} {server}", last, lambda: self._path.load(service, server))

    def events(self) -> Iterable[CarriedEvent]:
        if self._owed is not None:
            self._publish_again(*self._owed)
        happened: list[CarriedEvent] = []
        try:
            happened += self._path.events()
        except Exception as error:
            self._contain("events", "all connections", error)
        return happened

    def _publish_again(self, services: list[tuple[VirtualService, Plan | None]], wanted: frozenset[Happening]) -> None:
        self.publish(services, wanted)
        if self._owed is None:
            log.info("fast path: the services are in force now")

    @property
    def lost(self) -> int:
        self._lost = self._ask("lost", "events", self._lost, lambda: self._path.lost)
        return self._lost

    def status(self) -> Mapping[str, Any]:
        nothing: dict[str, Any] = {"devices": [], "counters": {}}
        return self._ask("status", "devices and counters", nothing, self._path.status)

    def leave(self) -> None:
        self._path.leave()

    def remove(self) -> None:
        self._path.remove()

    def _ask(self, what: str, subject: str, otherwise: T, ask: Callable[[], T]) -> T:
        """Return what the fast path answers, or `otherwise` if it raises."""
        try:
            return ask()
        except Exception as error:
            self._contain(what, subject, error)
            return otherwise

    def _contain(self, what: str, subject: str, error: Exception) -> None:
        """Report what was raised; raise it again unless the fast path has started."""
        if not self._running:
            raise error
        self._faults.report(f"fast path's {what}", subject, error, self._clock())
