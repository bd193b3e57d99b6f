"""The ways through a director that are measured with frames, each between cables of its own.

The law: what is compared differs in the director alone. TC and XDP share one table of connections; everything else is
apart, so that no rule of one slows another.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

from nat_lb.segment import ACK, SYN
from nat_lb.testing.lab import LabError
from nat_lb_ebpf import EbpfPath, Sizes
from tests.bench.cables import IN, LEFT, OUT, RIGHT, RIP, VIP, Cables
from tests.bench.frames import Frames, Order, Sent
from tests.bench.processor import Meter
from tests.bench.traffic import director

BARE, PLAIN, KERNEL, TC, XDP = "sender and receiver alone", "plain forwarding", "kernel DNAT", "nat-lb TC", "nat-lb XDP"
SLOW = "nat-lb slow path"
_CHUNK = 50_000  # connections that are half open at once
_CONNTRACK = Path("/proc/sys/net/netfilter")
_DNAT = f"iptables -t nat -A PREROUTING -d {VIP} -p tcp --dport 80 -j DNAT --to-destination {RIP}"
_MANY_QUEUED = 2048  # packets of the slow path that are under way at once
_PATIENCE = 30.0
_TOML = f"""
[[service]]
protocol = "tcp"
address = "{VIP}"
port = 80
scheduler = "rr"
  [[service.real_server]]
  address = "{RIP}"
"""


class Bed:
    """All ways, ready; a context manager. `room` is for how many connections."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._opened = 0

    def __enter__(self) -> Bed:
        with contextlib.ExitStack() as stack:
            self.ways = {name: stack.enter_context(Cables()) for name in (BARE, PLAIN, KERNEL, TC, XDP, SLOW)}
            self.frames = Frames()
            stack.callback(self.frames.close)
            self.frames.count_at(self.ways[BARE], LEFT)
            for name in (PLAIN, KERNEL, TC, XDP, SLOW):
                self.frames.count_at(self.ways[name], IN, OUT)
            kernel = self.ways[KERNEL].director
            kernel.run(_DNAT.split(), check=True)
            # Network cards verify checksums; these frames have seen none.
            kernel.run(["sysctl", "-qw", "net.netfilter.nf_conntrack_checksum=0"], check=True)
            self._start_ours()
            stack.callback(self.path.close)
            self.ways[SLOW].lab.start_director(_TOML)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start_ours(self) -> None:
        self.path = EbpfPath(Sizes(connections=self.room))
        (service,) = director(rip=RIP).lifecycle.services
        assert service.scheduler is not None
        self.path.services.update(service, service.scheduler.present_plan)
        self.path.connections.keep_sweeping()
        for name, attach in ((TC, self.path.devices.attach_tc), (XDP, self.path.devices.attach_xdp)):
            with self.ways[name].inside_director():
                for device in (LEFT, RIGHT):
                    attach(device)

    def send(self, name: str, order: Order, how_many: int) -> Sent:
        """Send packets one of the ways; raises LabError if not all arrive."""
        if name == SLOW:
            return self._send_slowly(order, how_many)
        sent = self.frames.send(self.ways[name], order, how_many, untouched=name in (BARE, PLAIN))
        if sent.arrived != how_many:
            raise LabError(f"bench: {name}: {sent.arrived} of {how_many} packets arrived. {self.counters()}")
        return sent

    def _send_slowly(self, order: Order, how_many: int) -> Sent:
        """Send no more at once than its queue holds; its processor time is that of the director's process, too."""
        with Meter(self.ways[SLOW].lab.hosts) as meter:
            processor = self._send_in_parts(order, how_many)
        return Sent(how_many, processor + meter.seconds)

    def _send_in_parts(self, order: Order, how_many: int) -> float:
        """Return the processor time that sending took."""
        processor, start = 0.0, time.perf_counter()
        for first in range(0, how_many, _MANY_QUEUED):
            count = min(_MANY_QUEUED, how_many - first)
            if not order.at_random:
                order = Order(order.flags, first, count, order.reply)
            processor += self.frames.send(self.ways[SLOW], order, count).processor
            while self.frames.arrived() < count and time.perf_counter() < start + _PATIENCE:
                time.sleep(0.001)
            if self.frames.arrived() < count:
                raise LabError(f"bench: {SLOW}: {self.frames.arrived()} of {count} packets arrived")
        return processor

    def establish(self, name: str, first: int, count: int) -> None:
        """Open connections by three packets each."""
        for at in range(first, first + count, _CHUNK):
            many = min(_CHUNK, first + count - at)
            for flags, reply in ((SYN, False), (SYN | ACK, True), (ACK, False)):
                self.send(name, Order(flags, at, many, reply), many)

    def forget(self) -> None:
        """End all connections of the kernel's and of ours."""
        self.ways[KERNEL].director.run(["conntrack", "--flush"], check=True)
        self.path.connections.sweep(time.monotonic() + 1e6)

    def counters(self) -> Mapping[str, int]:
        """Return what the fast path counted, for errors."""
        return {counter.name: value for counter, value in self.path.counters().items() if value}

    def octets_a_connection(self) -> float:
        """Return the memory of all maps for each connection that has room in them."""
        used = 0
        for kept in self.path.kernel.maps.values():
            found = re.search(r"^memlock:\s+(\d+)", Path(f"/proc/self/fdinfo/{kept.fd}").read_text(), re.MULTILINE)
            used += int(found[1]) if found else 0
        return used / self.room


@contextlib.contextmanager
def conntrack_room(count: int) -> Iterator[bool]:
    """Let the kernel's table of connections hold so many, if this process may; say whether it does.

    It is one for all network namespaces: its limit and its size are put back at the end.
    """
    if not _CONNTRACK.exists():
        subprocess.run(["modprobe", "nf_conntrack"], check=True)
    before = {name: _size(name) for name in ("nf_conntrack_buckets", "nf_conntrack_max")}
    try:
        for name, number in before.items():
            _set(name, max(count, number))
        yield all(_size(name) >= count for name in before)
    finally:
        for name, number in before.items():
            _set(name, number)


def _size(name: str) -> int:
    return int((_CONNTRACK / name).read_text())


def _set(name: str, number: int) -> None:
    with contextlib.suppress(PermissionError):
        (_CONNTRACK / name).write_text(str(number))
