"""The fast path: what the director asks of a plugin that carries connections without Python.

The law: a connection is carried either there or by the slow path, never by both, and whoever carries it keeps its
state, its timeout and its counters. A packet that the fast path cannot handle comes up to the slow path as it came.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, NamedTuple

from nat_lb.connection import Connection
from nat_lb.flow import Endpoint
from nat_lb.scheduler import Plan
from nat_lb.service import CarriedLoad, RealServer, VirtualService


class Carried(NamedTuple):
    """One connection of the fast path's, as it was when it was looked at."""

    key: bytes  # of the client's flow
    service: bytes  # `VirtualService.key` of the service that it belongs to
    server: Endpoint  # its real server, as the service names it
    virtual: Endpoint
    real: Endpoint
    state: int  # number in the tracker's `states`
    last_seen: float  # seconds of the clock that packets have


class Happening(Enum):
    """What can happen to a connection that the fast path carries."""

    OPENED = "opened"
    STATE_CHANGED = "state changed"
    CLOSED = "closed"


class CarriedEvent(NamedTuple):
    """Something that happened; `reason` is that of `nat_lb_connection_closed`, or "evicted" to make room."""

    what: Happening
    carried: Carried  # `state` is the new one
    old_state: int
    reason: str


class FastPath(ABC):
    """Base of fast paths; made by the hook `nat_lb_make_fastpath`.  Every method may raise SystemFault."""

    name: str  # as `datapath` says it

    @abstractmethod
    def publish(self, services: Iterable[tuple[VirtualService, Plan | None]], wanted: frozenset[Happening]) -> None:
        """Put these services in force, in the place of all others, each in one step, and tell of what is wanted.

        New connections of a service with a plan are opened there, by the plan; a plan that is the same object as before
        goes on where it is. Of a service without one, new connections are left to the slow path.
        """

    @abstractmethod
    def start(self) -> None:
        """Carry packets from now on, those of connections that an earlier process left too; services are published."""

    @abstractmethod
    def settle(self, service: VirtualService) -> None:
        """Bring the position of the service's plan up to date, before another plan is made of it."""

    @abstractmethod
    def open(self, connection: Connection) -> bool:
        """Take a connection over as it is; False if it cannot be carried, and the slow path keeps it."""

    @abstractmethod
    def find(self, key: bytes) -> Carried | None:
        """Return the connection that has this flow key in either direction."""

    @abstractmethod
    def note(self, key: bytes, octet: int, length: int) -> None:
        """Take note of a packet that the slow path handled: the octet that tells its event, and its length."""

    @abstractmethod
    def close(self, key: bytes) -> None:
        """End the connection that has this flow key; nothing if there is none."""

    @abstractmethod
    def __iter__(self) -> Iterator[Carried]:
        """Yield every connection."""

    @abstractmethod
    def __len__(self) -> int:
        """Return how many connections there are, without looking at each."""

    @abstractmethod
    def load(self, service: VirtualService, server: RealServer) -> CarriedLoad:
        """Return what a real server of a service carries, since its counters began."""

    @abstractmethod
    def events(self) -> Iterable[CarriedEvent]:
        """Return what happened since the last call, oldest first, as far as it was wanted."""

    @property
    @abstractmethod
    def lost(self) -> int:
        """How many events were lost because nobody asked in time."""

    @abstractmethod
    def status(self) -> Mapping[str, Any]:
        """Return what is to be shown: `devices` (what carries packets on each, and why nothing better), `counters`."""

    @abstractmethod
    def leave(self) -> None:
        """End this process's part; what is carried is carried on, and services with a plan take new connections."""

    @abstractmethod
    def remove(self) -> None:
        """Carry nothing any more and leave nothing behind."""
