"""The life of a connection: chosen, opened, moved from state to state, closed.

The law: this is the only place that changes the connection table, and the only one that announces such changes. Hooks
that nobody implements are not called.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from pluggy import HookCaller

from nat_lb.connection import Connection, ConnectionTable
from nat_lb.datagram import DatagramRewriter
from nat_lb.errors import NatLbError, PluginError
from nat_lb.expectation import ExpectationTable, Met
from nat_lb.fallback import PATIENCE, REST
from nat_lb.fastpath import CarriedEvent, FastPath, Happening
from nat_lb.faults import FaultLog
from nat_lb.flow import Direction, Endpoint, FlowKey
from nat_lb.helper import Helper
from nat_lb.ledger import ExpectationLedger
from nat_lb.nat import Binding
from nat_lb.offload import Offload
from nat_lb.payload import TcpRewriter
from nat_lb.persistence import PersistenceTable
from nat_lb.plugins import Registry
from nat_lb.service import RealServer, ServiceTable, VirtualService

log = logging.getLogger("nat_lb.connections")

PERSISTENCE_SWEEP = 60.0  # seconds


def _no_clock() -> float:
    """Stand still: decisions take no time where nobody passes a clock in."""
    return 0.0


class Lifecycle:
    """The tables of connections, expectations and persistence templates, and what moves entries in and out of them."""

    def __init__(self, registry: Registry, limit: int) -> None:
        self.registry = registry
        trackers = {tracker.protocol: tracker for tracker in registry.trackers.values()}  # by IP protocol number
        self.protocols = frozenset(trackers)
        # Those whose headers tell flows apart otherwise than TCP's and UDP's, and those that do not name the source.
        self.elsewhere = {number: t for number, t in trackers.items() if t.ports_at != (0, 2) or t.signature}
        self.sourceless = frozenset(number for number, t in trackers.items() if not t.has_ports())
        self.services = ServiceTable()
        self.connections = ConnectionTable(limit)
        self.expectations = ExpectationTable(self.services)
        self.persistence = PersistenceTable()
        self.faults = FaultLog(registry.owner)
        self.offload: Offload | None = None
        self._hooks = registry.manager.hook
        self._listeners: dict[str, list[HookCaller]] = {}  # by announcing hook; looked up at its first event
        self.clock: Callable[[], float] = _no_clock  # what decisions are timed by, in seconds
        self._sweep_at = 0.0

    def announce(self, hook: str, subject: object, now: float, **arguments: Any) -> None:
        """Call an announcing hook; what a plugin raises is reported and forgotten, and the others hear it too."""
        for listener in self._who_hears(hook):
            try:
                listener(**arguments)
            except Exception as error:
                self.faults.report(hook, str(subject), error, now)

    def _who_hears(self, hook: str) -> list[HookCaller]:
        listeners = self._listeners.get(hook)
        if listeners is None:
            listeners = self._listeners[hook] = self.registry.listeners(hook)
        return listeners

    def listen_anew(self) -> None:
        """Take note that other plugins than before may implement announcing hooks."""
        self._listeners.clear()

    def choose(self, service: VirtualService, key: bytes, now: float) -> RealServer | None:
        """Return the real server for a new connection.

        If that raises, chooses a foreign server (PluginError) or takes too long, the service's fallback decides. Raises
        what a plugin raises if there is none.
        """
        flow = FlowKey.from_bytes(key)
        service.now = now
        if service.persistence:
            remembered = self.persistence.remembered(service, flow.source.address, now)
            if remembered is not None:
                return remembered
        if self.offload is not None:
            self.offload.refresh(service)
        fallback = service.fallback
        resting = fallback.is_in_charge(now)
        if resting:
            fallback.counts["resting"] += 1
        started = self.clock()
        try:
            chosen = self._own(service, self._hooks.nat_lb_schedule(service=service, flow=flow))
        except Exception as error:
            if fallback.scheduler is None:
                raise
            self.faults.report("nat_lb_schedule", service.name, error, now)
            fallback.counts["failed"] += 1
            return self._own(service, fallback.scheduler.schedule(flow))
        took = self.clock() - started
        if fallback.is_too_late(took, now):
            self._tell_late(service, took)
        if fallback.scheduler is not None and not resting and fallback.is_late(took):
            return self._own(service, fallback.scheduler.schedule(flow))
        return chosen

    def _own(self, service: VirtualService, chosen: RealServer | None) -> RealServer | None:
        """Return a decision if it is one of the service's real servers or none; raises PluginError."""
        if chosen is not None and chosen not in service.real_servers:
            scheduler = type(service.scheduler)
            raise PluginError(
                f'nat_lb_schedule chose {chosen!r}, which is no real server of "{service.name}" '
                f"(its scheduler is {scheduler.__name__} of {self.registry.owner_of(scheduler)})"
            )
        return chosen

    def _tell_late(self, service: VirtualService, took: float) -> None:
        """Log that a service's decisions take too long, and who decides for now."""
        assert service.scheduler is not None
        fallback, owner = service.fallback, self.registry.owner_of(type(service.scheduler))
        then = (
            f'"{fallback.scheduler.name}" decides for {REST:g} s' if fallback.scheduler is not None else "no fallback"
        )
        log.warning(
            '%s: scheduler "%s" (%s) took %.1f ms, budget %.1f ms, %d times in a row - %s',
            service.name, service.scheduler.name, owner, took * 1000, fallback.budget * 1000, PATIENCE, then,
        )  # fmt: skip

    def open(self, service: VirtualService, real_server: RealServer, key: bytes, now: float) -> Connection | None:
        """Open a connection from a client to a service, None if its keys are taken."""
        connection = Connection(key, service, real_server, real_server.binding, 0, now)
        if not self._enter(connection, bool(service.helpers), now):
            return None
        if service.persistence:
            self.persistence.remember(connection, now)
        return connection

    def open_from_inside(self, service: VirtualService, key: bytes, now: float) -> Connection | None:
        """Open the connection that a real server's packet begins; None if it cannot enter the table.

        Its peer sees it come from the service's endpoint, or from the next free port if it sees another one there.
        """
        flow = FlowKey.from_bytes(key)
        real_server = service.real_server_at(flow.source)
        if real_server is None or self.connections.full:
            return None
        virtual = service.endpoint
        if FlowKey(flow.protocol, flow.destination, virtual).to_bytes() in self.connections.flows:
            virtual = self._free_source(flow, virtual)
        binding = Binding(service.tracker, virtual, flow.source, real_server.traffic)
        client_key = FlowKey(flow.protocol, flow.destination, virtual).to_bytes()
        connection = Connection(client_key, service, real_server, binding, 0, now)
        return connection if self._enter(connection, True, now) else None

    def open_expected(self, met: Met, key: bytes, now: float) -> Connection | None:
        """Open the connection that an expectation's first packet asks for; None if it cannot enter the table."""
        expectation, parent = met.expectation, met.expectation.parent
        client, virtual, real = self._ends(met, FlowKey.from_bytes(key))
        binding = Binding(expectation.tracking.tracker, virtual, real, parent.real_server.traffic)
        client_key = FlowKey(key[0], client, virtual).to_bytes()
        connection = Connection(
            client_key, parent.service, parent.real_server, binding, 0, now, tracking=expectation.tracking
        )
        connection.parent, connection.helper = parent, expectation.helper
        if self.connections.full or not self._enter(connection, expectation.helper is not None, now):
            return None
        self.expectations.opened(expectation, connection)
        return connection

    def _ends(self, met: Met, flow: FlowKey) -> tuple[Endpoint, Endpoint, Endpoint]:
        """Return the client's, the virtual and the real endpoint of the connection that a first packet asks for."""
        expectation = met.expectation
        if met.direction is Direction.ORIGINAL:
            real = expectation.real or Endpoint(expectation.parent.real.address, flow.destination.port)
            return expectation.client or flow.source, flow.destination, real
        real = expectation.real or flow.source
        public = self.expectations.public_of(flow.protocol, flow.destination.address, real)
        wanted = Endpoint(expectation.parent.virtual.address, flow.source.port)
        return flow.destination, public or self._free_source(flow, wanted), real

    def _free_source(self, flow: FlowKey, wanted: Endpoint) -> Endpoint:
        """Return where a real server's own connection seems to come from: the wanted port, or the next free one."""
        for port in range(wanted.port, 65536):
            virtual = wanted._replace(port=port)
            taken = FlowKey(flow.protocol, flow.destination, virtual).to_bytes() in self.connections.flows
            if not taken and not self.expectations.stands_for_another(flow, virtual):
                return virtual
        return wanted

    def _enter(self, connection: Connection, wants_helper: bool, now: float) -> bool:
        if not self.connections.can_open(connection):
            return False
        if wants_helper:
            self._bind_helper(connection, now)
        self.connections.add(connection)
        self.announce("nat_lb_connection_opened", connection, now, connection=connection)
        return True

    def _bind_helper(self, connection: Connection, now: float) -> None:
        try:
            helper: Helper | None = self._hooks.nat_lb_bind_helper(connection=connection)
            if helper is not None and not isinstance(helper, Helper):
                raise PluginError(f"nat_lb_bind_helper must return a Helper, found {helper!r}")
            if helper is not None and helper.protocol != connection.tracking.tracker.name:
                protocol = connection.tracking.tracker.name
                raise PluginError(f'helper "{helper.name}" is for {helper.protocol}, the connection is {protocol}')
        except Exception as error:
            self.faults.report("nat_lb_bind_helper", str(connection), error, now)
            return
        if helper is None:
            return
        ledger = ExpectationLedger(self.expectations, connection, helper, self.faults, self.close)
        rewriter = DatagramRewriter if helper.protocol == "udp" else TcpRewriter
        connection.rewriter = rewriter(helper, ledger.peers, ledger)

    def change_state(self, connection: Connection, state: int, now: float) -> None:
        """Move a connection to another state of its tracker."""
        old = connection.state
        self.connections.set_state(connection, state)
        self._announce_state(connection, old, now)

    def _announce_state(self, connection: Connection, old: int, now: float) -> None:
        hook = "nat_lb_connection_state_changed"
        if self._who_hears(hook):
            states = connection.tracking.tracker.states
            names = {"old_state": states[old], "new_state": states[connection.state]}
            self.announce(hook, connection, now, connection=connection, **names)

    def close(self, connection: Connection, reason: str, now: float) -> None:
        """Take a connection out of whatever table it is in; see `closed`."""
        if self.connections.holds(connection):
            self.connections.remove(connection)
        elif self.offload is not None:
            self.offload.close(connection)
        self.closed(connection, reason, now)

    def closed(self, connection: Connection, reason: str, now: float) -> None:
        """Forget what a connection that left the table expected, and close the connections that are bound to it."""
        bound = self.expectations.closed(connection)
        connection.rewriter = None  # it refers back to the connection: without it, no collector is needed
        self.persistence.closed(connection)
        self.announce("nat_lb_connection_closed", connection, now, connection=connection, reason=reason)
        for child in bound:
            self.close(child, "parent", now)

    def start_offload(self, fastpath: FastPath, now: float) -> int:
        """Let a fast path carry what it can from now on; return how many connections it brought along."""
        self.offload = Offload(fastpath, self.services, self.expectations, self.persistence, self._hooks)
        try:
            self.publish()
            adopted = self.offload.adopt(now)
            fastpath.start()
        except NatLbError:
            self.offload = None
            raise
        return adopted

    def publish(self) -> None:
        """Put the present services in force in the fast path, if there is one."""
        if self.offload is not None:
            self.offload.publish()

    def hand_over(self, connection: Connection) -> None:
        """Give a connection that needs no more Python to the fast path, if there is one and it can carry it."""
        if self.offload is not None and self.connections.holds(connection) and self.offload.take(connection):
            self.connections.remove(connection)
            connection.real_server.opened -= 1  # it is counted there now

    def _told(self, event: CarriedEvent, connection: Connection, now: float) -> None:
        """Pass on what happened to a carried connection."""
        if event.what is Happening.CLOSED:
            self.closed(connection, event.reason, now)
        elif event.what is Happening.OPENED:
            self.announce("nat_lb_connection_opened", connection, now, connection=connection)
        else:
            self._announce_state(connection, event.old_state, now)

    def tick(self, now: float) -> None:
        """Close what has expired; called about once a second."""
        if self.offload is not None:
            self.offload.tick(now, lambda event, connection: self._told(event, connection, now))
        for connection in self.connections.expired(now):
            self.close(connection, "expired", now)
        self.expectations.expire(now)
        if now >= self._sweep_at:
            self._sweep_at = now + PERSISTENCE_SWEEP
            self.persistence.expire(now)
