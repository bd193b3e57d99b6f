"""Expectations: related connections that a payload announced.

The law: an expectation is for one destination and belongs to one connection, or to all that announced the same to any
client; it ends when the last of them closes, when its time is over, or when it is met. Where it lets a packet go is
only ever the real server or the client of a connection that announced it, so a payload cannot open a way to anybody
else.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import chain, count
from typing import NamedTuple

from nat_lb.connection import Connection
from nat_lb.flow import Address, Direction, Endpoint, FlowKey
from nat_lb.helper import ExpectationRefused
from nat_lb.public import PublicEndpoints
from nat_lb.service import ServiceTable, Tracking

FIRST_UNPRIVILEGED_PORT = 1024
SPARE_TIMERS = 64


class Expectation:
    """One awaited connection, or any number of them if `many`.

    `keys` say what its first packet looks like: a flow key without the source's port, and without the client where any
    may come. `public` stands for `real` in `scope`; both are None where the real server will choose its port, `client`
    is None where the client will choose.
    """

    __slots__ = (
        "announcer", "bound", "client", "deadline", "helper", "keys", "many", "others", "parent", "public", "real",
        "scope", "tracking",
    )  # fmt: skip

    def __init__(self, parent: Connection, tracking: Tracking, keys: dict[bytes, Direction]) -> None:
        self.parent = parent
        self.others: list[Connection] = []  # that announced the same
        self.tracking = tracking
        self.keys = keys
        self.scope = b""
        self.public: Endpoint | None = None
        self.real: Endpoint | None = None
        self.client: Endpoint | None = None
        self.announcer = ""  # the helper that asked for it
        self.helper: str | None = None  # of the expected connection
        self.many = self.bound = False
        self.deadline = 0.0


class Met(NamedTuple):
    """An expectation that a first packet is for, and which way the packet goes."""

    expectation: Expectation
    direction: Direction


class HelperCounts:
    """What one helper has done: messages edited, connections expected and opened so, refusals by kind."""

    __slots__ = ("expected", "met", "refused", "rewritten")

    def __init__(self) -> None:
        self.rewritten = self.expected = self.met = 0
        self.refused: Counter[str] = Counter()


class Ranges:
    """The ranges of ports that a connection's client may reach its real server at; at most one each connection."""

    def __init__(self) -> None:
        self._by_ends: dict[bytes, dict[Connection, tuple[range, Expectation]]] = {}
        self._of: dict[Connection, bytes] = {}

    def __len__(self) -> int:
        return len(self._of)

    def of(self, connection: Connection) -> tuple[range, Expectation] | None:
        """Return what a connection has."""
        ends = self._of.get(connection)
        return self._by_ends[ends][connection] if ends is not None else None

    def put(self, connection: Connection, ports: range, expectation: Expectation) -> None:
        """Give a connection a range, in place of the one that it has."""
        self.clear(connection)
        [ends] = expectation.keys
        self._by_ends.setdefault(ends, {})[connection] = ports, expectation
        self._of[connection] = ends

    def clear(self, connection: Connection) -> None:
        """Take a connection's range away, if it has one."""
        ends = self._of.pop(connection, None)
        if ends is not None:
            del self._by_ends[ends][connection]
            if not self._by_ends[ends]:
                del self._by_ends[ends]

    def at(self, ends: bytes, port: int) -> Iterator[Expectation]:
        """Yield what holds a port; `ends` are protocol, client and VIP."""
        return (expectation for ports, expectation in self._by_ends.get(ends, {}).values() if port in ports)


