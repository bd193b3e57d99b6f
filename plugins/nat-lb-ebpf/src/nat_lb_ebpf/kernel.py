"""The kernel's part, loaded: its maps and programs, pinned or not.

The law: maps are made once and shared by all programs; a process that finds pinned maps of its layout uses them, with
the sizes that they have, and brings its own programs.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nat_lb_ebpf import libbpf
from nat_lb_ebpf.layout import LAYOUT
from nat_lb_ebpf.libbpf import Map, Object, Program

PINS = Path("/sys/fs/bpf/nat-lb")
OBJECTS = Path(__file__).parent / "bpf"
TC_PROGRAM, XDP_PROGRAM = "nat_lb_tc", "nat_lb_xdp"  # their names in the kernel
_SHARED = (
    "flows", "connections", "bindings", "servers", "services", "service_numbers", "trackers", "plans",
    "slots", "settings", "allocator", "freed", "embryos", "traffic", "counters", "events",
)  # fmt: skip
_OWN = {"control": ("tickers", "requests"), "xdp": ("devices", "vlans", "trunks", "vlan_count")}


@dataclass(frozen=True)
class Sizes:
    """How much the maps hold; memory for all of it is taken at once."""

    connections: int = 262_144
    servers: int = 4_096  # of all services together
    services: int = 512
    announced: int = 16_384  # bindings of single connections, those that payloads announced
    slots: int = 524_288  # of all plans together
    events: int = 1 << 20  # octets of the ring buffer, a power of two

    @property
    def buckets(self) -> int:
        """Buckets of eight flows each: a power of two, and twice as many places as there can be flows, or more."""
        return 1 << ((self.connections + 1) // 2 - 1).bit_length()

    @property
    def embryos(self) -> int:
        """Connections that are not assured, at most."""
        return max(1, self.connections // 4)

    def entries(self) -> dict[str, int]:
        """Return each map's number of entries."""
        return {
            "flows": self.buckets,
            "connections": self.connections,
            "freed": self.connections,
            "embryos": self.embryos,
            "bindings": self.servers + self.announced,
            "servers": self.servers,
            "traffic": self.servers,
            "services": self.services,
            "service_numbers": self.services,
            "plans": 2 * self.services + 1,
            "slots": self.slots,
            "events": self.events,
        }


class Kernel:
    """The loaded maps and programs; `adopted` says whether the maps were there already.

    Raises `FastPathFault` if anything does not load.
    """

    def __init__(self, sizes: Sizes, pins: Path | None = None) -> None:
        self.directory = pins / str(LAYOUT) if pins is not None else None
        self.maps: dict[str, Map] = {}
        self.adopted = self.directory is not None and (self.directory / "connections").exists()
        if self.adopted:
            self._adopt()
        with self._object("tc", sizes) as tc:
            self._take(tc, _SHARED)
            self.tc = tc.program(TC_PROGRAM)
        with self._object("control", sizes) as control:
            self._take(control, _OWN["control"])
            self.control = control.program("nat_lb_control")
        self.xdp = self._load_xdp(sizes)
        if self.directory is not None and not self.adopted:
            self._pin(self.directory)

    def _adopt(self) -> None:
        assert self.directory is not None
        for name in (*_SHARED, *_OWN["control"], *_OWN["xdp"]):
            self.maps[name] = Map(name, libbpf.pinned(self.directory / name))

    @contextlib.contextmanager
    def _object(self, name: str, sizes: Sizes) -> Iterator[Object]:
        loaded = Object(OBJECTS / f"{name}.bpf.o")
        try:
            for map_name, entries in sizes.entries().items():
                loaded.resize(map_name, entries)
            loaded.share(self.maps)
            loaded.load()
            yield loaded
        finally:
            loaded.close()

    def _take(self, loaded: Object, names: tuple[str, ...]) -> None:
        for name in names:
            if name not in self.maps:
                self.maps[name] = loaded.map(name)

    def _load_xdp(self, sizes: Sizes) -> Program:
        with self._object("xdp", sizes) as xdp:
            self._take(xdp, _OWN["xdp"])
            return xdp.program(XDP_PROGRAM)

    def _pin(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        for name, kept in self.maps.items():
            libbpf.pin(kept.fd, directory / name)

    def close(self) -> None:
        """Give all descriptors back; what is pinned or attached lives on."""
        for kept in self.maps.values():
            kept.close()
        for program in (self.tc, self.control, self.xdp):
            program.close()


def processors() -> int:
    """Return how many values a map has that has one for each CPU."""
    last = Path("/sys/devices/system/cpu/possible").read_text().strip().split(",")[-1]
    return int(last.split("-")[-1]) + 1 if last else os.cpu_count() or 1
