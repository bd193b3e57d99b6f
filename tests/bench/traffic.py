"""A director without a queue, and packets for it.

The law: packets are made before the clock starts. Their checksums are a template's, so mostly wrong: translation
neither verifies nor repairs them.
"""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Iterator
from ipaddress import ip_address

from nat_lb.config import parse
from nat_lb.director import Director
from nat_lb.segment import ACK, SYN
from nat_lb.testing import packets
from nat_lb.verdict import NotForwarded, Stage, Verdict

VIP, RIP = "202.103.106.5", "172.16.0.2"
_PORTS_A_CLIENT = 50_000
_APART = 1e-7  # seconds; each packet's time is an object of its own, as when a clock is read
_FIRST_CLIENT = int(ip_address("100.64.0.2"))
_SERVICE = """
[director]
max_connections = 2000000
[[service]]
name = "bench"
protocol = "{protocol}"
address = "{vip}"
port = {port}
scheduler = "rr"
{more}
  [[service.real_server]]
  address = "{rip}"
  port = {port}
"""


def director(protocol: str = "tcp", vip: str = VIP, rip: str = RIP, port: int = 80, more: str = "") -> Director:
    """Return a director of one service with one real server."""
    return Director(parse(_SERVICE.format(protocol=protocol, vip=vip, rip=rip, port=port, more=more), "bench"), "bench")


class Flows:
    """The packets of `count` TCP connections over IPv4: each client has many, as behind a proxy."""

    def __init__(self, count: int, payload: int = 0) -> None:
        self.count = count
        self._body = b"x" * payload
        self._templates: dict[tuple[int, bool], bytes] = {}

    def packet(self, number: int, flags: int, *, reply: bool = False) -> bytes:
        """Return connection `number`'s packet, as the client or the real server sends it."""
        kind = flags, reply
        if kind not in self._templates:
            ends = (f"{RIP}:80", "100.64.0.1:1024") if reply else ("100.64.0.1:1024", f"{VIP}:80")
            self._templates[kind] = packets.tcp(*ends, flags, self._body)
        template = self._templates[kind]
        address = struct.pack("!L", _FIRST_CLIENT + number // _PORTS_A_CLIENT)
        port = struct.pack("!H", 1024 + number % _PORTS_A_CLIENT)
        if reply:
            return template[:16] + address + template[20:22] + port + template[24:]
        return template[:12] + address + template[16:20] + port + template[22:]

    def handshakes(self) -> Iterator[tuple[bytes, Stage]]:
        """Yield the three packets that establish each connection, and where each is taken from."""
        for number in range(self.count):
            yield self.packet(number, SYN), Stage.BEFORE_ROUTING
            yield self.packet(number, SYN | ACK, reply=True), Stage.AFTER_ROUTING
            yield self.packet(number, ACK), Stage.BEFORE_ROUTING

    def random(self, how_many: int, *, reply: bool = False) -> list[bytes]:
        """Return ACKs of connections picked at random over all."""
        return [self.packet(number, ACK, reply=reply) for number in random.choices(range(self.count), k=how_many)]

    def mixed(self, how_many: int) -> list[bytes]:
        """Return as many ACKs of clients as of real servers, in random order."""
        both = self.random(how_many // 2) + self.random(how_many // 2, reply=True)
        random.shuffle(both)
        return both


def fill(target: Director, flows: Flows, now: float = 0.0) -> None:
    """Open every connection of `flows` and establish it; no two packets come at the same time."""
    for number, (data, stage) in enumerate(flows.handshakes()):
        forwarded(target.pipeline.process(data, now + number * _APART, stage))


def cost(target: Director, made: list[bytes], now: float, stage: Stage) -> float:
    """Return the microseconds that a packet takes; raises RuntimeError if the first or the last is not forwarded."""
    process = target.pipeline.process
    forwarded(process(made[0], now, stage))
    times = [now + number * _APART for number in range(len(made))]
    start = time.perf_counter()
    for data, moment in zip(made, times, strict=True):
        process(data, moment, stage)
    spent = time.perf_counter() - start
    forwarded(process(made[-1], times[-1], stage))
    return spent / len(made) * 1e6


def forwarded(verdict: Verdict) -> Verdict:
    """Return the verdict; raises RuntimeError if the packet was not let through, so that no refusal is measured."""
    if isinstance(verdict, NotForwarded):
        raise RuntimeError(f"bench: a packet was not forwarded: {verdict}")
    return verdict
