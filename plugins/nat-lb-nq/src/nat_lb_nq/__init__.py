"""Never queue: an idle real server at once, else the shortest expected delay.

The first usable server in the order of the file that has no active connection is chosen, however slow it is: the new
connection need not queue there. Only when no usable server is idle, the one with the least (active connections + 1) /
weight is chosen, as "sed" does; between equals the first in the order of the file.
"""

from __future__ import annotations

from collections.abc import Iterable

from nat_lb.api import LeastLoad, Load, Scheduler, hookimpl


class NeverQueue(Scheduler):
    """The scheduler "nq"."""

    name = "nq"

    def plan(self) -> LeastLoad:
        """Return the comparison of expected delays, idle servers first."""
        return LeastLoad(self.service.real_servers, Load.NEXT, weighted=True, idle_first=True)


@hookimpl
def nat_lb_register_schedulers() -> Iterable[type[Scheduler]]:
    """Offer "nq"."""
    return [NeverQueue]
