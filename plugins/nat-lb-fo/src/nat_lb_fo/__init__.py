"""Weighted failover: everything goes to the usable real server of the highest weight.

The others stand by. When the heaviest server is quiesced or overloaded the next one gets every new connection, until
the heaviest is usable again. Between equals the first in the order of the file is chosen.
"""

from __future__ import annotations

from collections.abc import Iterable

from nat_lb.api import Heaviest, Scheduler, hookimpl


class WeightedFailover(Scheduler):
    """The scheduler "fo"."""

    name = "fo"

    def plan(self) -> Heaviest:
        """Return the order by weight."""
        return Heaviest(self.service.real_servers)


@hookimpl
def nat_lb_register_schedulers() -> Iterable[type[Scheduler]]:
    """Offer "fo"."""
    return [WeightedFailover]
