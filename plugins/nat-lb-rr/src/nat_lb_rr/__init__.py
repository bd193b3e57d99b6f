"""Round robin: every usable real server in turn.

The servers stand in a circle in the order of the configuration file. A new connection goes to the first usable server
after the one that was chosen last. Weights do not matter, except that 0 means quiesced. When the servers change, the
circle goes on where it was: after the last chosen server, or after its nearest predecessor if it is gone.
"""

from __future__ import annotations

from collections.abc import Iterable

from nat_lb.api import Cycle, Scheduler, hookimpl


class RoundRobin(Scheduler):
    """The scheduler "rr"."""

    name = "rr"

    def plan(self) -> Cycle:
        """Return the real servers once each, from where the last plan stopped."""
        servers = list(self.service.real_servers)
        last = self.present_plan
        if not isinstance(last, Cycle):
            return Cycle(servers)
        served = [server for server in last.order[: last.position] if server in servers]
        return Cycle(servers, servers.index(served[-1]) + 1 if served else 0)


@hookimpl
def nat_lb_register_schedulers() -> Iterable[type[Scheduler]]:
    """Offer "rr"."""
    return [RoundRobin]
