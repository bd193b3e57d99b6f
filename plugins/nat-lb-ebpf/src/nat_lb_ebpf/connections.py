"""Connections of the kernel's: opened, found, listed, closed.

The law: only the control program changes the table, by the code that packets run; reading goes past no lock, so an
entry that is being closed may be seen a last time or not.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from nat_lb.api import Connection, Endpoint
from nat_lb_ebpf import bindings, layout
from nat_lb_ebpf.arrays import Array, assign, octets
from nat_lb_ebpf.bindings import Announced, Pair
from nat_lb_ebpf.errors import FastPathFault
from nat_lb_ebpf.kernel import Kernel
from nat_lb_ebpf.keys import flow, to_kernel, without_source
from nat_lb_ebpf.layout import NS, CloseReason, Control, Flag, Operation
from nat_lb_ebpf.services import Services

_ETHERNET = bytes(14)  # what a test run wants before the request
_GRE = 47
_SLICE = 4096  # slots that one request looks at


class Opened(Enum):
    """What became of the wish to open a connection in the kernel."""

    YES = 0
    FULL = errno.ENOSPC
    TAKEN = errno.EEXIST  # one of its flows belongs to another
    UNKNOWN = errno.EPROTONOSUPPORT  # the kernel does not know its tracker


@dataclass(frozen=True)
class Entry:
    """One connection, as it was when it was looked at. Times are seconds of the monotonic clock."""

    slot: int
    generation: int
    key: bytes  # of the client's flow, as the core writes it
    reply_key: bytes
    virtual: Endpoint
    real: Endpoint
    service: int  # numbers of `Services`
    server: int
    state: int  # by the tracker's `states`
    flags: Flag
    last_seen: float
    opened: float


class Connections:
    """The table of connections in the kernel."""

    def __init__(self, kernel: Kernel, services: Services) -> None:
        self._kernel, self._services = kernel, services
        self._table: Array[layout.Connection] = Array(kernel.maps["connections"], layout.Connection)
        first = kernel.maps["servers"].entries
        self._announced = Announced(services.bindings, first, lambda: (record.binding for _, record in self._live()))
        services.tidy = self._announced.collect

    def open(self, connection: Connection, flags: Flag = Flag.ASSURED) -> Opened:
        """Hand a connection to the kernel as it is; `Flag.SLOW` lets its packets go up to Python all the same."""
        server = self._services.server_number(connection.service, connection.real_server)
        binding = server
        if connection.binding is not connection.real_server.binding:
            service = self._services.tracking_number(connection.service, connection.tracking)
            taken = self._announced.take()
            if service is None or taken is None:
                return Opened.UNKNOWN if service is None else Opened.FULL
            binding = taken
            pair = Pair(connection.virtual, connection.real)
            numbers = {"server": server, "service": service, "protocol": connection.key[0]}
            tracker = self._services.tracker_of(service)
            bindings.write(self._services.bindings[binding], pair, tracker=tracker, **numbers)
        key, reply = to_kernel(connection.key), to_kernel(connection.reply_key)
        request = Control(family=key.family, binding=binding, state=connection.state, flags=flags)
        assign(request.key, key.octets)
        assign(request.reply_key, reply.octets)
        opened = Opened(-self.ask(Operation.OPEN, request).result)
        if opened is not Opened.YES and binding != server:
            self._announced.give_back(binding)
        return opened

    def close(self, key: bytes, reason: CloseReason = CloseReason.REMOVED) -> bool:
        """Close the connection that has this flow key in either direction; return whether there was one."""
        return not self.ask(Operation.CLOSE, _about(key, reason=reason)).result

    def note(self, key: bytes, octet: int, length: int) -> int | None:
        """Tell the kernel of a packet of its connection that Python handled: the event's octet, and the length.

        Returns the state thereafter, None if there is no such connection.
        """
        answer = self.ask(Operation.NOTE, _about(key, octet=octet, octets=length))
        return None if answer.result else answer.state

    def find(self, key: bytes) -> Entry | None:
        """Return the connection that has this flow key in either direction."""
        answer = self.ask(Operation.FIND, _about(key))
        return None if answer.result else self._entry(answer.connection, self._table[answer.connection])

    def __iter__(self) -> Iterator[Entry]:
        """Yield every connection, by slots; takes about a microsecond a slot that was ever used."""
        return (self._entry(slot, record) for slot, record in self._live())

    def __len__(self) -> int:
        return self._services.connections

    def sweep(self, now: float = 0.0) -> int:
        """Close what has expired at `now` (monotonic seconds; 0: by the kernel's clock); return how many that were."""
        return sum(
            self.ask(Operation.SWEEP, Control(first=first, count=_SLICE, now=int(now * NS))).closed
            for first in range(0, self._used(), _SLICE)
        )

    def keep_sweeping(self) -> None:
        """Have the kernel sweep by a timer of its own, until the maps are gone."""
        if error := self.ask(Operation.START, Control()).result:
            raise FastPathFault.of("starting the sweep", error, "Remedy: run a kernel of 6.1 or newer.")

    def touch(self, slot: int, last_seen: float) -> None:
        """Set when a connection was last seen, in seconds: for tests and for tables that are carried over."""
        self._table[slot].last_seen = int(last_seen * NS)

    def of(self, event: layout.Event) -> Entry:
        """Return the connection that an event is about, as it was then; it may be gone."""
        record = layout.Connection(
            last_seen=event.time, generation=event.generation, binding=event.binding, state=event.new_state,
            client=event.client, client_port=event.client_port, family=event.family,
        )  # fmt: skip
        return self._entry(event.connection, record)

    def ask(self, operation: Operation, request: Control) -> Control:
        """Have the control program carry out a request, and return its answer."""
        request.operation = operation
        returned, answer, _ = self._kernel.control.run(_ETHERNET + octets(request))
        if returned:
            raise FastPathFault("nat-lb-ebpf: the control program did not take a request. Remedy: install it again.")
        return Control.from_buffer_copy(answer, len(_ETHERNET))

    def _used(self) -> int:
        state = self._kernel.maps["allocator"].get(bytes(4)) or b""
        return min(layout.Allocator.from_buffer_copy(state).fresh, len(self._table))

    def _live(self) -> Iterator[tuple[int, layout.Connection]]:
        for slot in range(self._used()):
            record = self._table[slot]
            if record.generation:
                yield slot, record

    def _entry(self, slot: int, record: layout.Connection) -> Entry:
        binding = self._services.bindings[record.binding]
        pair = bindings.read(binding)
        real, virtual = pair.real.packed, pair.virtual.packed
        client = (bytes(record.client)[: len(real[0])], bytes(record.client_port))
        key, reply = flow(binding.protocol, client, virtual), flow(binding.protocol, real, client)
        if binding.protocol == _GRE:
            key, reply = without_source(key), without_source(reply)
        return Entry(
            slot, record.generation, key, reply,
            pair.virtual, pair.real, binding.service, binding.server, record.state, Flag(record.flags),
            record.last_seen / NS, record.opened / NS,
        )  # fmt: skip


def _about(key: bytes, **fields: int) -> Control:
    family, sought = to_kernel(key)
    request = Control(family=family, **fields)
    assign(request.key, sought)
    return request
