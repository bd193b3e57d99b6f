"""Samples taken in turns.

The law: what is compared is measured in one run, in turns (A B A B ...), and only ratios within a turn are judged: a
machine that others use is now fast, now slow, but hardly within one turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple


class Row(NamedTuple):
    """One line of the result: nat-lb's figure, the one it is compared with, and their ratio."""

    section: str
    what: str
    value: float
    unit: str
    against: str = ""
    other: float | None = None
    ratio: float | None = None
    aim: str = ""


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    turns: int = 9
    packets: int = 20_000  # a sample in process
    queued: int = 4_000  # a sample through the kernel's queue
    connections: tuple[int, ...] = (1_000, 100_000, 1_000_000)
    seconds: int = 1  # a sample of a load generator
    loads: int = 5  # turns of load generators, which take longest
    bulk_megabytes: int = 8
    frames: int = 50_000  # a sample of packets, or of new connections, in the kernel
    runs: int = 100_000  # of a program by itself, a sample


FULL = Scale()
TINY = Scale(
    turns=2, loads=1, packets=300, queued=200, connections=(100, 300, 1_000), bulk_megabytes=1, frames=1_000, runs=2_000
)


class Samples:
    """What `take` measured, by candidate."""

    def __init__(self, samples: Mapping[str, list[float]]) -> None:
        self._samples = samples

    def median(self, name: str) -> float:
        """Return the median of one candidate."""
        return median(self._samples[name])

    def ratio(self, name: str, base: str) -> float:
        """Return the median of the turns' ratios."""
        return median(a / b for a, b in zip(self._samples[name], self._samples[base], strict=True))

    def difference(self, name: str, base: str, of: Callable[[float], float] = float) -> float:
        """Return the median of what is more, within a turn, than the base; `of` is taken of both before."""
        return median(of(a) - of(b) for a, b in zip(self._samples[name], self._samples[base], strict=True))

    def __contains__(self, name: str) -> bool:
        return name in self._samples

    def row(self, section: str, what: str, unit: str, name: str, base: str, aim: str = "") -> Row:
        """Return the comparison of `name` with `base`."""
        return Row(section, what, self.median(name), unit, base, self.median(base), self.ratio(name, base), aim)


def take(candidates: Mapping[str, Callable[[], float]], turns: int) -> Samples:
    """Measure every candidate in turn, `turns` times after one turn to warm up."""
    samples: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(turns + 1):
        for name, measure in candidates.items():
            value = measure()
            if turn:
                samples[name].append(value)
    return Samples(samples)
