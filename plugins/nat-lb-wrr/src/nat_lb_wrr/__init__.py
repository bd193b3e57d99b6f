"""Weighted round robin: in turn, and as often as the weight says.

One rotation goes down level by level from the highest weight in steps of the weights' greatest common divisor; at
each level every server whose weight reaches it gets one connection, in the order of the file. Weights 4, 3, 2 give A
AB ABC ABC. The heavy servers come first in a rotation: this is the rotation of IPVS, not the smooth one of some
proxies. A change of servers or weights starts a new rotation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import gcd

from nat_lb.api import Cycle, FlowKey, RealServer, Scheduler, hookimpl

LONGEST_PLAN = 100_000  # entries; a longer rotation is walked instead of written down


def rotation(servers: Sequence[RealServer]) -> Iterator[RealServer]:
    """Yield one whole rotation; the servers of weight 0 are not in it."""
    step = gcd(*(server.weight for server in servers)) or 1
    highest = max((server.weight for server in servers), default=0)
    for level in range(highest, 0, -step):
        yield from (server for server in servers if server.weight >= level)


def walk(servers: Sequence[RealServer]) -> Iterator[RealServer]:
    """Yield the usable servers for ever, past levels that none of them reaches; ends when there is none."""
    step, level = gcd(*(server.weight for server in servers)) or 1, 0
    while reached := max((server.weight for server in servers if server.usable), default=0):
        level = min(level or reached, reached)
        yield from (server for server in servers if server.weight >= level and server.usable)
        level -= step


class WeightedRoundRobin(Scheduler):
    """The scheduler "wrr"."""

    name = "wrr"

    def plan(self) -> Cycle | None:
        """Return one rotation, or None if it is too long to write down."""
        servers = self.service.real_servers
        self._walk = walk(servers)
        step = gcd(*(server.weight for server in servers)) or 1
        if sum(server.weight for server in servers) // step > LONGEST_PLAN:
            return None
        return Cycle(tuple(rotation(servers)))

    def schedule(self, flow: FlowKey) -> RealServer | None:
        """Carry out the plan, or take the next usable server of a rotation that is too long for one."""
        if self.present_plan is not None:
            return self.present_plan.choose(flow)
        chosen = next(self._walk, None)
        if chosen is None:  # nobody was usable; somebody may be by now
            self._walk = walk(self.service.real_servers)
            chosen = next(self._walk, None)
        return chosen


@hookimpl
def nat_lb_register_schedulers() -> Iterable[type[Scheduler]]:
    """Offer "wrr"."""
    return [WeightedRoundRobin]
