"""Power of two choices: of two real servers drawn by lot, the less loaded.

Two draws, each a whole number from 0 to the sum of the usable servers' weights, pick a server each: going through the
servers in the order of the file and taking their weights off a draw, the one at which nothing is left of it. (So the
first server has one chance more than its weight.) Both may pick the same. The second choice is taken if its load, as
"wlc" reckons it, is less for its weight than the first's, else the first.

It comes close to the evenness of "wlc", and many directors that do not know of each other's connections will not all
prefer the same server. Chance is what a plan cannot hold, so this scheduler is code.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import Any

from pydantic import Field

from nat_lb.api import FlowKey, Load, Options, RealServer, Scheduler, ServiceView, hookimpl


class TwoChoicesOptions(Options):
    """The table [service.scheduler_options] of "twos"."""

    seed: int | None = Field(default=None, description="Makes the draws the same in every run; without it they differ.")


def drawn(servers: Sequence[RealServer], draw: int) -> RealServer:
    """Return the server that a draw from 0 to the sum of the weights stands for."""
    for server in servers:
        draw -= server.weight
        if draw <= 0:
            return server
    raise ValueError(f"the draw is {draw} above the sum of the weights")


class TwoChoices(Scheduler):
    """The scheduler "twos"."""

    name = "twos"
    options = TwoChoicesOptions

    def __init__(self, service: ServiceView, options: Any = None) -> None:
        super().__init__(service, options)
        self.random = Random(options.seed if options is not None else None)

    def schedule(self, flow: FlowKey) -> RealServer | None:
        """Draw two servers and return the better one."""
        servers = [server for server in self.service.real_servers if server.usable]
        if not servers:
            return None
        total = sum(server.weight for server in servers)
        first = drawn(servers, self.random.randint(0, total))
        second = drawn(servers, self.random.randint(0, total))
        load = Load.OVERHEAD
        return second if load.of(first) * second.weight > load.of(second) * first.weight else first


@hookimpl
def nat_lb_register_schedulers() -> Iterable[type[Scheduler]]:
    """Offer "twos"."""
    return [TwoChoices]
