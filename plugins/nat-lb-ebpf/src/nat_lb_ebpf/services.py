"""Services, real servers, trackers and plans in the kernel's tables.

The law: a service or real server keeps its number, and with it its counters, for as long as it or a connection of its
lives; of a real server that went, nothing but its connections is left. A plan is written where no packet looks, and
then put in force by one word.
"""

from __future__ import annotations

import ctypes as c
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from nat_lb.api import CarriedLoad, Endpoint, Plan, RealServer, Tracker, VirtualService
from nat_lb_ebpf import bindings, layout
from nat_lb_ebpf.arrays import Array, octets, word
from nat_lb_ebpf.bindings import Pair
from nat_lb_ebpf.errors import FastPathFault
from nat_lb_ebpf.kernel import Kernel, processors
from nat_lb_ebpf.keys import family_of
from nat_lb_ebpf.layout import NS, PlanKind
from nat_lb_ebpf.plans import compile_plan, compile_tracker
from nat_lb_ebpf.regions import Regions


class Tracking(Protocol):
    """How connections of one protocol are tracked."""

    @property
    def tracker(self) -> type[Tracker]:
        """The table."""

    @property
    def timeouts(self) -> Sequence[float]:
        """Seconds, by state number."""


def service_key(service: VirtualService) -> bytes:
    """Return the kernel's key of a virtual endpoint."""
    address, port = service.endpoint.packed
    family = family_of(service.endpoint)
    key = layout.ServiceKey(protocol=service.tracker.protocol, family=family)
    key.port[:] = port
    key.address[: len(address)] = address
    return octets(key)


