"""Shortest expected delay: the usable real server where the new connection waits least.

If a server works through its connections at a rate in proportion to its weight, a new one expects to wait for (active
connections + 1) / weight. The server for which that is least is chosen, so a fast server fills up to its weight before
a slow one gets its first connection; connections that wind down do not count. Between equals the first in the order of
the file is chosen.
"""

from __future__ import annotations

from collections.abc import Iterable

from nat_lb.api import LeastLoad, Load, Scheduler, hookimpl


class ShortestExpectedDelay(Scheduler):
    """The scheduler "sed"."""

    name = "sed"

    def plan(self) -> LeastLoad:
        """Return the comparison of expected delays."""
        return LeastLoad(self.service.real_servers, Load.NEXT, weighted=True)


@hookimpl
def nat_lb_register_schedulers() -> Iterable[type[Scheduler]]:
    """Offer "sed"."""
    return [ShortestExpectedDelay]
