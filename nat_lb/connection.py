"""Connections and the table that remembers them.

The law: a connection is found by either of its two keys, what the client sends and what the real server sends, and
leaves the table when its state's timeout has passed without a packet. A packet only notes the time; a wheel of
one-second buckets looks at each connection once a timeout, so expiry costs the same however many connections there
are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nat_lb.flow import Endpoint, FlowKey
from nat_lb.nat import Binding
from nat_lb.service import RealServer, Tracking, VirtualService

if TYPE_CHECKING:
    from nat_lb.datagram import DatagramRewriter
    from nat_lb.payload import TcpRewriter

SPARE_TIMERS = 16  # entries of one bucket that may be of connections it no longer waits for, whatever its size
LINGER = 60.0  # seconds that a connection outlives its timeout at a time while connections it announced are alive


class Bucket(list["Connection"]):
    """The connections to look at when the clock reaches `second`; `spent` entries are closed or armed elsewhere."""

    __slots__ = ("second", "spent")

    def __init__(self, second: int) -> None:
        self.second = second
        self.spent = 0

    def leave(self) -> None:
        """Note that a connection here has another bucket now; whoever opens and closes without end piles up nothing."""
        self.spent += 1
        if self.spent > SPARE_TIMERS and 2 * self.spent > len(self):
            self[:] = dict.fromkeys(connection for connection in self if connection.bucket is self)
            self.spent = 0


_NEVER = Bucket(-1)


class Connection:
    """One connection: a client, a virtual endpoint, and the real server that was chosen for it."""

    __slots__ = (
        "binding",
        "bucket",
        "children",
        "helper",
        "key",
        "last_seen",
        "parent",
        "real_server",
        "reply_key",
        "rewriter",
        "service",
        "state",
        "tracking",
    )

    def __init__(
        self,
        key: bytes,
        service: VirtualService,
        real_server: RealServer,
        binding: Binding,
        state: int,
        now: float,
        tracking: Tracking | None = None,
    ) -> None:
        self.key = key  # client to virtual endpoint
        address, port = binding.real.packed
        size = len(address)
        # The real server's packets carry its own endpoint as the source and the client's as the destination.
        self.reply_key = key[:1] + address + key[1 : 1 + size] + port + key[1 + 2 * size : 3 + 2 * size]
        self.service = service
        self.tracking = tracking or service.tracking
        if not self.tracking.has_ports:
            self._hide_sources(size)
        self.real_server = real_server
        self.binding = binding
        self.state = state  # number in the tracker's `states`
        self.last_seen = now
        self.bucket = _NEVER
        self.rewriter: TcpRewriter | DatagramRewriter | None = None
        self.helper: str | None = None  # the helper that the announcement asked for
        self.parent: Connection | None = None  # whose payload announced this one
        self.children = 0  # announced connections that are alive and not bound to end with this one

    def _hide_sources(self, size: int) -> None:
        """Make the keys those of packets that do not name their source."""
        at = 1 + 2 * size
        self.key = self.key[:at] + b"\0\0" + self.key[at + 2 :]
        self.reply_key = self.reply_key[:at] + b"\0\0" + self.reply_key[at + 2 :]

    @property
    def client(self) -> Endpoint:
        """The client's endpoint."""
        return FlowKey.from_bytes(self.reply_key).destination

    @property
    def virtual(self) -> Endpoint:
        """The endpoint that the client sees."""
        return self.binding.virtual

    @property
    def real(self) -> Endpoint:
        """The endpoint that the real server uses."""
        return self.binding.real

    @property
    def state_name(self) -> str:
        """The tracker's name of the present state."""
        return self.tracking.tracker.states[self.state]

    @property
    def is_active(self) -> bool:
        """Whether it counts as its real server's load."""
        return self.tracking.active[self.state]

    @property
    def deadline(self) -> float:
        """When it expires if no packet comes."""
        return self.last_seen + self.tracking.timeouts[self.state]

    def __str__(self) -> str:
        return f"{self.client} > {self.virtual} > {self.real}"