class Services:
    """What Python tells the kernel about services, and what the kernel counted for them."""

    def __init__(self, kernel: Kernel) -> None:
        maps = kernel.maps
        self._maps = maps
        self._services: Array[layout.Service] = Array(maps["services"], layout.Service)
        self._servers: Array[layout.Server] = Array(maps["servers"], layout.Server)
        self.bindings: Array[layout.Binding] = Array(maps["bindings"], layout.Binding)
        self._plans: Array[layout.Plan] = Array(maps["plans"], layout.Plan)
        self._slots: Array[Any] = Array(maps["slots"], c.c_uint64)  # values of 4 octets lie 8 apart
        self._regions = Regions(len(self._slots))
        self._numbers: dict[bytes, int] = {}
        self._server_numbers: dict[tuple[int, Endpoint], int] = {}
        self._staying: dict[int, set[Endpoint]] = {}  # by service, the real servers that it has now
        self._related: dict[tuple[int, str], int] = {}  # service and tracker's name -> number
        self._processors = processors()
        self.tidy: Callable[[], None] = lambda: None  # frees the bindings whose connections are gone
        self._recover()

    def _recover(self) -> None:
        """Take up the numbers that pinned maps hold."""
        for key in self._maps["service_numbers"]:
            value = self._maps["service_numbers"].get(key)
            if value is not None:
                self._numbers[key] = int.from_bytes(value, "little")
        for number in range(len(self._servers)):
            if self.bindings[number].family:
                place = (self.bindings[number].service, bindings.read(self.bindings[number]).real)
                self._server_numbers[place] = number
        for service in self._numbers.values():  # until it is told anew, it has all that it ever had
            self._staying[service] = {endpoint for number, endpoint in self._server_numbers if number == service}
        for plan in self._plans.from_(0):
            if plan.length:
                self._regions.hold(plan.first, plan.length)

    def update(self, service: VirtualService, plan: Plan | None) -> bool:
        """Add a service, or bring it up to date: timeouts, real servers, weights, thresholds, plan.

        Returns whether the kernel can have its connections: not if its tracker is not of a kind that it knows. With a
        plan, new connections are opened in the kernel; plans that it does not know count as None.
        """
        if not self.update_servers(service):
            return False
        self.set_plan(service, plan)
        return True

    def update_servers(self, service: VirtualService) -> bool:
        """Do the same for all but the plan, which goes on where it is; a service that is new has none."""
        compiled = compile_tracker(service.tracker)
        if compiled is None:
            return False
        key = service_key(service)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = self._free_service()
        self._set_tracking(number, compiled, service.tracking)
        for related, at in self._related.items():
            tracking = service.tracking_of(related[1]) if related[0] == number else None
            table = compile_tracker(tracking.tracker) if tracking is not None else None
            if tracking is not None and table is not None:
                self._set_tracking(at, table, tracking)
        self._staying[number] = {server.endpoint for server in service.real_servers}
        self._quiesce(number)
        for server in service.real_servers:
            self._set_server(service, number, server)
        self._maps["service_numbers"].put(key, word(number))
        return True

    def set_plan(self, service: VirtualService, plan: Plan | None) -> bool:
        """Put another plan in force for a service that was told; return whether the kernel carries it out."""
        number = self._numbers[service_key(service)]
        record = self._services[number]
        compiled = compile_plan(plan)
        if compiled is None:
            record.plan = 0
            return False
        place = 2 * number + 1 if record.plan != 2 * number + 1 else 2 * number + 2
        if self._plans[place].length:
            self._regions.give_back(self._plans[place].first)
            self._plans[place].length = 0  # if there is no room now, it is not to be given back again
        first = self._regions.take(len(compiled.servers))
        if first is None:
            record.plan = 0
            return False
        for at, server in enumerate(compiled.servers, first):
            self._slots[at] = 0 if server is None else 1 + self.server_number(service, server)
        compiled.record.first = first
        self._plans[place] = compiled.record
        record.plan = place
        return True

    def position(self, service: VirtualService) -> int | None:
        """Return where the kernel is in the service's `Cycle`; None if it carries out no such plan."""
        record = self._services[self._numbers[service_key(service)]]
        plan = self._plans[record.plan]
        return plan.position if record.plan and plan.kind == PlanKind.CYCLE else None

    def forget(self, key: bytes) -> None:
        """Let a service, given by its key in the kernel, have no new connections; those that it has go on."""
        self._maps["service_numbers"].delete(key)
        number = self._numbers.pop(key)
        self._services[number].plan = 0
        for place in [place for place in self._related if place[0] == number]:
            del self._related[place]
        self._staying.pop(number, None)
        self._quiesce(number)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the kernel's key of every service."""
        return iter(self._numbers)

    def server_number(self, service: VirtualService, server: RealServer) -> int:
        """Return the number of a real server of a service that was told."""
        return self._server_numbers[self._numbers[service_key(service)], server.endpoint]

    def __contains__(self, service: VirtualService) -> bool:
        """Whether the kernel was told of a service, by this process or by one before."""
        return service_key(service) in self._numbers

    @property
    def connections(self) -> int:
        """How many connections there are, by their real servers' counters."""
        records = (self._servers[number] for number in self._server_numbers.values())
        return sum(record.active + record.inactive for record in records)

    def load(self, service: VirtualService, server: RealServer) -> CarriedLoad:
        """Return what a real server carries in the kernel."""
        number = self.server_number(service, server)
        record = self._servers[number]
        raw = self._maps["traffic"].get(word(number), self._processors * 32) or b""
        each = [layout.Traffic.from_buffer_copy(raw, at) for at in range(0, len(raw), 32)]
        packets = sum(one.packets[0] for one in each), sum(one.packets[1] for one in each)
        carried = sum(one.octets[0] for one in each), sum(one.octets[1] for one in each)
        return CarriedLoad(record.active, record.inactive, record.opened, packets, carried)

    def tracking_number(self, service: VirtualService, tracking: Tracking) -> int | None:
        """Return the number of how a service's connections of one protocol are tracked.

        That is the service's own number for its own protocol; None for a tracker that the kernel does not know.
        """
        number = self._numbers[service_key(service)]
        if tracking is service.tracking:
            return number
        place = (number, tracking.tracker.name)
        if place not in self._related:
            compiled = compile_tracker(tracking.tracker)
            if compiled is None:
                return None
            self._related[place] = self._free_service()
            self._set_tracking(self._related[place], compiled, tracking)
        return self._related[place]

    def _set_tracking(self, number: int, compiled: layout.Tracker, tracking: Tracking) -> None:
        record = self._services[number]
        record.tracker = self._tracker_number(compiled)
        for state, seconds in enumerate(tracking.timeouts):
            record.timeouts[state] = int(seconds * NS)

    def tracker_of(self, number: int) -> int:
        """Return the tracker's number of a service or of what it tracks beside."""
        return self._services[number].tracker

    def _set_server(self, service: VirtualService, number: int, server: RealServer) -> None:
        place = (number, server.endpoint)
        at = self._server_numbers.get(place)
        protocol, tracker = service.tracker.protocol, self.tracker_of(number)
        if at is None:
            at = self._server_numbers[place] = self._free_server()
            self._servers[at] = layout.Server()
            self._maps["traffic"].put(word(at), bytes(32 * self._processors))
        pair = Pair(service.endpoint, server.endpoint)
        bindings.write(self.bindings[at], pair, server=at, service=number, tracker=tracker, protocol=protocol)
        record = self._servers[at]
        judged = (record.weight, record.upper_threshold, record.lower_threshold)
        lower = server.lower_threshold if server.upper_threshold else 0
        if judged != (server.weight, server.upper_threshold, lower):
            record.weight, record.upper_threshold, record.lower_threshold = server.weight, server.upper_threshold, lower
            load = record.active + record.inactive
            record.overloaded = int(0 < server.upper_threshold <= load)

    def _quiesce(self, number: int) -> None:
        for place, at in self._server_numbers.items():
            if place[0] == number and self._is_gone(place):
                self._servers[at].weight = 0

    def _is_gone(self, place: tuple[int, Endpoint]) -> bool:
        return place[1] not in self._staying.get(place[0], ())

    def _free_service(self) -> int:
        """Return a number that neither a service nor a real server with connections has."""
        free = self._untaken()
        if free is None:
            self.tidy()
            free = self._untaken()
        if free is None:
            raise FastPathFault(f"nat-lb-ebpf: more than {len(self._services)} services. Remedy: raise `services`.")
        for place in [place for place in self._server_numbers if place[0] == free]:
            self.bindings[self._server_numbers.pop(place)].family = 0
        return free

    def _untaken(self) -> int | None:
        taken = set(self._numbers.values()) | set(self._related.values())
        taken |= {service for (service, _), at in self._server_numbers.items() if self._is_loaded(at)}
        taken |= {binding.service for binding in self.bindings.from_(len(self._servers)) if binding.family}
        return next((number for number in range(len(self._services)) if number not in taken), None)

    def _free_server(self) -> int:
        for at in range(len(self._servers)):
            if not self.bindings[at].family:
                return at
        for place, at in self._server_numbers.items():
            if self._is_gone(place) and not self._is_loaded(at):
                del self._server_numbers[place]
                return at
        raise FastPathFault(f"nat-lb-ebpf: more than {len(self._servers)} real servers. Remedy: raise `servers`.")

    def _is_loaded(self, at: int) -> bool:
        return bool(self._servers[at].active + self._servers[at].inactive)

    def _tracker_number(self, compiled: layout.Tracker) -> int:
        trackers, table = self._maps["trackers"], octets(compiled)
        for number in range(trackers.entries):
            present = trackers.get(word(number))
            if present == table:
                return number
            if present == bytes(len(table)):
                trackers.put(word(number), table)
                return number
        raise FastPathFault(f"nat-lb-ebpf: more than {trackers.entries} trackers. Remedy: nat-lb cleanup, then start.")
