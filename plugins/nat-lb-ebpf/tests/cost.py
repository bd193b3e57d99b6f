"""What the programs cost by themselves, in nanoseconds a packet: `python -m tests.cost`, as root, in this distribution.

The law: all programs run on the same packets in the same kernel, minutes apart at most, and the fastest of several
rounds counts: what is measured is the program, not the machine's other work.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

from nat_lb.testing.packets import ACK, SYN, tcp
from nat_lb_ebpf.kernel import OBJECTS
from nat_lb_ebpf.libbpf import Object, Program

from .duel import REDIRECT, Duel, Ground, frame, skb
from .nets import IPV4

_TEMPLATE = 14 + 40 + 20


@dataclass(frozen=True)
class Cost:
    """Nanoseconds a packet, without those of the test run itself."""

    front: str
    way: str
    route: int  # a program that only looks the route up and redirects
    whole: int  # nat-lb's

    def __str__(self) -> str:
        ratio = self.whole / self.route
        return f"{self.front:4} {self.way:12} route only {self.route:4} ns, nat-lb {self.whole:4} ns, ratio {ratio:.2f}"


def compiled(directory: Path) -> Path:
    """Compile the programs that are measured."""
    out = directory / "cost.bpf.o"
    include = Path("/usr/include", sysconfig.get_config_var("MULTIARCH") or "")
    source = Path(__file__).with_name("cost.bpf.c")
    command = [
        "clang",
        "-O2",
        "-g",
        "-mcpu=v3",
        "-target",
        "bpf",
        f"-I{include}",
        f"-I{OBJECTS}",
    ]
    subprocess.run([*command, "-c", source, "-o", out], check=True)
    return out


def costs(duel: Duel, repeat: int, rounds: int) -> list[Cost]:
    """Measure both front ends, a client's packet and a real server's."""
    client, server = f"{IPV4.client}:3000", f"{IPV4.one}:8000"
    vip = f"{IPV4.vip}:80"
    duel.serve(IPV4.service(server))
    for packet in (
        tcp(client, vip, SYN),
        tcp(server, client, SYN | ACK),
        tcp(client, vip, ACK),
    ):
        duel.fast(packet)
    with tempfile.TemporaryDirectory() as directory:
        loaded = Object(compiled(Path(directory)))
    loaded.share(duel.path.kernel.maps)
    loaded.load()
    templates = loaded.map("templates")
    ways = {"original": tcp(client, vip, ACK, bytes(64)), "reply": tcp(server, client, ACK, bytes(64))}
    routed = {"original": tcp(client, server, ACK, bytes(64)), "reply": ways["reply"]}
    found = []
    for front in ("tc", "xdp"):
        names = ("nothing", "route", "whole")
        programs = {name: loaded.program(f"{name}_{front}") for name in names}
        for way in ways:
            times = {}
            for name in names:
                sent = frame((routed if name == "route" else ways)[way])
                templates.put(bytes(4), sent[:_TEMPLATE])
                times[name] = min(_time(programs[name], sent, front, repeat, name != "nothing") for _ in range(rounds))
            found.append(Cost(front, way, times["route"] - times["nothing"], times["whole"] - times["nothing"]))
    loaded.close()
    return found


def _time(program: Program, sent: bytes, front: str, repeat: int, redirects: bool) -> int:
    context = skb() if front == "tc" else b""
    returned, _, nanoseconds = program.run(sent, context=context, repeat=repeat)
    if redirects and returned != REDIRECT[front]:
        raise RuntimeError(f"{program.name} returned {returned}, expected a redirect")
    return nanoseconds


def main() -> None:
    """Print the table."""
    with Ground() as ground, Duel(ground, "tc") as duel:
        for cost in costs(duel, 1_000_000, 7):
            sys.stdout.write(f"{cost}\n")


if __name__ == "__main__":
    main()
