"""The fast path as a director sees it: what the core asks for, said in the terms of the kernel's tables.

The law: it only translates. Each network namespace has pins of its own, so a director that starts again finds what the
one before it left, and another namespace's director does not.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from nat_lb.api import (
    Carried,
    CarriedEvent,
    CarriedLoad,
    Config,
    Connection,
    Cycle,
    FastPath,
    Happening,
    Plan,
    RealServer,
    VirtualService,
)
from nat_lb_ebpf import bindings, devices, libbpf
from nat_lb_ebpf.connections import Entry, Opened
from nat_lb_ebpf.errors import FastPathFault
from nat_lb_ebpf.fastpath import EbpfPath
from nat_lb_ebpf.kernel import PINS, Sizes
from nat_lb_ebpf.layout import CloseReason, Counter, EventKind
from nat_lb_ebpf.services import service_key

_KINDS = {
    Happening.OPENED: EventKind.OPENED,
    Happening.STATE_CHANGED: EventKind.STATE_CHANGED,
    Happening.CLOSED: EventKind.CLOSED,
}
_HAPPENINGS = {kind: happening for happening, kind in _KINDS.items()}
_REASONS = {reason: reason.name.lower() for reason in CloseReason}
_SO_NETNS_COOKIE = 71  # socket(7), since Linux 5.14
_ROOT_ONLY = "nat-lb-ebpf: loading eBPF programs is for root. Remedy: run nat-lb as root."


def pins_of_this_namespace() -> Path:
    """Return the folder where this network namespace's maps are pinned."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        cookie = asking.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
    return PINS / f"net-{int.from_bytes(cookie, sys.byteorder)}"  # unlike an inode's number, never used again


class Ebpf(FastPath):
    """Connections carried by the kernel; programs on the ingress of every device that has Ethernet frames."""

    name = "ebpf"

    def __init__(self, config: Config) -> None:
        if os.geteuid():
            raise FastPathFault(_ROOT_ONLY)
        self._pins = pins_of_this_namespace()
        self._sizes = Sizes(connections=config.director.max_connections)
        self._xdp = frozenset(config.director.xdp)
        self._plans: dict[bytes, Plan | None] = {}  # as published, by the kernel's key of the service
        self._attached: dict[str, tuple[str, str]] = {}  # by device, what carries packets there, why nothing better
        self._running = False

    @cached_property
    def _path(self) -> EbpfPath:
        """The kernel's tables and programs, loaded when they are needed: what is only to be removed needs none."""
        libbpf.mount_file_system(PINS.parent)
        return EbpfPath(self._sizes, self._pins)

    def publish(self, services: Iterable[tuple[VirtualService, Plan | None]], wanted: frozenset[Happening]) -> None:
        wanted_services = {service_key(service): (service, plan) for service, plan in services}
        for key in set(self._path.services) - wanted_services.keys():  # first, for they may make room
            self._path.services.forget(key)
        for key, (service, plan) in wanted_services.items():
            self._update(service, key, plan)
        self._plans = {key: plan for key, (_, plan) in wanted_services.items()}
        self._path.want(frozenset(_KINDS[happening] for happening in wanted))

    def _update(self, service: VirtualService, key: bytes, plan: Plan | None) -> None:
        """Tell the kernel of a service; a plan that is in force stays where it is."""
        known = key in self._plans
        if not known:
            self._take_position(service, plan)
        if known and self._plans[key] is plan:
            self._path.services.update_servers(service)
        else:
            self._path.services.update(service, plan)

    def start(self) -> None:
        self._path.connections.keep_sweeping()
        self._running = True
        self._attach()

    def settle(self, service: VirtualService) -> None:
        self._take_position(service, self._plans.get(service_key(service)))

    def _take_position(self, service: VirtualService, plan: Plan | None) -> None:
        position = self._path.services.position(service) if service in self._path.services else None
        if isinstance(plan, Cycle) and plan.order and position is not None:
            plan.position = position % len(plan.order)

    def open(self, connection: Connection) -> bool:
        if service_key(connection.service) not in self._plans:
            return False
        return self._path.connections.open(connection) is Opened.YES

    def find(self, key: bytes) -> Carried | None:
        entry = self._path.connections.find(key)
        return self._carried(entry) if entry is not None else None

    def note(self, key: bytes, octet: int, length: int) -> None:
        self._path.connections.note(key, octet, length)

    def close(self, key: bytes) -> None:
        self._path.connections.close(key)

    def __iter__(self) -> Iterator[Carried]:
        return map(self._carried, self._path.connections)

    def __len__(self) -> int:
        return self._path.services.connections

    def load(self, service: VirtualService, server: RealServer) -> CarriedLoad:
        return self._path.services.load(service, server)

    def events(self) -> Iterable[CarriedEvent]:
        if self._running:
            self._attach()
        for event in self._path.events():
            kind = EventKind(event.kind)
            carried = self._carried(self._path.connections.of(event))
            reason = _REASONS[CloseReason(event.reason)] if kind is EventKind.CLOSED else ""
            yield CarriedEvent(_HAPPENINGS[kind], carried, event.old_state, reason)

    @property
    def lost(self) -> int:
        return self._path.counters()[Counter.EVENTS_LOST]

    def status(self) -> Mapping[str, Any]:
        return {
            "devices": [
                {"device": device, "datapath": what, "why": why}
                for device, (what, why) in sorted(self._attached.items())
            ],
            "counters": {counter.name.lower(): value for counter, value in self._path.counters().items()},
        }

    def leave(self) -> None:
        self._running = False
        self._path.close()

    def remove(self) -> None:
        self._running = False
        for device in devices.ethernet_devices():
            devices.Devices.detach_tc(device)
            devices.Devices.detach_xdp(device)
        try:
            if self._pins.exists():
                shutil.rmtree(self._pins)  # those of other layouts too
        except OSError as error:
            raise FastPathFault(f"nat-lb-ebpf: {self._pins}: {error.strerror}. Remedy: remove it by hand.") from error
        with contextlib.suppress(OSError):  # another namespace's pins are there
            PINS.rmdir()
        if "_path" in vars(self):
            self._path.close()

    def _attach(self) -> None:
        """Run on every device that there is; those that went are forgotten."""
        present = devices.ethernet_devices()
        for device in present - self._attached.keys():
            self._path.devices.attach_tc(device)  # under XDP too, for what XDP leaves to the stack
            self._attached[device] = self._try_xdp(device)
        self._attached = {device: what for device, what in self._attached.items() if device in present}

    def _try_xdp(self, device: str) -> tuple[str, str]:
        """Run in the driver too, if that is wanted and the driver can; return what runs, and why it is not XDP."""
        if device not in self._xdp:
            return "tc", "not in xdp of [director]"
        try:
            self._path.devices.attach_xdp(device)
        except FastPathFault as fault:
            return "tc", str(fault)
        return "xdp", ""

    def _carried(self, entry: Entry) -> Carried:
        own = self._path.services.bindings[entry.server]  # a real server's own, which says what service it is of
        pair = bindings.read(own)
        address, port = pair.virtual.packed
        service = bytes((own.protocol,)) + address + port
        return Carried(entry.key, service, pair.real, entry.virtual, entry.real, entry.state, entry.last_seen)
