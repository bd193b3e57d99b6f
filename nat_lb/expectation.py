"""Expectations: related connections that a payload announced.

The law: an expectation is for one destination and belongs to one connection, or to all that announced the same to any
client; it ends when the last of them closes, when its time is over, or when it is met. Where it lets a packet go is
only ever the real server or the client of a connection that announced it, so a payload cannot open a way to anybody
else.
"""

from __future__ import annotations

import heapq
import logging
from collections import Counter
from itertools import chain, count

from nat_lb.connection import Connection
from nat_lb.faults import FaultLog
from nat_lb.flow import Direction, Endpoint
from nat_lb.helper import ExpectationRefused, Helper, Peers
from nat_lb.service import ServiceTable

log = logging.getLogger("nat_lb.helpers")

FIRST_UNPRIVILEGED_PORT = 1024


class Expectation:
    """One awaited connection.  `direction` is that of its first packet."""

    __slots__ = ("deadline", "direction", "helper", "key", "others", "parent", "peer")

    def __init__(
        self, key: bytes, parent: Connection, direction: Direction, peer: Endpoint, helper: str | None
    ) -> None:
        self.key = key
        self.parent = parent
        self.others: list[Connection] = []  # that announced the same
        self.direction = direction
        self.peer = peer  # where it leads to: the real endpoint (ORIGINAL) or the client's (REPLY)
        self.helper = helper
        self.deadline = 0.0


class ExpectationTable:
    """All expectations, by what their first packet will look like."""

    def __init__(self, services: ServiceTable) -> None:
        self.services = services
        self._by_key: dict[bytes, Expectation] = {}
        self._of: dict[Connection, list[Expectation]] = {}
        self._timers: list[tuple[float, int, Expectation]] = []
        self._number = count()
        self.refusals: Counter[str] = Counter()  # by helper

    def __len__(self) -> int:
        return len(self._by_key)

    def match(self, key: bytes) -> Expectation | None:
        """Return the expectation that a first packet with this flow key meets; it stays until `remove`."""
        if not self._by_key:
            return None
        size = (len(key) - 5) // 2
        ports = 1 + 2 * size
        found = self._by_key.get(key[:ports] + key[ports + 2 :])
        return found or self._by_key.get(key[:1] + key[1 + size : ports] + key[ports + 2 :])

    def match_exactly(self, key: bytes) -> Expectation | None:
        """Return the expectation with this very key."""
        return self._by_key.get(key)

    def of(self, connection: Connection) -> list[Expectation]:
        """Return what a connection expects, oldest first."""
        return self._of.get(connection, [])

    def add(self, expectation: Expectation, deadline: float) -> None:
        """Enter an expectation until `deadline`."""
        self.join(expectation, expectation.parent)
        self.extend(expectation, deadline)

    def extend(self, expectation: Expectation, deadline: float) -> None:
        """Let it wait until `deadline`."""
        expectation.deadline = deadline
        heapq.heappush(self._timers, (deadline, next(self._number), expectation))

    def remove(self, expectation: Expectation) -> None:
        """Forget an expectation, whoever announced it; one that is not in the table is ignored."""
        for connection in (*expectation.others, expectation.parent):
            self.leave(expectation, connection)

    def remove_all(self, connection: Connection) -> None:
        """Forget what a connection expects, except what others expect as well."""
        for expectation in list(self.of(connection)):
            self.leave(expectation, connection)

    def join(self, expectation: Expectation, connection: Connection) -> None:
        """Note that a connection announced this: it is the parent unless another one is."""
        if self._by_key.get(expectation.key) is expectation:
            expectation.others.append(connection)
        else:
            self._by_key[expectation.key] = expectation
            expectation.parent = connection
        self._of.setdefault(connection, []).append(expectation)

    def leave(self, expectation: Expectation, connection: Connection) -> None:
        """Take back that a connection announced this; it is forgotten when no other connection did."""
        own = self.of(connection)
        if expectation not in own:
            return
        own.remove(expectation)
        if not own:
            del self._of[connection]
        if connection is not expectation.parent:
            expectation.others.remove(connection)
        elif expectation.others:
            expectation.parent = expectation.others.pop(0)
        else:
            del self._by_key[expectation.key]

    def expire(self, now: float) -> None:
        """Forget the expectations whose time is over."""
        while self._timers and self._timers[0][0] <= now:
            expectation = heapq.heappop(self._timers)[2]
            if expectation.deadline <= now:
                self.remove(expectation)

    def find_free(
        self, parent: Connection, real: Endpoint, any_client: bool
    ) -> tuple[Endpoint, bytes, Expectation | None]:
        """Return a public endpoint for `real`, its key, and the expectation that already stands for just that.

        What any client may use is shared by all connections that announce it. The port stays the same if it is free,
        otherwise the next free one above is taken.  Raises ExpectationRefused.
        """
        protocol = parent.key[:1]
        virtual = parent.virtual.address
        client = b"" if any_client else parent.client.address.packed
        ports = range(real.port, 65536), range(FIRST_UNPRIVILEGED_PORT, real.port)
        for port in chain(*ports):
            public = Endpoint(virtual, port)
            address, packed_port = public.packed
            key = protocol + client + address + packed_port
            holder = self._by_key.get(key)
            if holder is not None and holder.peer == real and (any_client or holder.parent is parent):
                return public, key, holder
            if holder is None and self.services.find(protocol[0], address, packed_port) is None:
                return public, key, None
        raise ExpectationRefused(f"no port of {virtual} is free for {real}")


