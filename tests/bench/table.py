"""What the connection table costs: memory, packets at each size, timers, and a connection's whole life.

The law: packets are picked at random over all connections, so that a large table misses the caches as it would on a
router.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path

from nat_lb.connection import Connection
from nat_lb.director import Director
from nat_lb.io.serve import COLLECTOR
from nat_lb.segment import ACK, FIN, SYN
from nat_lb.verdict import Stage
from tests.bench.sample import Row, Scale, take
from tests.bench.traffic import Flows, cost, director, fill, forwarded

SECTION = "The connection table"
_PLAIN = "10 packets of known connections"
_AIM_BYTES = 500
_ESTABLISHED = 900


def measure(scale: Scale) -> list[Row]:
    """Return the rows; runs in a process of its own, whose memory it measures."""
    gc.set_threshold(*COLLECTOR)
    tables = {count: (director(), Flows(count)) for count in scale.connections}
    memory = 0.0
    for target, flows in tables.values():  # the largest last
        before = _resident()
        fill(target, flows)
        memory = (_resident() - before) / flows.count
    largest = tables[scale.connections[-1]][0]
    return [*_memory(memory, largest), *_sizes(scale, tables), *_timers(largest), *_lives(scale)]


def _resident() -> int:
    """Return the process's resident memory in octets."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) * 1024


def _memory(measured: float, target: Director) -> list[Row]:
    connections = target.lifecycle.connections
    count = len(connections)
    one: Connection = next(iter(connections))
    parts = {
        "connection": sys.getsizeof(one),  # with the collector's header
        "two keys": sys.getsizeof(one.key) + sys.getsizeof(one.reply_key),
        "table": sys.getsizeof(connections.flows) // count,
        "time of last packet": sys.getsizeof(one.last_seen),
        "timer": 8,  # its place in a bucket; both buckets of its life are shared by many
    }
    detail = ", ".join(f"{part} {size}" for part, size in parts.items())
    what = f"memory, {count:,} connections (growth of the process)"
    return [
        Row(SECTION, what, measured, "octets each", aim=f"<= {_AIM_BYTES}"),
        Row(SECTION, f"of which {detail}", sum(parts.values()), "octets each"),
    ]


def _sizes(scale: Scale, tables: dict[int, tuple[Director, Flows]]) -> list[Row]:
    def sampler(target: Director, flows: Flows) -> Callable[[], float]:
        return lambda: cost(target, flows.random(scale.packets), 1.0, Stage.BEFORE_ROUTING)

    samples = take({f"{count:,} connections": sampler(*table) for count, table in tables.items()}, scale.turns)
    first, *others = (f"{count:,} connections" for count in tables)
    aims = {others[-1]: "about 1"}
    return [samples.row(SECTION, f"one packet, {name}", "µs", name, first, aims.get(name, "")) for name in others]


def _timers(target: Director) -> list[Row]:
    count = len(target.lifecycle.connections)
    idle = _spent(target, 2.0)
    _spent(target, 64.0)  # the timers of SYN_RECV, which look again at the end of ESTABLISHED
    closed = _spent(target, _ESTABLISHED + 2.0)
    if target.lifecycle.connections.flows:
        raise RuntimeError(f"bench: {len(target.lifecycle.connections)} connections did not expire")
    return [
        Row(SECTION, f"one tick with nothing due, {count:,} connections", idle, "µs"),
        Row(SECTION, f"expiry, {count:,} connections at once", closed / count, "µs each"),
    ]


def _spent(target: Director, now: float) -> float:
    start = time.perf_counter()
    target.tick(now)
    return (time.perf_counter() - start) * 1e6


def _lives(scale: Scale) -> list[Row]:
    """Compare a short connection's life, ten packets and four states, with as many packets of known connections."""
    target, known = director(), Flows(1000)
    fill(target, known)
    count = max(scale.packets // 10, 10)
    short = Flows(count)
    clock = iter(range(0, 1_000_000, 100))

    def plain() -> float:
        return 10 * cost(target, known.mixed(count * 10), 1.0, Stage.ANY)

    def lives() -> float:
        fresh, now = director(), float(next(clock))
        made = [_life(short, number) for number in range(count)]
        process = fresh.pipeline.process
        start = time.perf_counter()
        for packets in made:
            for data in packets:
                process(data, now, Stage.ANY)
        spent = time.perf_counter() - start
        forwarded(process(made[0][-1], now, Stage.ANY))
        return (spent + _spent(fresh, now + 100.0) / 1e6) / count * 1e6

    samples = take({"lives": lives, _PLAIN: plain}, scale.turns)
    what = "a connection's life: opened, 10 packets, 4 changes of state, expired"
    return [samples.row(SECTION, what, "µs", "lives", _PLAIN)]


def _life(flows: Flows, number: int) -> list[bytes]:
    syn, ack, fin = (flows.packet(number, flags) for flags in (SYN, ACK, FIN | ACK))
    their_syn, their_ack, their_fin = (flows.packet(number, flags, reply=True) for flags in (SYN | ACK, ACK, FIN | ACK))
    return [syn, their_syn, ack, ack, their_ack, their_ack, ack, their_fin, fin, their_ack]
