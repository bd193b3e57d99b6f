"""Least connections: the usable real server with the least load.

A server's load is 256 times its active connections plus all of its connections, so that one active connection
outweighs 255 that wind down; weights do not matter, except that 0 means quiesced. Between equals the first in the
order of the file is chosen.
"""

from __future__ import annotations

from collections.abc import Iterable

from nat_lb.api import LeastLoad, Scheduler, hookimpl


class LeastConnections(Scheduler):
    """The scheduler "lc"."""

    name = "lc"

    def plan(self) -> LeastLoad:
        """Return the comparison of loads, weights left out."""
        return LeastLoad(self.service.real_servers)


@hookimpl
def nat_lb_register_schedulers() -> Iterable[type[Scheduler]]:
    """Offer "lc"."""
    return [LeastConnections]
