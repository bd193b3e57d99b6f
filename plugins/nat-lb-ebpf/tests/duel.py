"""The same packets to the Python pipeline and to the kernel's programs, which must agree.

The law: a packet that the kernel sends on is, octet by octet, what the slow path and then the kernel's forwarding would
make of it; a packet that goes up goes as it came.
"""

from __future__ import annotations

import contextlib
import ctypes as c
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from nat_lb.api import Cycle, FlowKey, Plan, RealServer, Scheduler, ServiceView, VirtualService
from nat_lb.testing import packets
from nat_lb.testing.installed import registry
from nat_lb.testing.lab import Host, Lab
from nat_lb.testing.scenario import Scenario
from nat_lb_ebpf import EbpfPath, Sizes
from nat_lb_ebpf.arrays import word
from nat_lb_ebpf.layout import Server

UP = {"tc": 0xFFFFFFFF, "xdp": 2}
REDIRECT = {"tc": 7, "xdp": 4}
SMALL = Sizes(connections=1024, servers=64, services=8, announced=64, events=1 << 14)
DIRECTOR, SOMEBODY = bytes.fromhex("020000000102"), bytes.fromhex("020000000002")  # link addresses
_CLONE_NEWNET = 0x40000000


class Planned(Scheduler):
    """A scheduler that carries out the plan that a test made."""

    name = "planned"
    make: ClassVar[Callable[[ServiceView], Plan | None]] = staticmethod(lambda service: Cycle(service.real_servers))

    def plan(self) -> Plan | None:
        return type(self).make(self.service)


class Ground:
    """A lab whose director's namespace this thread is in, with the hosts' link addresses known."""

    def __enter__(self) -> Ground:
        with contextlib.ExitStack() as stack:
            self.lab = stack.enter_context(Lab(clients=1, servers=2))
            self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
            stack.callback(os.close, self._home)
            address = ["ip", "link", "set", "dev", "outside", "address", DIRECTOR.hex(":")]
            self.lab.director.run(address, check=True)
            for host, device in ((self.lab.client, "outside"), *((server, "inside") for server in self.lab.servers)):
                self.introduce(host, device)
            there = os.open(f"/run/netns/{self.lab.director.namespace}", os.O_RDONLY)
            stack.callback(os.close, there)
            _enter(there)
            stack.callback(_enter, self._home)
            self.path = EbpfPath(SMALL)
            stack.callback(self.path.close)
            for number in (2, 3):  # the lab's outside and inside
                self.path.devices.allow_xdp(number)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def introduce(self, host: Host, device: str, *addresses: str) -> None:
        """Tell the director a host's link address, for its own addresses of both families or for others."""
        link = json.loads(host.run(["ip", "-json", "link", "show", "dev", host.device], check=True).stdout)
        for address in addresses or (host.v4, host.v6):
            entry = ["ip", "neighbor", "replace", address, "lladdr", link[0]["address"], "dev", device]
            self.lab.director.run([*entry, "nud", "permanent"], check=True)


def _enter(descriptor: int) -> None:
    if c.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
        raise OSError(c.get_errno(), "setns")


def frame(packet: bytes) -> bytes:
    """Return a packet in an Ethernet frame."""
    return DIRECTOR + SOMEBODY + (b"\x08\0" if packet[0] >> 4 == 4 else b"\x86\xdd") + packet


def lowered(packet: bytes) -> bytes:
    """Return a packet as a router sends it on."""
    return packets.with_hops(packet, packet[8 if packet[0] >> 4 == 4 else 7] - 1)


