"""Small packets and new connections: plain forwarding, the kernel's DNAT, nat-lb's fast path, and its slow path.

The law: the sender's processor time is that of the whole way (see `frames`); what is called a second is one of
processor time, so that other programs do not count.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from nat_lb.segment import ACK, SYN
from tests.bench.bed import BARE, KERNEL, PLAIN, SLOW, TC, XDP, Bed, conntrack_room
from tests.bench.cables import RIP, VIP
from tests.bench.frames import Order
from tests.bench.program import Programs
from tests.bench.sample import Row, Samples, Scale, take

PACKETS, OPENED, SIZES = "Fast path: small packets", "Fast path: new connections", "Fast path: size of the table"
_AIMS = {TC: ">= 1.15", XDP: ">= 1.5"}
_FLAT, _AIM_OCTETS = "<= 1.3", 300
_BURST = 8  # packets; a sender's first flight is 10 (RFC 6928)


def measure(scale: Scale) -> list[Row]:
    """Return the rows; needs root, and the plugin nat-lb-ebpf."""
    most = scale.connections[-1]
    with conntrack_room(2 * most) as enough, Bed(most + 2 * scale.frames) as bed:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # a packet's way begins and ends on one processor
        return list(_rows(bed, scale, most if enough else scale.connections[-2]))


def _rows(bed: Bed, scale: Scale, most: int) -> Iterator[Row]:
    yield from _new_connections(bed, scale)
    programs = Programs(bed)
    rates: dict[int, Samples] = {}
    bursts: dict[int, Samples] = {}
    costs: dict[int, Samples] = {}
    filled = 0
    memory = 0.0
    for count in scale.connections:
        bed.establish(TC, filled, count - filled)
        if count <= most:
            before = _unreclaimable()
            bed.establish(KERNEL, filled, count - filled)
            memory = (_unreclaimable() - before) / (count - filled)
        if not filled:
            bed.establish(SLOW, 0, count)
        rates[count] = _rates(bed, scale, count, [PLAIN, TC, XDP] + [KERNEL] * (count <= most), slow=not filled)
        bursts[count] = take({name: _rate(bed, name, count, scale.frames, _BURST) for name in (TC, XDP)}, scale.turns)
        costs[count] = programs.measure(scale, count)
        filled = count
    yield from _packet_rows(rates, scale, most)
    yield from programs.rows(costs[scale.connections[0]])
    yield from _size_rows(rates, scale)
    yield from _size_rows(bursts, scale, f", bursts of {_BURST}")
    octets = bed.octets_a_connection()
    what = f"memory, room for {bed.room:,} connections"
    ratio = octets / memory if memory > 0 else None  # it is the machine's, of which others may have given some back
    yield Row(SIZES, what, octets, "octets each", KERNEL, memory, ratio, f"<= {_AIM_OCTETS}")


def _rates(bed: Bed, scale: Scale, count: int, names: list[str], *, slow: bool) -> Samples:
    """Return packets a second, and for the sender and receiver alone, too."""
    candidates = {name: _rate(bed, name, count, scale.frames) for name in [BARE, *names]}
    if slow:
        candidates[SLOW] = _rate(bed, SLOW, count, scale.frames // 10)
    return take(candidates, scale.turns)


def _rate(bed: Bed, name: str, count: int, how_many: int, burst: int = 1) -> Callable[[], float]:
    order = Order(ACK, count=count, at_random=True, burst=burst, to=RIP if name == PLAIN else VIP)
    return lambda: how_many / bed.send(name, order, how_many).processor


def _new_connections(bed: Bed, scale: Scale) -> list[Row]:
    many = scale.frames

    def opener(name: str) -> Callable[[], float]:
        def opened() -> float:
            bed.forget()
            return many / bed.send(name, Order(SYN, count=many), many).processor

        return opened

    samples = take({name: opener(name) for name in (KERNEL, TC, XDP)}, scale.turns)
    bed.forget()
    return [samples.row(OPENED, name, "connections/s", name, KERNEL, ">= 1") for name in (TC, XDP)]


def _packet_rows(rates: dict[int, Samples], scale: Scale, most: int) -> Iterator[Row]:
    for count, samples in rates.items():
        base = KERNEL if count <= most else PLAIN
        for name in (PLAIN, SLOW, TC, XDP):
            if name in samples:
                aim = _AIMS.get(name, "") if base == KERNEL else ""
                yield samples.row(PACKETS, f"{name}, {count:,} connections", "packets/s", name, base, aim)
    first = rates[scale.connections[0]]
    for name in (PLAIN, TC, XDP):
        own, other = (first.difference(each, BARE, lambda rate: 1e9 / rate) for each in (name, KERNEL))
        yield Row(PACKETS, f"{name}: the director's processor time a packet", own, "ns", KERNEL, other, own / other)


def _size_rows(rates: dict[int, Samples], scale: Scale, how: str = "") -> Iterator[Row]:
    first, *others = scale.connections
    for name in (TC, XDP, KERNEL):
        for count in others:
            if name in rates[count]:
                small, large = (1e9 / rates[each].median(name) for each in (first, count))
                what = f"{name}: one packet's whole way, {count:,} connections{how}"
                aim = _FLAT if name != KERNEL else ""
                yield Row(SIZES, what, large, "ns", f"{first:,} connections", small, large / small, aim)


def _unreclaimable() -> int:
    """Return the memory that the kernel has in use for its own objects, in octets."""
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return int(lines["SUnreclaim"].split()[0]) * 1024