class ConnectionTable:
    """All connections, by both keys, bounded in number."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.flows: dict[bytes, Connection] = {}
        self.quoted: dict[bytes, Connection] = {}  # by translated packets' keys, of those that do not name their source
        self._wheel: dict[int, Bucket] = {}
        self._time = -1  # the last second whose bucket was looked at

    def __len__(self) -> int:
        return len(self.flows) // 2

    def __iter__(self) -> Iterator[Connection]:
        """Yield every connection once, oldest first."""
        return (connection for key, connection in self.flows.items() if key == connection.key)

    @property
    def full(self) -> bool:
        """Whether no further connection may be opened."""
        return len(self) >= self.limit

    def holds(self, connection: Connection) -> bool:
        """Whether this very connection is in the table."""
        return self.flows.get(connection.key) is connection

    def can_open(self, connection: Connection) -> bool:
        """Whether both keys are free."""
        return connection.key not in self.flows and connection.reply_key not in self.flows

    def add(self, connection: Connection) -> None:
        """Enter a connection whose keys are free, count it as its real server's, and set its timer."""
        self.flows[connection.key] = self.flows[connection.reply_key] = connection
        for key in _quoted(connection):
            self.quoted[key] = connection
        active = connection.is_active
        connection.real_server.count(active, not active)
        connection.real_server.opened += 1
        self.arm(connection, connection.deadline)

    def remove(self, connection: Connection) -> None:
        """Take a connection out, and its timer with it."""
        del self.flows[connection.key], self.flows[connection.reply_key]
        for key in _quoted(connection):
            if self.quoted.get(key) is connection:
                del self.quoted[key]
        left, connection.bucket = connection.bucket, _NEVER
        left.leave()
        active = connection.is_active
        connection.real_server.count(-active, -(not active))

    def set_state(self, connection: Connection, state: int) -> None:
        """Change the state; the packet that did so has already been noted in `last_seen`."""
        was_active = connection.is_active
        connection.state = state
        if connection.is_active is not was_active:
            change = 1 if connection.is_active else -1
            connection.real_server.count(change, -change)
        self.arm(connection, connection.deadline)

    def arm(self, connection: Connection, deadline: float) -> None:
        """See to it that the connection is looked at by its deadline; an earlier look does no harm."""
        second = max(int(deadline), self._time) + 1
        present = connection.bucket
        if present is not _NEVER and present.second <= second:
            return
        bucket = self._wheel.get(second)
        if bucket is None:
            bucket = self._wheel[second] = Bucket(second)
        bucket.append(connection)
        connection.bucket = bucket
        if present is not _NEVER:
            present.leave()

    def expired(self, now: float) -> Iterator[Connection]:
        """Yield, and leave to the caller to remove, the connections whose time is over.

        Amortised cost: one look a connection and timeout, whatever the number of connections.
        """
        for second in self._due(int(now)):
            for connection in tuple(self._wheel.pop(second, ())):  # which may leave it meanwhile
                if connection.bucket.second != second:
                    continue  # closed, or re-armed for another second
                connection.bucket = _NEVER
                if connection.deadline > now:
                    self.arm(connection, connection.deadline)
                elif connection.children:
                    self.arm(connection, now + LINGER)
                else:
                    yield connection

    def _due(self, present: int) -> list[int]:
        last, self._time = self._time, present
        if present - last > len(self._wheel):
            return sorted(second for second in self._wheel if second <= present)
        return [second for second in range(last + 1, present + 1) if second in self._wheel]


def _quoted(connection: Connection) -> tuple[bytes, ...]:
    """Return the keys that a connection's packets have when they leave, if the keys they come with do not tell those.

    An ICMP error quotes a packet as it left.  Its key is the other direction's key reversed, unless sources are hidden.
    """
    if connection.tracking.has_ports:
        return ()
    client, virtual, real = (end.packed for end in (connection.client, connection.virtual, connection.real))
    protocol, nowhere = connection.key[:1], b"\0\0"
    return (
        protocol + client[0] + real[0] + nowhere + real[1],
        protocol + virtual[0] + client[0] + nowhere + client[1],
    )
