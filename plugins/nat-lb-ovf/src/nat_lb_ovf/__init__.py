"""Weighted overflow: fill the heaviest real server, then the next.

The usable server of the highest weight takes every new connection while its active connections do not exceed its
weight, so it holds weight + 1 of them when it is full. What it cannot take spills over to the next lighter one, and
when all are full the client is refused. Between equals the first in the order of the file is chosen.
"""

from __future__ import annotations

from collections.abc import Iterable

from nat_lb.api import Heaviest, Scheduler, hookimpl


class WeightedOverflow(Scheduler):
    """The scheduler "ovf"."""

    name = "ovf"

    def plan(self) -> Heaviest:
        """Return the order by weight, past those that are full."""
        return Heaviest(self.service.real_servers, spill=True)


@hookimpl
def nat_lb_register_schedulers() -> Iterable[type[Scheduler]]:
    """Offer "ovf"."""
    return [WeightedOverflow]
