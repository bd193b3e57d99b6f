"""The slow path: packets per second through the kernel's queue, against a callback that only gets and sets the payload.

The law: packets wait in the queue before the clock starts, so their sender costs nothing; what becomes of them after
the verdict (a drop, in the hook that follows) is the same for both.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator

from netfilterqueue import NetfilterQueue

from nat_lb.director import Director
from nat_lb.io.handler import QueuedPacket
from nat_lb.io.nfqueue import QueueReader
from nat_lb.io.queues import bound_queues
from tests.bench.sample import Row, Scale, take
from tests.bench.traffic import RIP, VIP, Flows, director, fill

SECTION = "Slow path (NFQUEUE)"
AIM = ">= 0.6"
_MINIMAL = "get and set payload"
_QUEUE = 40
_BUFFER = 256 << 20
_FORCED_SEND_BUFFER = 32  # SO_SNDBUFFORCE of asm/socket.h
_LARGE = 1460
# A client's packet is queued in raw PREROUTING and ends in mangle PREROUTING, a real server's in mangle POSTROUTING and
# ends at a cable without another end: the hooks of a running director, and no more work for the kernel than needed.
_NETWORK = f"""
ip link set lo up
ip addr replace {VIP}/32 dev lo
ip link add sink type veth peer name unused
ip link set sink arp off up
ip route add 100.64.0.0/10 dev sink
iptables -t raw -A PREROUTING -d {VIP} -j NFQUEUE --queue-num {_QUEUE}
iptables -t mangle -A PREROUTING -p tcp -j DROP
iptables -t mangle -A POSTROUTING -s {RIP} -j NFQUEUE --queue-num {_QUEUE}
"""


def measure(scale: Scale) -> list[Row]:
    """Return the rows; runs in a network namespace of its own."""
    subprocess.run(["sh", "-e"], input=_NETWORK, text=True, check=True)
    rows = []
    for count, payload in ((scale.connections[0], 0), (scale.connections[0], _LARGE), (scale.connections[-1], 0)):
        flows, target = Flows(count, payload), director()
        fill(target, flows)
        rows.append(_compare(scale, flows, target, payload))
    return rows


def _compare(scale: Scale, flows: Flows, target: Director, payload: int) -> Row:
    def made() -> list[bytes]:
        return flows.mixed(scale.queued)

    samples = take({"ours": lambda: _ours(target, made()), _MINIMAL: lambda: _minimal(made())}, scale.turns)
    what = f"{payload} octets of payload, {flows.count:,} connections"
    return samples.row(SECTION, what, "packets/s", "ours", _MINIMAL, AIM)


def _ours(target: Director, packets: list[bytes]) -> float:
    with QueueReader(
        _QUEUE, target.pipeline.process, target.tick, _nothing_to_send, max_len=len(packets) + 1
    ) as reader:

        def read() -> None:
            while bound_queues()[_QUEUE].waiting:
                reader.drain()

        rate = _rate(packets, read)
        refused = reader.statistics().not_forwarded + reader.statistics().faults
    if refused:
        raise RuntimeError(f"bench: {refused} packets were not forwarded")
    return rate


def _minimal(packets: list[bytes]) -> float:
    queue = NetfilterQueue()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        queue.bind(_QUEUE, _get_and_set, max_len=len(packets) + 1, sock_len=32 << 20)
    with contextlib.closing(_Unbinding(queue)):
        return _rate(packets, lambda: queue.run(block=False))


class _Unbinding:
    def __init__(self, queue: NetfilterQueue) -> None:
        self.close = queue.unbind


def _get_and_set(packet: QueuedPacket) -> None:
    packet.set_payload(packet.get_payload())
    packet.accept()


def _nothing_to_send(packet: bytes) -> None:
    raise RuntimeError(f"bench: a packet was answered: {packet.hex()}")


def _rate(packets: list[bytes], read: Callable[[], None]) -> float:
    """Return how many packets a second `read` takes from the queue."""
    with _sender() as send:
        for data in packets:
            send(data)
        _check(waiting=len(packets))
        start = time.perf_counter()
        read()
        spent = time.perf_counter() - start
    _check(waiting=0)
    return len(packets) / spent


def _check(waiting: int) -> None:
    row = bound_queues()[_QUEUE]
    if row.waiting != waiting or row.lost_queue_full or row.lost_socket_full:
        raise RuntimeError(f"bench: expected {waiting} packets in the queue, found {row}")


@contextlib.contextmanager
def _sender() -> Iterator[Callable[[bytes], None]]:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.setsockopt(socket.SOL_SOCKET, _FORCED_SEND_BUFFER, _BUFFER)

        def send(data: bytes) -> None:
            raw.sendto(data, (socket.inet_ntoa(data[16:20]), 0))

        yield send
