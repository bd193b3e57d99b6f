"""The processor time that a lab's programs take, and the kernel's for their packets.

The law: other programs of the machine do not count, except for packets that the kernel's own threads handle for them.
"""

from __future__ import annotations

import resource
from collections.abc import Iterable, Iterator
from pathlib import Path

from nat_lb.testing.lab import Host

_PROCESSES = Path("/proc")


class Meter:
    """Measures while its block runs: what runs in the hosts' namespaces, and the children that end meanwhile."""

    def __init__(self, hosts: Iterable[Host]) -> None:
        self._namespaces = {Path("/run/netns", host.namespace).stat().st_ino for host in hosts}
        self.seconds = 0.0

    def __enter__(self) -> Meter:
        self._before = self._spent()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = self._spent() - self._before

    def _spent(self) -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime + sum(map(_running_time, self._processes()))

    def _processes(self) -> Iterator[Path]:
        for process in _PROCESSES.glob("[0-9]*"):
            try:
                inside = (process / "ns/net").stat().st_ino in self._namespaces
                if inside or (process / "comm").read_text().startswith("ksoftirqd/"):
                    yield process
            except OSError:
                continue  # ended meanwhile


def _running_time(process: Path) -> float:
    """Return how long all threads of a process have run, seconds; 0 if it is gone."""
    try:
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in (process / "task").iterdir()) / 1e9
    except OSError:
        return 0.0
