"""The ledger: what one connection's helper asks for, message by message, and how it is taken back.

The law: what a message reserved, and what had to make room for it, is as it was before if anything fails later for
the same message. Endpoints that are neither the connection's client's nor its real server's are refused here, whatever
a helper asks for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from nat_lb.connection import Connection
from nat_lb.errors import PluginError
from nat_lb.expectation import Expectation, ExpectationTable
from nat_lb.faults import FaultLog
from nat_lb.flow import Address, Direction, Endpoint
from nat_lb.helper import ExpectationRefused, Helper, Peers, Terms
from nat_lb.public import scope
from nat_lb.service import Tracking

log = logging.getLogger("nat_lb.helpers")

Close = Callable[[Connection, str, float], None]


class ExpectationLedger:
    """One connection's account with the expectation table; `close` ends connections that a helper forgets."""

    def __init__(
        self, table: ExpectationTable, connection: Connection, helper: Helper, faults: FaultLog, close: Close
    ) -> None:
        self._table = table
        self._connection = connection
        self._helper = helper
        self._faults = faults
        self._close = close
        self._added: list[Expectation] = []
        self._displaced: list[tuple[Expectation, Connection]] = []
        self._ended: list[Connection] = []
        self._range_before: tuple[range, Expectation] | None = None
        self._range_changed = False
        self.stopped = False
        self.now = 0.0  # set for each packet

    @property
    def _virtual(self) -> Address:
        return self._connection.virtual.address

    @property
    def peers(self) -> Peers:
        """The endpoints of the helper's connection."""
        return Peers(self._connection.client, self._connection.virtual, self._connection.real)

    def begin(self) -> None:
        """Start a new message."""
        self._added.clear()
        self._displaced.clear()
        self._ended.clear()
        self._range_changed = False

    def commit(self, edited: bool) -> None:
        """Keep what was reserved since `begin`, and close what was forgotten; `edited` counts the message."""
        if edited or self._added or self._range_changed:
            counts = self._table.counts[self._helper.name]
            counts.rewritten += edited
            counts.expected += len(self._added) + self._range_changed
        for connection in dict.fromkeys(self._ended):
            self._close(connection, "forgotten", self.now)

    def undo(self) -> None:
        """Take back what was reserved since `begin`; what had to make room for it returns."""
        for expectation in self._added:
            self._table.leave(expectation, self._connection)
        for expectation, connection in self._displaced:
            self._table.join(expectation, connection)
            self._table.extend(expectation, expectation.deadline)
        if self._range_changed:
            self._table.ranges.clear(self._connection)
            if self._range_before is not None:
                self._table.ranges.put(self._connection, *self._range_before)
        self.begin()

    def stop(self) -> None:
        """Note that the helper wants to see no more."""
        self.stopped = True

    def refuse(self, why: str, kind: str) -> None:
        """See `Message.refuse`."""
        name = self._helper.name
        self._table.counts[name].refused[kind] += 1
        log.warning("%s: %s %s - %s", name, self._connection.service.name, self._connection.client, why)

    def fault(self, method: str, error: Exception) -> None:
        """Report what a method of the helper raised."""
        self._faults.report(f"{self._helper.name}.{method}", str(self._connection), error, self.now)

    def expect_client(self, real: Endpoint, terms: Terms) -> Endpoint:
        """See `Message.expect_client`; an address other than the connection's real server is refused."""
        self._check_real(real)
        self._check_number(terms)
        tracking = self._tracking(terms.protocol)
        whose = self._scope(tracking, terms.any_client)
        public = self._table.find_free(self._virtual, tracking, real, terms.ports, whose)
        for up in range(terms.ports):
            self._expect_at(
                public._replace(port=public.port + up), real._replace(port=real.port + up), whose, tracking, terms
            )
        return public

    def expect_server(self, client: Endpoint, terms: Terms) -> None:
        """See `Message.expect_server`; an address other than the connection's client is refused."""
        self._check_client(client)
        self._check_number(terms)
        tracking = self._tracking(terms.protocol)
        for port in range(client.port, client.port + terms.ports):
            endpoint = Endpoint(client.address, port)
            expectation = self._made(tracking, {self._reply_key(tracking, endpoint): Direction.REPLY}, terms)
            expectation.client = endpoint
            self._add(expectation, terms)

    def expect_between(self, client: Endpoint, real: Endpoint, terms: Terms) -> Endpoint:
        """See `Message.expect_between`; endpoints of others than this connection's peers are refused."""
        self._check_client(client)
        self._check_real(real)
        tracking = self._tracking(terms.protocol)
        whose = self._scope(tracking, any_client=False)
        public = self._table.find_free(self._virtual, tracking, real, 1, whose)
        keys = {
            whose + b"".join(public.packed): Direction.ORIGINAL,
            self._reply_key(tracking, client): Direction.REPLY,
        }
        expectation = self._made(tracking, keys, terms)
        expectation.scope, expectation.public, expectation.real, expectation.client = whose, public, real, client
        self._add(expectation, terms)
        if not tracking.has_ports:
            # Whoever gives a number out anew has no use for it any more; its packets would go to the old connection.
            self._ended += self._table.calls(whose, public, real.address, client)
        return public

    def expect_range(self, ports: range, terms: Terms) -> None:
        """See `Message.expect_range`."""
        tracking = self._connection.tracking
        ends = self._scope(tracking, any_client=False) + self._virtual.packed
        if not self._range_changed:
            self._range_before, self._range_changed = self._table.ranges.of(self._connection), True
        expectation = self._made(tracking, {ends: Direction.ORIGINAL}, terms)
        self._table.ranges.put(self._connection, ports, expectation)

    def forget(self, public: Endpoint, protocol: str) -> None:
        """See `Message.forget`."""
        whose = self._scope(self._tracking(protocol), any_client=False)
        for expectation in list(self._table.of(self._connection)):
            if expectation.public == public and expectation.scope == whose:
                self._displace(expectation, self._connection)
        opened = self._table.public.connections(whose, public)
        self._ended += [connection for connection in opened if connection.parent is self._connection]

    def known_as(self, real: Endpoint, protocol: str) -> Endpoint | None:
        """See `Message.known_as`."""
        return self._table.public.known_as(self._tracking(protocol).tracker.protocol, self._virtual, real)

    def _expect_at(self, public: Endpoint, real: Endpoint, whose: bytes, tracking: Tracking, terms: Terms) -> None:
        """Expect the client at one public endpoint, which is free or stands for `real` already."""
        key = whose + b"".join(public.packed)
        present = self._table.at(key)
        own = present is not None and present in self._table.of(self._connection)
        if present is not None and (own or terms.any_client):
            if not own:
                self._make_room()
                self._table.join(present, self._connection)
                self._added.append(present)
            self._table.extend(present, self._deadline(terms))
            return
        expectation = self._made(tracking, {key: Direction.ORIGINAL}, terms)
        expectation.scope, expectation.public, expectation.real = whose, public, real
        self._add(expectation, terms)

    def _made(self, tracking: Tracking, keys: dict[bytes, Direction], terms: Terms) -> Expectation:
        expectation = Expectation(self._connection, tracking, keys)
        expectation.announcer, expectation.helper = self._helper.name, terms.helper
        expectation.many, expectation.bound = terms.many, terms.bound
        return expectation

    def _add(self, expectation: Expectation, terms: Terms) -> None:
        for key in expectation.keys:
            holder = self._table.at(key)
            if holder is not None:
                self._displace(holder, holder.parent)
        self._make_room()
        self._table.add(expectation, self._deadline(terms))
        self._added.append(expectation)

    def _deadline(self, terms: Terms) -> float:
        return self.now + (self._helper.expectation_timeout if terms.timeout is None else terms.timeout)

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

    def _tracking(self, protocol: str) -> Tracking:
        if not protocol:
            return self._connection.tracking
        found = self._connection.service.tracking_of(protocol)
        if found is None:
            raise PluginError(f'helper "{self._helper.name}" expects protocol "{protocol}", which no tracker has.')
        return found

    def _scope(self, tracking: Tracking, any_client: bool) -> bytes:
        return scope(tracking.tracker.protocol, None if any_client else self._connection.client.address)

    def _reply_key(self, tracking: Tracking, client: Endpoint) -> bytes:
        real = self._connection.real.address.packed
        return bytes((tracking.tracker.protocol,)) + real + b"".join(client.packed)

    def _check_number(self, terms: Terms) -> None:
        if not 0 < terms.ports <= self._helper.most_expectations:
            limit = self._helper.most_expectations
            raise ExpectationRefused(f"{terms.ports} ports in a row, allowed are 1 to {limit}", "too many")

    def _check_real(self, real: Endpoint) -> None:
        own = self._connection.real.address
        if real.address != own:
            raise ExpectationRefused(f"{real} is not on this connection's real server {own}", "foreign address")

    def _check_client(self, client: Endpoint) -> None:
        own = self._connection.client.address
        if client.address != own:
            raise ExpectationRefused(f"{client} is not on this connection's client {own}", "foreign address")