class ExpectationLedger:
    """What one connection's helper asks for, message by message, and how it is taken back."""

    def __init__(self, table: ExpectationTable, connection: Connection, helper: Helper, faults: FaultLog) -> None:
        self._table = table
        self._connection = connection
        self._helper = helper
        self._faults = faults
        self._added: list[Expectation] = []
        self._displaced: list[tuple[Expectation, Connection]] = []
        self.stopped = False
        self.now = 0.0  # set for each packet

    @property
    def peers(self) -> Peers:
        """The endpoints of the helper's connection."""
        return Peers(self._connection.client, self._connection.virtual, self._connection.real)

    def begin(self) -> None:
        """Start a new message."""
        self._added.clear()
        self._displaced.clear()

    def undo(self) -> None:
        """Take back what was reserved since `begin`; what had to make room for it returns."""
        for expectation in self._added:
            self._table.leave(expectation, self._connection)
        for expectation, connection in self._displaced:
            self._table.join(expectation, connection)
            self._table.extend(expectation, expectation.deadline)
        self.begin()

    def stop(self) -> None:
        """Note that the helper wants to see no more."""
        self.stopped = True

    def refuse(self, why: str) -> None:
        """See `Message.refuse`."""
        name = self._helper.name
        self._table.refusals[name] += 1
        log.warning("%s: %s %s - %s", name, self._connection.service.name, self._connection.client, why)

    def fault(self, method: str, error: Exception) -> None:
        """Report what a method of the helper raised."""
        self._faults.report(f"{self._helper.name}.{method}", str(self._connection), error, self.now)

    def expect_client(self, real: Endpoint, helper: str | None, any_client: bool) -> Endpoint:
        """See `Message.expect_client`; an address other than the connection's real server is refused."""
        if real.address != self._connection.real.address:
            raise ExpectationRefused(f"{real} is not on this connection's real server {self._connection.real.address}")
        public, key, present = self._table.find_free(self._connection, real, any_client)
        if present is not None:
            if present not in self._table.of(self._connection):
                self._make_room()
                self._table.join(present, self._connection)
                self._added.append(present)
            self._table.extend(present, self.now + self._helper.expectation_timeout)
            return public
        self._add(Expectation(key, self._connection, Direction.ORIGINAL, real, helper))
        return public

    def expect_server(self, client: Endpoint, helper: str | None) -> None:
        """See `Message.expect_server`; an address other than the connection's client is refused."""
        if client.address != self._connection.client.address:
            raise ExpectationRefused(f"{client} is not on this connection's client {self._connection.client.address}")
        address, port = client.packed
        key = self._connection.key[:1] + self._connection.real.address.packed + address + port
        self._add(Expectation(key, self._connection, Direction.REPLY, client, helper))

    def _add(self, expectation: Expectation) -> None:
        holder = self._table.match_exactly(expectation.key)
        if holder is not None:
            self._displace(holder, holder.parent)
        self._make_room()
        self._table.add(expectation, self.now + self._helper.expectation_timeout)
        self._added.append(expectation)

    def _make_room(self) -> None:
        own = self._table.of(self._connection)
        if len(own) >= self._helper.most_expectations:
            self._displace(own[0], self._connection)

    def _displace(self, expectation: Expectation, connection: Connection) -> None:
        self._table.leave(expectation, connection)
        if expectation in self._added:
            self._added.remove(expectation)
        else:
            self._displaced.append((expectation, connection))