class Duel:
    """One front end of the kernel's and one Python director, with the same services."""

    def __init__(self, ground: Ground, front: str) -> None:
        self.path, self.front = ground.path, front

    def __enter__(self) -> Duel:
        return self

    def __exit__(self, *exception: object) -> None:
        self.path.flush()

    @property
    def vip(self) -> str:
        return Lab.vip

    def serve(self, toml: str, make: Callable[[ServiceView], Plan | None] = Planned.make) -> VirtualService:
        """Start over with these services, in both; the scheduler "planned" carries out what `make` returns."""
        known = registry()
        known.schedulers["planned"] = type("Planned", (Planned,), {"make": staticmethod(make)})
        self.scenario = Scenario(toml, known)
        for service in self.services:
            assert service.scheduler is not None
            assert self.path.services.update(service, service.scheduler.present_plan)
        return self.services[0]

    @property
    def services(self) -> list[VirtualService]:
        return list(self.scenario.director.lifecycle.services)

    def server(self, address: str, service: VirtualService | None = None) -> RealServer:
        servers = (service or self.services[0]).real_servers
        return next(server for server in servers if str(server.endpoint) == address)

    def slow(self, packet: bytes) -> bytes | None:
        """Give the Python director a packet; return what it sends on, None if nothing."""
        verdict = self.scenario.process(packet).verdict
        return bytes(verdict) if isinstance(verdict, (bytes, bytearray)) else None

    def fast(self, packet: bytes, **context: int) -> bytes | None:
        """Give the kernel's program a packet; return what it sends on, None if the packet went up, as it came."""
        sent = frame(packet)
        program = self.path.kernel.tc if self.front == "tc" else self.path.kernel.xdp
        returned, left, _ = program.run(sent, context=skb(**context) if self.front == "tc" else b"")
        if returned == UP[self.front]:
            assert left == sent, "a packet that goes up goes as it came"
            return None
        assert returned == REDIRECT[self.front], f"returned {returned}"
        return left[14:]

    def both(self, packet: bytes) -> bytes:
        """Give both a packet that both must send on alike; return it."""
        slow, fast = self.slow(packet), self.fast(packet)
        assert slow is not None, f"Python did not send on {packets.describe(packet)}"
        assert fast is not None, f"the kernel did not send on {packets.describe(packet)}"
        assert fast == lowered(slow), f"{packets.describe(packet)}: {fast.hex()} instead of {lowered(slow).hex()}"
        return fast

    def loads(self) -> list[tuple[int, int, int, bool]]:
        """Return the numbers that Python has for each real server, having seen that the kernel has them too."""
        found = []
        for service in self.services:
            for server in service.real_servers:
                load = self.path.services.load(service, server)
                python = (server.active, server.inactive, server.opened, server.overloaded)
                judged = self.overloaded(service, server)
                assert (load.active, load.inactive, load.opened, judged) == python, str(server)
                assert load.packets == tuple(way.packets for way in server.traffic), str(server)
                assert load.octets == tuple(way.octets for way in server.traffic), str(server)
                found.append(python)
        return found

    def overloaded(self, service: VirtualService, server: RealServer) -> bool:
        """Whether the kernel gives a real server no new connections for its load."""
        number = self.path.services.server_number(service, server)
        record = self.path.kernel.maps["servers"].get(word(number)) or b""
        return bool(Server.from_buffer_copy(record).overloaded)

    def states(self) -> dict[str, str]:
        """Return each client's state, having seen that both have the same connections."""
        python = {connection.key: connection.state for connection in self.scenario.connections}
        assert {entry.key: entry.state for entry in self.path.connections} == python
        return {str(connection.client): connection.state_name for connection in self.scenario.connections}


def skb(ifindex: int = 2, gso_segs: int = 0, gso_size: int = 0) -> bytes:
    """Return a struct __sk_buff for a test run."""
    context = bytearray(192)
    struct.pack_into("=L", context, 40, ifindex)
    struct.pack_into("=L", context, 164, gso_segs)
    struct.pack_into("=L", context, 176, gso_size)
    return bytes(context)


def client_key(packet: bytes) -> bytes:
    """Return a plain packet's flow key."""
    return packet[9:10] + packet[12:24] if packet[0] >> 4 == 4 else packet[6:7] + packet[8:44]


__all__ = ["Duel", "FlowKey", "Ground", "Path", "client_key", "frame", "lowered", "skb"]