class ExpectationTable:
    """All expectations, by what their first packet will look like, and the connections that were opened by them."""

    def __init__(self, services: ServiceTable) -> None:
        self.counts: defaultdict[str, HelperCounts] = defaultdict(HelperCounts)  # by helper
        self.public = PublicEndpoints(services)
        self.ranges = Ranges()
        self._by_key: dict[bytes, Met] = {}
        self._of: dict[Connection, list[Expectation]] = {}
        self._scopes: dict[Connection, bytes] = {}  # of opened connections, where their public endpoint is held
        self._calls: dict[bytes, Connection] = {}  # opened, of packets that do not name their source, by `reply_key`
        self._bound: dict[Connection, list[Connection]] = {}  # opened connections that end with the one that announced
        self._timers: list[tuple[float, int, Expectation]] = []
        self._number = count()
        self._size = 0

    def __len__(self) -> int:
        return self._size + len(self.ranges)

    def match(self, key: bytes) -> Met | None:
        """Return the expectation that a first packet with this flow key meets, and which way the packet goes."""
        if not self._by_key and not self.ranges:
            return None
        size = (len(key) - 5) // 2
        ports = 1 + 2 * size
        found = self._by_key.get(key[:ports] + key[ports + 2 :])
        found = found or self._by_key.get(key[:1] + key[1 + size : ports] + key[ports + 2 :])
        if found is not None:
            return found if _is_complete(found, key) else None
        held = next(self.ranges.at(key[:ports], int.from_bytes(key[ports + 2 :], "big")), None)
        return Met(held, Direction.ORIGINAL) if held is not None else None

    def at(self, key: bytes) -> Expectation | None:
        """Return the expectation with this very key."""
        found = self._by_key.get(key)
        return found.expectation if found is not None else None

    def of(self, connection: Connection) -> list[Expectation]:
        """Return what a connection expects, oldest first, its range apart."""
        return self._of.get(connection, [])

    def add(self, expectation: Expectation, deadline: float) -> None:
        """Enter an expectation until `deadline`."""
        self.join(expectation, expectation.parent)
        self.extend(expectation, deadline)

    def extend(self, expectation: Expectation, deadline: float) -> None:
        """Let it wait until `deadline`."""
        expectation.deadline = deadline
        heapq.heappush(self._timers, (deadline, next(self._number), expectation))
        if len(self._timers) > SPARE_TIMERS + 4 * self._size:
            self._drop_spent_timers()

    def _drop_spent_timers(self) -> None:
        """Forget the timers of what was lengthened or removed: whoever announces without end must not pile them up."""
        self._timers = [
            timer
            for timer in self._timers
            if timer[0] == timer[2].deadline and self.at(next(iter(timer[2].keys))) is timer[2]
        ]
        heapq.heapify(self._timers)

    def join(self, expectation: Expectation, connection: Connection) -> None:
        """Note that a connection announced this: it is the parent unless another one is."""
        if all(self.at(key) is expectation for key in expectation.keys):
            expectation.others.append(connection)
        else:
            self._by_key.update({key: Met(expectation, way) for key, way in expectation.keys.items()})
            self._size += 1
            expectation.parent = connection
            if expectation.public is not None and expectation.real is not None:
                self.public.expect(expectation.scope, expectation.public, expectation.real)
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
            for key in expectation.keys:
                del self._by_key[key]
            self._size -= 1
            if expectation.public is not None:
                self.public.expect_no_more(expectation.scope, expectation.public)

    def remove(self, expectation: Expectation) -> None:
        """Forget an expectation, whoever announced it; one that is not in the table is ignored."""
        for connection in (*expectation.others, expectation.parent):
            self.leave(expectation, connection)

    def expire(self, now: float) -> None:
        """Forget the expectations whose time is over."""
        while self._timers and self._timers[0][0] <= now:
            expectation = heapq.heappop(self._timers)[2]
            if expectation.deadline <= now:
                self.remove(expectation)

    def opened(self, expectation: Expectation, connection: Connection) -> None:
        """Note that an expectation's first packet opened a connection; what was for one is met."""
        parent = expectation.parent
        self.counts[expectation.announcer].met += 1
        if expectation.bound:
            self._bound.setdefault(parent, []).append(connection)
        else:
            parent.children += 1
        if not connection.tracking.has_ports:
            self._calls[connection.reply_key] = connection
        found = self.public.of(connection.key[0], connection.client.address, connection.real)
        if found is not None and found[1] == connection.virtual:
            self._scopes[connection] = found[0]
            self.public.connect(found[0], connection)
        if not expectation.many:
            self.remove(expectation)

    def closed(self, connection: Connection) -> list[Connection]:
        """Forget what a closed connection expected, and return the connections that have to end with it."""
        for expectation in list(self.of(connection)):
            self.leave(expectation, connection)
        self.ranges.clear(connection)
        if self._calls.get(connection.reply_key) is connection:
            del self._calls[connection.reply_key]
        held = self._scopes.pop(connection, None)
        if held is not None:
            self.public.disconnect(held, connection)
        parent, connection.parent = connection.parent, None
        if parent is not None:
            bound = self._bound.get(parent, [])
            if connection in bound:
                bound.remove(connection)
            else:
                parent.children -= 1
        return self._bound.pop(connection, [])

    def calls(self, whose: bytes, public: Endpoint, real: Address, client: Endpoint) -> list[Connection]:
        """Return what is open, of packets that do not name their source, to a public number or to a client's number.

        The public number is in a scope; the client's is the one that this real server's packets carry.
        """
        address, number = client.packed
        found = self._calls.get(whose[:1] + real.packed + address + b"\0\0" + number)
        opened = self.public.connections(whose, public)
        return opened if found is None or found in opened else [*opened, found]

    def public_of(self, protocol: int, client: Address, real: Endpoint) -> Endpoint | None:
        """Return the public endpoint that a real one was announced under to a client, None if it was not."""
        found = self.public.of(protocol, client, real)
        return found[1] if found is not None else None

    def find_free(self, virtual: Address, tracking: Tracking, real: Endpoint, ports: int, whose: bytes) -> Endpoint:
        """Return the public endpoint for `real`, and so for the `ports - 1` ports above it, too.

        What stands for it already does so again. Otherwise the port stays the same if it and those above are free, or
        the next free one above is taken, in steps of `ports`. Raises ExpectationRefused.
        """

        def fits(first: int) -> bool:
            return all(
                self._may_stand(whose, Endpoint(virtual, first + up), Endpoint(real.address, real.port + up))
                for up in range(ports)
            )

        present = self.public.own(whose, real)
        if present is not None and present.address == virtual and fits(present.port):
            return present
        lowest = FIRST_UNPRIVILEGED_PORT if tracking.has_ports else 0
        below = range(lowest + (real.port - lowest) % ports, real.port, ports)
        for port in chain(range(real.port, 65537 - ports, ports), below):
            if fits(port):
                return Endpoint(virtual, port)
        raise ExpectationRefused(f"no port of {virtual} is free for {real}", "no free port")

    def _may_stand(self, whose: bytes, public: Endpoint, real: Endpoint) -> bool:
        if not self.public.is_free(whose, public, real):
            return False
        present = self.public.own(whose, real)
        if present is not None and present != public:
            return False
        others = self.ranges.at(whose + public.address.packed, public.port)
        return all(expectation.parent.real.address == real.address for expectation in others)

    def stands_for_another(self, flow: FlowKey, public: Endpoint) -> bool:
        """Whether a public endpoint is not free for the source of a real server's first packet."""
        whose = bytes((flow.protocol,)) + flow.destination.address.packed
        return not self.public.is_free(whose, public, flow.source)


def _is_complete(met: Met, key: bytes) -> bool:
    """Whether nothing else is wrong with a first packet: its source is the one awaited, or any may be."""
    expectation = met.expectation
    if not expectation.tracking.has_ports:
        return expectation.client is not None
    wanted = expectation.client if met.direction is Direction.ORIGINAL else expectation.real
    return wanted is None or wanted == FlowKey.from_bytes(key).source
