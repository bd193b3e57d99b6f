"""Schedulers: which real server gets a new connection.

The law: a scheduler answers with a usable real server or with None, and a decision that can be written as data is a
`Plan`. A plan is carried out here in Python or, unchanged, by a fast path in the kernel; a scheduler that is code
overrides `schedule`.

One scheduler object belongs to one virtual service. Real servers come in the order of the configuration file, which
is the order in which ties are broken.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, ClassVar, Protocol

from nat_lb.flow import FlowKey
from nat_lb.service import RealServer


class ServiceView(Protocol):
    """What a scheduler sees of its virtual service."""

    @property
    def name(self) -> str:
        """The name in the configuration."""

    @property
    def real_servers(self) -> Sequence[RealServer]:
        """The real servers in the file's order, quiesced and overloaded ones too."""

    @property
    def now(self) -> float:
        """The time of the packet that is being scheduled, in seconds that never go back."""


class Plan(ABC):
    """A scheduling decision as data."""

    @abstractmethod
    def choose(self, flow: FlowKey) -> RealServer | None:
        """Return the usable real server for a new connection, or None if the plan has none."""

    def explain(self, flow: FlowKey) -> str:
        """Say how `choose` would decide about a flow now, in a line, and change nothing.

        Called before `choose`, only where somebody asks why (`nat-lb replay --explain`).
        """
        return type(self).__name__


def _told(server: RealServer) -> str:
    """Name a real server, and say what is wrong with it if it may not be chosen."""
    if server.usable:
        return str(server)
    return f"{server} ({'overloaded' if server.weight > 0 else 'quiesced'})"


def _listed(servers: Sequence[RealServer]) -> str:
    return ", ".join(map(_told, servers)) or "nobody"


class Cycle(Plan):
    """Take the entries of `order` in turn, past those that are not usable."""

    def __init__(self, order: Sequence[RealServer], position: int = 0) -> None:
        self.order = tuple(order)
        self.position = position % len(self.order) if self.order else 0

    def choose(self, flow: FlowKey) -> RealServer | None:
        for step in range(len(self.order)):
            at = (self.position + step) % len(self.order)
            if self.order[at].usable:
                self.position = at + 1
                return self.order[at]
        return None

    def explain(self, flow: FlowKey) -> str:
        turn = [(self.position + step) % len(self.order) for step in range(len(self.order))]
        steps = next((step for step, at in enumerate(turn) if self.order[at].usable), len(turn))
        past = f", past {_listed([self.order[at] for at in turn[:steps]])}" if steps else ""
        if steps == len(turn):
            return f"Cycle: nobody's turn{past}"
        return f"Cycle: the turn of entry {turn[steps] + 1} of {len(turn)}, {self.order[turn[steps]]}{past}"


class HashTable(Plan):
    """Take the slot that a hash of the flow names; with `fallback`, look for another if its server is unusable.

    `key` maps a flow and an offset to a slot number. It is plain data, and the plan may be carried out in the kernel,
    if it is a `FlowHash`. The offsets that `fallback` tries begin at the first slot's number and go once round.
    """

    def __init__(
        self, slots: Sequence[RealServer | None], key: Callable[[FlowKey, int], int], *, fallback: bool = False
    ) -> None:
        self.slots = tuple(slots)
        self.key = key
        self.fallback = fallback

    def choose(self, flow: FlowKey) -> RealServer | None:
        if not self.slots:
            return None
        first = self.key(flow, 0)
        chosen = self.slots[first]
        if chosen is not None and chosen.usable:
            return chosen
        return self._second_choice(flow, first) if self.fallback else None

    def _second_choice(self, flow: FlowKey, first: int) -> RealServer | None:
        for step in range(len(self.slots)):
            chosen = self.slots[self.key(flow, (first + step) % len(self.slots))]
            if chosen is not None and chosen.usable:
                return chosen
        return None

    def explain(self, flow: FlowKey) -> str:
        if not self.slots:
            return "HashTable: no slots"
        first = self.key(flow, 0)
        chosen = self.slots[first]
        found = _told(chosen) if chosen is not None else "empty"
        told = f"HashTable: {flow} hashes to slot {first} of {len(self.slots)}, {found}"
        if (chosen is not None and chosen.usable) or not self.fallback:
            return told
        return f"{told}; {self._explain_second(flow, first)}"

    def _explain_second(self, flow: FlowKey, first: int) -> str:
        for step in range(len(self.slots)):
            at = self.key(flow, (first + step) % len(self.slots))
            chosen = self.slots[at]
            if chosen is not None and chosen.usable:
                return f"fallback to slot {at}, {chosen}, at try {step + 1}"
        return f"no slot has a usable server in {len(self.slots)} tries"


