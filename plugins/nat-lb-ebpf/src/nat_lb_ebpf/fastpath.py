"""The fast path as one object: services, connections, devices, counters.

    path = EbpfPath(Sizes(), Path("/sys/fs/bpf/nat-lb"))
    path.services.update(service, service.scheduler.present_plan)
    path.devices.attach_tc("eth0")
    path.connections.keep_sweeping()

The law: what Python process runs, or whether one does, is nothing to the packets.
"""

from __future__ import annotations

import ctypes as c
import secrets
from pathlib import Path

from nat_lb_ebpf import layout
from nat_lb_ebpf.arrays import octets, word
from nat_lb_ebpf.connections import Connections
from nat_lb_ebpf.devices import Devices
from nat_lb_ebpf.kernel import Kernel, Sizes, processors
from nat_lb_ebpf.layout import Counter, EventKind, Settings
from nat_lb_ebpf.libbpf import RingBuffer
from nat_lb_ebpf.services import Services

_SWEEPS_EVERY = 1.0  # seconds for a look at every slot
_TICK = 0.01


class EbpfPath:
    """The kernel's tables and programs; `adopted` says that they were there, with connections, before this process."""

    def __init__(self, sizes: Sizes, pins: Path | None = None, wanted: frozenset[EventKind] = frozenset()) -> None:
        self.kernel = Kernel(sizes, pins)
        self.adopted = self.kernel.adopted
        self._closed = False
        self.services = Services(self.kernel)
        self.connections = Connections(self.kernel, self.services)
        self.devices = Devices(self.kernel)
        self._events = RingBuffer(self.kernel.maps["events"])
        self.want(wanted)

    def want(self, kinds: frozenset[EventKind]) -> None:
        """Say which events are to be told; none cost nothing."""
        limit = self.kernel.maps["connections"].entries
        present = Settings.from_buffer_copy(self.kernel.maps["settings"].get(bytes(4)) or bytes(c.sizeof(Settings)))
        settings = Settings(
            limit=limit,
            embryos=self.kernel.maps["embryos"].entries,
            events=sum(1 << kind for kind in kinds),
            step=int(limit * _TICK / _SWEEPS_EVERY) + 1,
            tick=int(_TICK * 1e9),
            seed=present.seed or secrets.randbits(64),  # those of before go on: flows are where it put them
            buckets=self.kernel.maps["flows"].entries,
        )
        self.kernel.maps["settings"].put(bytes(4), octets(settings))

    def counters(self) -> dict[Counter, int]:
        """Return what was counted, over all CPUs."""
        size = 8 * processors()
        values = {}
        for counter in Counter:
            raw = self.kernel.maps["counters"].get(word(counter), size) or b""
            values[counter] = sum(int.from_bytes(raw[at : at + 8], "little") for at in range(0, len(raw), 8))
        return values

    def events(self) -> list[layout.Event]:
        """Return what happened since the last call, as far as it is wanted.

        `connections.of` tells whose event it is. What did not fit meanwhile is in the counter EVENTS_LOST.
        """
        return [layout.Event.from_buffer_copy(record) for record in self._events.records()]

    def flush(self) -> None:
        """Close every connection and forget every service."""
        for entry in list(self.connections):
            self.connections.close(entry.key)
        for key in list(self.services):
            self.services.forget(key)

    def close(self) -> None:
        """Give everything back; what is pinned or attached works on. Nothing happens the second time."""
        if self._closed:
            return
        self._closed = True
        self._events.close()
        self.kernel.close()
