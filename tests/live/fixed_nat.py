"""A director with nothing but its doors: one VIP, one real server, the addresses swapped, whatever the port.

Usage: fixed_nat.py QUEUE VIP REAL_SERVER [VIP REAL_SERVER]...   SIGHUP: the rules are replaced; SIGTERM: the end.
What it saw is printed, a line a packet: stage, protocol, length, what was done. Datagrams to port 9 of a VIP are
answered with a datagram of the director's own.
"""

from __future__ import annotations

import json
import signal
import socket
import struct
import sys
from dataclasses import asdict

from nat_lb.checksum import adjust, delta
from nat_lb.io.inject import Injector
from nat_lb.io.nfqueue import QueueReader
from nat_lb.io.steering import Steering
from nat_lb.packet import UDP, build, pseudo_sum, sealed
from nat_lb.verdict import Reason, Reject, Stage, Verdict

CHECKSUM_AT = {6: 16, 17: 6, 58: 2}


def packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def swap(data: bytes, at: int, new: bytes) -> bytes:
    """Replace the address at `at` and adjust the header's and the transport's checksum."""
    out, old = bytearray(data), data[at : at + len(new)]
    out[at : at + len(new)] = new
    is_v4 = data[0] >> 4 == 4
    checks = [10] if is_v4 else []
    checks += [(20 if is_v4 else 40) + CHECKSUM_AT[data[9] if is_v4 else data[6]]]
    for check in checks:
        (value,) = struct.unpack_from("!H", out, check)
        struct.pack_into("!H", out, check, adjust(value, delta(old, new)) or 0xFFFF)  # 0 would mean none (RFC 768)
    return bytes(out)


def answer(data: bytes, at: int) -> bytes:
    """Return the datagram "refused" from where `data` was sent to, to where it came from."""
    source, destination = (data[12:16], data[16:20]) if at == 20 else (data[8:24], data[24:40])
    body = data[at + 2 : at + 4] + data[at : at + 2] + struct.pack("!HH", 15, 0) + b"refused"
    return build(destination, source, UDP, sealed(body, 6, pseudo_sum(destination, source, UDP, len(body))))


class FixedNat:
    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.real = {packed(vip): packed(server) for vip, server in pairs}
        self.virtual = {server: vip for vip, server in self.real.items()}

    def process(self, data: bytes, now: float, stage: Stage) -> Verdict:
        protocol = data[9] if data[0] >> 4 == 4 else data[6]
        at = 20 if data[0] >> 4 == 4 else 40
        if stage is Stage.BEFORE_ROUTING and protocol == UDP and data[at + 2 : at + 4] == b"\0\x09":
            print(stage.name, protocol, len(data), "answered", flush=True)
            return Reject(Reason.NO_SERVICE, answer(data, at))
        verdict = self.translate(data, stage)
        print(stage.name, protocol, len(data), "as is" if verdict is data else "translated", flush=True)
        return verdict

    def translate(self, data: bytes, stage: Stage) -> bytes:
        is_v4 = data[0] >> 4 == 4
        if (data[9] if is_v4 else data[6]) not in CHECKSUM_AT:
            return data
        source, destination = (data[12:16], data[16:20]) if is_v4 else (data[8:24], data[24:40])
        # A real server's reply to a client that is the director itself is addressed to the VIP as well.
        if stage is Stage.BEFORE_ROUTING and destination in self.real and source not in self.virtual:
            return swap(data, 16 if is_v4 else 24, self.real[destination])
        if stage is Stage.AFTER_ROUTING and source in self.virtual:
            return swap(data, 12 if is_v4 else 8, self.virtual[source])
        return data


def main(queue: int, *addresses: str) -> None:
    pairs = list(zip(addresses[::2], addresses[1::2], strict=True))
    steering = Steering(addresses[::2], addresses[1::2], queue)
    with QueueReader(queue, FixedNat(pairs).process, lambda now: None, Injector().send) as reader:
        reader.on_signal(signal.SIGTERM, reader.stop)
        reader.on_signal(signal.SIGHUP, lambda: steering.update(addresses[::2], addresses[1::2]))
        steering.install()
        print("ready", flush=True)
        reader.run()
        steering.remove()
        reader.drain()
        print(json.dumps(asdict(reader.statistics())), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
