"""How long the queue stalls while connections are opened: the garbage collector with Python's thresholds and ours."""

from __future__ import annotations

import gc
import time
from typing import Any, NamedTuple

from nat_lb.io.serve import COLLECTOR
from nat_lb.segment import SYN
from nat_lb.verdict import Stage
from tests.bench.sample import Row, Scale
from tests.bench.traffic import Flows, director

SECTION = "Stalls while connections are opened"
_AGAINST = "Python's thresholds"


class Stalls(NamedTuple):
    """The longest of each kind, milliseconds."""

    collection: float
    packet: float


def measure(scale: Scale) -> list[Row]:
    """Return the worst stalls of each setting; runs in a process of its own."""
    count = scale.connections[-1]
    default = gc.get_threshold()
    theirs, ours = _worst(count, default), _worst(count, COLLECTOR)
    gc.set_threshold(*default)
    return [
        Row(SECTION, what, mine, "ms", _AGAINST, other, mine / other)
        for what, mine, other in (
            (f"longest collection, up to {count:,} connections", ours.collection, theirs.collection),
            (f"longest packet, up to {count:,} connections", ours.packet, theirs.packet),
        )
    ]


def _worst(count: int, thresholds: tuple[int, int, int]) -> Stalls:
    gc.collect()
    gc.set_threshold(*thresholds)
    target, flows, pauses = director(), Flows(count), _Pauses()
    process, clock, worst = target.pipeline.process, time.perf_counter, 0.0
    gc.callbacks.append(pauses)
    for number in range(count):
        data = flows.packet(number, SYN)
        start = clock()
        process(data, 0.0, Stage.BEFORE_ROUTING)
        worst = max(worst, clock() - start)
    gc.collect(0)  # so that there is one, however few the connections
    gc.callbacks.remove(pauses)
    return Stalls(pauses.longest * 1000, worst * 1000)


class _Pauses:
    """Called by the collector at the start and at the end of each collection."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._start = 0.0

    def __call__(self, phase: str, _info: dict[str, Any]) -> None:
        if phase == "start":
            self._start = time.perf_counter()
        else:
            self.longest = max(self.longest, time.perf_counter() - self._start)
