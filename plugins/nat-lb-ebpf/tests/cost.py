"""What the programs cost by themselves, in nanoseconds a packet, and connections in memory.

    python -m tests.cost [CONNECTIONS ...]      as root, in this distribution's folder

The law: all programs run on the same packets of the same connections, taken at random, and the fastest of several
rounds counts: what is measured is the program, not the machine's other work.
"""

from __future__ import annotations

import ctypes as c
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from nat_lb.testing.packets import ACK, SYN, tcp
from nat_lb_ebpf import EbpfPath, Sizes
from nat_lb_ebpf.kernel import OBJECTS
from nat_lb_ebpf.libbpf import Object, Program

from .duel import REDIRECT, Duel, Ground, frame, skb
from .nets import IPV4

CLIENT, SERVER, VIRTUAL = f"{IPV4.client}:1024", f"{IPV4.one}:8000", f"{IPV4.vip}:80"
_OCTETS = 14 + 40 + 20
WAYS = {"original": tcp(CLIENT, VIRTUAL, ACK, bytes(64)), "reply": tcp(SERVER, CLIENT, ACK, bytes(64))}
ROUTED = {"original": tcp(CLIENT, SERVER, ACK, bytes(64)), "reply": WAYS["reply"]}


class Template(c.Structure):
    """The headers that a program writes before each run, and whose packet it is (cost.bpf.c)."""

    _fields_ = (
        ("octets", c.c_uint8 * _OCTETS),
        ("reply", c.c_uint8),
        ("random", c.c_uint8),
        ("next", c.c_uint32),
        ("clients", c.c_uint32),
    )


@dataclass(frozen=True)
class Cost:
    """Nanoseconds a packet, without those of the test run itself."""

    connections: int
    front: str
    way: str
    route: int  # a program that only looks the route up and redirects
    whole: int  # nat-lb's

    def __str__(self) -> str:
        return (
            f"{self.connections:9} connections {self.front:4} {self.way:9} only the route {self.route:4} ns, "
            f"nat-lb {self.whole:4} ns, ratio {self.whole / self.route:.2f}"
        )


class Meter:
    """The programs that are measured, with the tables of a fast path."""

    def __init__(self, path: EbpfPath) -> None:
        with tempfile.TemporaryDirectory() as directory:
            self._object = Object(_compiled(Path(directory)))
        self._object.share(path.kernel.maps)
        self._object.load()
        self._templates = self._object.map("templates")

    def close(self) -> None:
        self._object.close()

    def open(self, connections: int) -> float:
        """Open so many connections by whole handshakes; return the seconds that it took."""
        steps = (tcp(CLIENT, VIRTUAL, SYN), tcp(SERVER, CLIENT, SYN | ACK), tcp(CLIENT, VIRTUAL, ACK))
        portion = max(1, connections // 8)  # fewer than those that may wait to be assured
        begun = time.perf_counter()
        for first in range(0, connections, portion):
            for number, packet in enumerate(steps):
                count = min(portion, connections - first)
                self._run("whole", "tc", packet, count, reply=number == 1, first=first)
        return time.perf_counter() - begun

    def costs(self, connections: int, repeat: int, rounds: int) -> list[Cost]:
        """Measure both front ends, clients' packets and real servers'."""
        found = []
        for front in ("tc", "xdp"):
            for way in WAYS:
                times = {
                    name: min(
                        self._run(name, front, packet, repeat, reply=way == "reply", clients=connections)
                        for _ in range(rounds)
                    )
                    for name, packet in (("nothing", WAYS[way]), ("route", ROUTED[way]), ("whole", WAYS[way]))
                }
                route, whole = (times[name] - times["nothing"] for name in ("route", "whole"))
                found.append(Cost(connections, front, way, route, whole))
        return found

    def _run(
        self, name: str, front: str, packet: bytes, repeat: int, *, reply: bool, first: int = 0, clients: int = 0
    ) -> int:
        program: Program = self._object.program(f"{name}_{front}")
        sent = frame(packet).ljust(_OCTETS, b"\0")
        template = Template(reply=reply, random=bool(clients), next=first, clients=clients)
        template.octets[:] = list(sent[:_OCTETS])
        self._templates.put(bytes(4), bytes(template))
        returned, _, nanoseconds = program.run(sent, context=skb() if front == "tc" else b"", repeat=repeat)
        program.close()
        if name != "nothing" and returned != REDIRECT[front]:
            raise RuntimeError(f"{name}_{front} returned {returned}, expected a redirect")
        return nanoseconds


def _compiled(directory: Path) -> Path:
    out = directory / "cost.bpf.o"
    include = Path("/usr/include", sysconfig.get_config_var("MULTIARCH") or "")
    options = ["-O2", "-g", "-mcpu=v3", "-target", "bpf", f"-I{include}", f"-I{OBJECTS}"]
    subprocess.run(["clang", *options, "-c", Path(__file__).with_name("cost.bpf.c"), "-o", out], check=True)
    return out


def memory(path: EbpfPath) -> int:
    """Return the octets that the maps of connections take, as the kernel counts them."""
    names = ("flows", "connections", "freed", "embryos")
    texts = (Path(f"/proc/self/fdinfo/{path.kernel.maps[name].fd}").read_text() for name in names)
    return sum(int(line.split()[1]) for text in texts for line in text.splitlines() if line.startswith("memlock:"))


def main(sizes: list[int]) -> None:
    """Print the tables."""
    with Ground() as ground:
        for host in range(3, 3 + max(sizes) // 50_000):  # more clients, at the first one's link address
            ground.introduce(ground.lab.client, "outside", f"202.100.1.{host}")
        for size in sizes:
            ground.path.close()
            ground.path = path = EbpfPath(Sizes(connections=size + size // 64 + 8))
            for number in (2, 3):
                path.devices.allow_xdp(number)
            with Duel(ground, "tc") as duel:
                duel.serve(IPV4.service(SERVER))
                meter = Meter(path)
                seconds = meter.open(size)
                for cost in meter.costs(size, 1_000_000, 5):
                    sys.stdout.write(f"{cost}\n")
                begun = time.perf_counter()
                path.connections.sweep()
                swept = time.perf_counter() - begun
                sys.stdout.write(
                    f"{size:9} connections opened in {seconds:.2f} s, {memory(path) / size:.0f} octets each, "
                    f"a look at all of them {swept * 1000:.1f} ms\n"
                )
                meter.close()


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [1])
