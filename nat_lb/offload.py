"""Offload: connections that need no more Python are handed to the fast path, and stood in for here.

The law: for plugins there is one table of connections. What they are told of a carried connection is a view of it, made
when it is needed; only one that a helper's connection announced keeps its object, and is looked after until the fast
path has it no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from pluggy import HookRelay

from nat_lb.connection import Connection
from nat_lb.expectation import ExpectationTable
from nat_lb.fastpath import Carried, CarriedEvent, FastPath, Happening
from nat_lb.flow import KEY_LENGTHS, Endpoint
from nat_lb.nat import Binding
from nat_lb.persistence import PersistenceTable
from nat_lb.scheduler import Plan
from nat_lb.service import RealServer, ServiceTable, Tracking, VirtualService

CHECK = 5.0  # seconds between two looks at connections that are kept
_HOOKS = {
    Happening.OPENED: "nat_lb_connection_opened",
    Happening.STATE_CHANGED: "nat_lb_connection_state_changed",
    Happening.CLOSED: "nat_lb_connection_closed",
}

Told: TypeAlias = Callable[[CarriedEvent, Connection], None]
Place: TypeAlias = tuple[bytes, Endpoint]  # a service's key and a real server's endpoint


class Offload:
    """The slow path's side of a fast path."""

    def __init__(
        self,
        fastpath: FastPath,
        services: ServiceTable,
        expectations: ExpectationTable,
        persistence: PersistenceTable,
        hooks: HookRelay,
    ) -> None:
        self.fastpath = fastpath
        self._services, self._expectations, self._persistence = services, expectations, persistence
        self._hooks = hooks
        self._kept: dict[bytes, Connection] = {}
        self._lost = 0
        self._check_at = 0.0

    def publish(self) -> None:
        """Put the present services in force."""
        self.fastpath.publish([(service, self._plan(service)) for service in self._services], self._wanted())

    def carried_by(self, gone: Mapping[Place, tuple[VirtualService, RealServer]]) -> list[Connection]:
        """Return the connections of real servers that no service has any more, by service and endpoint."""
        found = [(carried, gone.get((carried.service, carried.server))) for carried in self.fastpath] if gone else []
        return [self._kept.get(carried.key) or _made(carried, *place) for carried, place in found if place is not None]

    def adopt(self, now: float) -> int:
        """Take note of the connections that were carried before this process began; return how many there are.

        Each is looked at only if there is something to find: one that nobody has any more, or a client to remember.
        """
        number = len(self.fastpath)
        if number == self._load() and not any(service.persistence for service in self._services):
            return number
        number = 0
        for carried in self.fastpath:
            connection = self.view(carried)
            if connection is None:
                self.fastpath.close(carried.key)
                continue
            number += 1
            if connection.service.persistence and connection.tracking is connection.service.tracking:
                self._persistence.remember(connection, now)
        return number

    def _load(self) -> int:
        """Return how many carried connections the present real servers account for."""
        servers = [(service, server) for service in self._services for server in service.real_servers]
        loads = [self.fastpath.load(service, server) for service, server in servers]
        return sum(load.active + load.inactive for load in loads)

    def refresh(self, service: VirtualService) -> None:
        """Add what real servers carry there to what they carry here, so that schedulers and readers see both."""
        for server in service.real_servers:
            server.carry(self.fastpath.load(service, server))

    def take(self, connection: Connection) -> bool:
        """Hand a connection over, unless Python has to look after it; return whether it is carried now."""
        if connection.rewriter is not None or self._announces(connection) or not self.fastpath.open(connection):
            return False
        if connection.parent is not None:
            self._kept[connection.key] = connection
        return True

    def find(self, key: bytes) -> Connection | None:
        """Return the carried connection that has this flow key in either direction."""
        carried = self.fastpath.find(key) if len(key) in KEY_LENGTHS else None  # a part: of a packet that was cut off
        return self.view(carried) if carried is not None else None

    def close(self, connection: Connection) -> None:
        """End a carried connection."""
        self.fastpath.close(connection.key)
        self._kept.pop(connection.key, None)

    def view(self, carried: Carried) -> Connection | None:
        """Return a carried connection as plugins see connections, None if no service has its real server any more."""
        place = self._place(carried)
        if place is None:
            return None
        connection = self._kept.get(carried.key) or _made(carried, *place)
        connection.state, connection.last_seen = carried.state, carried.last_seen
        return connection

    def __iter__(self) -> Iterator[Connection]:
        """Yield a view of every carried connection."""
        return (connection for connection in map(self.view, self.fastpath) if connection is not None)

    def __len__(self) -> int:
        return len(self.fastpath)

    def tick(self, now: float, told: Told) -> None:
        """Pass on what happened, and find out which of the kept connections have ended."""
        for event in self.fastpath.events():
            connection = self.view(event.carried)
            if connection is not None:
                if event.what is Happening.CLOSED:
                    self._kept.pop(connection.key, None)
                told(event, connection)
        if self.fastpath.lost != self._lost:
            self._lost = self.fastpath.lost
            self._persistence.recount(connection.key for connection in self)
        if now >= self._check_at:
            self._check_at = now + CHECK
            self._check_kept(told)

    def _check_kept(self, told: Told) -> None:
        for key, connection in list(self._kept.items()):
            carried = self.fastpath.find(key)
            if carried is None:
                del self._kept[key]
                told(CarriedEvent(Happening.CLOSED, _last(connection), connection.state, "expired"), connection)
            else:
                connection.state, connection.last_seen = carried.state, carried.last_seen

    def _plan(self, service: VirtualService) -> Plan | None:
        """Return the plan by which the fast path may open a service's connections: if nobody else is to be asked."""
        overridden = len(self._hooks.nat_lb_schedule.get_hookimpls()) > 1  # the core's own is one
        if service.helpers or service.persistence or service.sloppy or overridden:
            return None
        return service.scheduler.present_plan if service.scheduler is not None else None

    def _wanted(self) -> frozenset[Happening]:
        """Return what the fast path has to tell: what plugins want to hear, and the ends that persistence waits for."""
        wanted = {what for what, hook in _HOOKS.items() if getattr(self._hooks, hook).get_hookimpls()}
        if any(service.persistence for service in self._services):
            wanted.add(Happening.CLOSED)
        return frozenset(wanted)

    def _announces(self, connection: Connection) -> bool:
        """Whether related connections depend on this one: it has to outlive them."""
        table = self._expectations
        return connection.children > 0 or bool(table.of(connection)) or table.ranges.of(connection) is not None

    def _place(self, carried: Carried) -> tuple[VirtualService, RealServer] | None:
        service = self._services.by_key(carried.service)
        server = service.real_server_at(carried.server) if service is not None else None
        return (service, server) if service is not None and server is not None else None


def _made(carried: Carried, service: VirtualService, server: RealServer) -> Connection:
    tracking = _tracking(service, carried.key[0])
    binding = server.binding
    if (binding.virtual, binding.real) != (carried.virtual, carried.real) or tracking is not service.tracking:
        binding = Binding(tracking.tracker, carried.virtual, carried.real, server.traffic)
    return Connection(carried.key, service, server, binding, carried.state, carried.last_seen, tracking=tracking)


def _tracking(service: VirtualService, protocol: int) -> Tracking:
    return next(tracking for tracking in service.trackings if tracking.tracker.protocol == protocol)


def _last(connection: Connection) -> Carried:
    return Carried(
        connection.key, connection.service.key, connection.real_server.endpoint, connection.virtual, connection.real,
        connection.state, connection.last_seen,
    )  # fmt: skip
