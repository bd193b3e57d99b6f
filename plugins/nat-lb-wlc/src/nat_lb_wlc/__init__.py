"""Weighted least connections: the usable real server with the least load for its weight.

A server's load is 256 times its active connections plus all of its connections, so that one active connection
outweighs 255 that wind down. Loads divided by weights are compared, so that of weights 1 and 3 the second server holds
three connections for each of the first. Between equals the first in the order of the file is chosen.
"""

from __future__ import annotations

from collections.abc import Iterable

from nat_lb.api import LeastLoad, Scheduler, hookimpl


class WeightedLeastConnections(Scheduler):
    """The scheduler "wlc"."""

    name = "wlc"

    def plan(self) -> LeastLoad:
        """Return the comparison of loads by weight."""
        return LeastLoad(self.service.real_servers, weighted=True)


@hookimpl
def nat_lb_register_schedulers() -> Iterable[type[Scheduler]]:
    """Offer "wlc"."""
    return [WeightedLeastConnections]