class Load(Enum):
    """What `LeastLoad` compares."""

    OVERHEAD = "overhead"  # 256 times the active connections and once all connections, as IPVS weighs them
    NEXT = "next"  # the active connections if one more comes

    def of(self, server: RealServer) -> int:
        """Return the load of one real server."""
        if self is Load.NEXT:
            return server.active + 1
        return server.active * 256 + server.connections


class LeastLoad(Plan):
    """Take the usable server with the least load, divided by its weight if `weighted`.

    With `idle_first`, the first server without an active connection is taken whatever the loads are. Ties go to the
    first in order.
    """

    def __init__(
        self,
        servers: Sequence[RealServer],
        load: Load = Load.OVERHEAD,
        *,
        weighted: bool = False,
        idle_first: bool = False,
    ) -> None:
        self.servers = tuple(servers)
        self.load = load
        self.weighted = weighted
        self.idle_first = idle_first

    def choose(self, flow: FlowKey) -> RealServer | None:
        best: RealServer | None = None
        for server in self.servers:
            if not server.usable:
                continue
            if self.idle_first and not server.active:
                return server
            if best is None or self._is_less(server, best):
                best = server
        return best

    def explain(self, flow: FlowKey) -> str:
        best = self.choose(flow)
        if best is None:
            return f"LeastLoad: nobody is usable, {_listed(self.servers)}"
        idle = ", the first that is idle" if self.idle_first and not best.active else ""
        return f"LeastLoad: {best}{idle}; {', '.join(map(self._cost, self.servers))}"

    def _cost(self, server: RealServer) -> str:
        if not server.usable:
            return _told(server)
        return f"{server} costs {self.load.of(server)}{f'/{server.weight}' if self.weighted else ''}"

    def _is_less(self, server: RealServer, best: RealServer) -> bool:
        if not self.weighted:
            return self.load.of(server) < self.load.of(best)
        return self.load.of(server) * best.weight < self.load.of(best) * server.weight


class Heaviest(Plan):
    """Take the usable server of the highest weight; ties go to the first in order.

    With `spill`, servers that have more active connections than their weight are passed over.
    """

    def __init__(self, servers: Sequence[RealServer], *, spill: bool = False) -> None:
        self.servers = tuple(servers)
        self.spill = spill

    def choose(self, flow: FlowKey) -> RealServer | None:
        best: RealServer | None = None
        for server in self.servers:
            if not server.usable or (self.spill and server.active > server.weight):
                continue
            if best is None or server.weight > best.weight:
                best = server
        return best

    def explain(self, flow: FlowKey) -> str:
        spilled = [s for s in self.servers if self.spill and s.usable and s.active > s.weight]
        over = f"; over their weight: {_listed(spilled)}" if spilled else ""
        best = self.choose(flow)
        if best is None:
            return f"Heaviest: nobody, of {_listed(self.servers)}{over}"
        unusable = [server for server in self.servers if not server.usable]
        past = f"; past {_listed(unusable)}" if unusable else ""
        return f"Heaviest: {best}, weight {best.weight}{past}{over}"


class Scheduler(ABC):
    """Base of all schedulers.

    Registered by returning the class from `nat_lb_register_schedulers`; `name` is what a service's `scheduler` says
    in TOML. Override `plan` to decide by data, or `schedule` to decide by code.
    """

    name: ClassVar[str]
    options: ClassVar[type[Any] | None] = None  # an `Options` model that validates [service.scheduler_options]

    def __init__(self, service: ServiceView, options: Any = None) -> None:
        self.service = service
        self.settings = options
        self._plan: Plan | None = None
        self.changed()

    def plan(self) -> Plan | None:
        """Return the decision as data, made from the present real servers; None if `schedule` decides."""
        return None

    def changed(self) -> None:
        """Take note that real servers were added, removed or given another weight; makes a new plan."""
        self._plan = self.plan()

    @property
    def present_plan(self) -> Plan | None:
        """The plan being carried out."""
        return self._plan

    def schedule(self, flow: FlowKey) -> RealServer | None:
        """Return a usable real server for the first packet of a new connection, None if there is none.

        `flow.source` is the client, `flow.destination` the virtual endpoint.
        """
        if self._plan is None:
            raise NotImplementedError(f'scheduler "{self.name}" has neither a plan nor a schedule() of its own')
        return self._plan.choose(flow)

    def explain(self, flow: FlowKey) -> str:
        """Say how `schedule` would decide about a flow now, in a line, and change nothing.

        The plan explains itself; override it for a scheduler that is code.
        """
        if self._plan is None:
            return f"{type(self).__name__}.schedule() decides by code"
        return self._plan.explain(flow)
