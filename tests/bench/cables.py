"""A director between two cables, for frames: what XDP has sent arrives as XDP frames, as it does on a network card.

The law: every variant has a lab of its own, of the same make; the ends of the cables count the packets that came
through as they should, and drop them.

Addresses are those set aside for measuring (RFC 2544); clients are 100.64.0.0/10.
"""

from __future__ import annotations

import contextlib
import ctypes as c
import os
import socket
from collections.abc import Iterator
from types import TracebackType

from nat_lb.testing.lab import Host, Lab

VIP = Lab.vip
RIP = "198.18.1.2"
CLIENTS = "100.64.0.0/10"
FIRST_CLIENT = 0x64400002
_GATEWAY = "198.18.0.2"
LEFT, OUT, RIGHT, IN = "left", "out", "right", "in"  # the director's devices, each before its other end
LINK = {device: f"02:00:00:00:00:0{number}" for number, device in enumerate((LEFT, OUT, RIGHT, IN), 1)}
_CLONE_NEWNET = 0x40000000


@contextlib.contextmanager
def inside(host: Host) -> Iterator[None]:
    """Be in a host's network namespace."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{host.namespace}", os.O_RDONLY)
    try:
        _enter(there)
        yield
    finally:
        _enter(home)
        os.close(home)
        os.close(there)


def _enter(descriptor: int) -> None:
    if c.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
        raise OSError(c.get_errno(), "setns")


class Cables:
    """A client, a director and a real server in a row; a context manager."""

    def __enter__(self) -> Cables:
        with contextlib.ExitStack() as stack:
            self.lab = stack.enter_context(Lab(clients=1, servers=1))
            self._lay()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def director(self) -> Host:
        """The host in the middle."""
        return self.lab.director

    @property
    def ends(self) -> dict[str, Host]:
        """Each device's host."""
        return {LEFT: self.director, RIGHT: self.director, OUT: self.lab.client, IN: self.lab.servers[0]}

    def inside_director(self) -> contextlib.AbstractContextManager[None]:
        """Be in the director's network namespace."""
        return inside(self.director)

    def index(self, device: str) -> int:
        """Return a device's number in its namespace."""
        with inside(self.ends[device]):
            return socket.if_nametoindex(device)

    def _lay(self) -> None:
        far = {LEFT: OUT, RIGHT: IN}
        lines = [
            f"link add {near} address {LINK[near]} type veth peer name {end} address {LINK[end]} "
            f"netns {self.ends[end].namespace}"
            for near, end in far.items()
        ]
        lines += [f"link set {near} up" for near in far]
        lines += [f"addr add 198.18.0.1/24 dev {LEFT}", f"addr add 198.18.1.1/24 dev {RIGHT}"]
        lines += [
            f"neighbor replace {_GATEWAY} lladdr {LINK[OUT]} dev {LEFT} nud permanent",
            f"neighbor replace {RIP} lladdr {LINK[IN]} dev {RIGHT} nud permanent",
            f"route add {CLIENTS} via {_GATEWAY} dev {LEFT}",
        ]
        self.director.run(["ip", "-batch", "-"], input="\n".join(lines), check=True)
        loose = [f"net.ipv4.conf.{scope}.rp_filter=0" for scope in ("all", LEFT, RIGHT)]
        self.director.run(["sysctl", "-qw", *loose], check=True)
        for device, host in self.ends.items():
            host.run(["ip", "link", "set", device, "up"], check=True)
            host.run(["ethtool", "--offload", device, "gro", "on"], check=True)  # else XDP frames are not taken
