"""Locality-based least connections: one virtual address, one real server, while that is not too much for it.

The scheduler remembers which real server it gave to an address that clients connect to, and gives it again: that
server has the contents in its cache. It chooses anew, by least connections for the weight as "wlc" does, if it
remembers none, if the remembered one is gone or not usable, or if that has more active connections than its weight
while some other server has fewer than half its own weight.

An address that nobody connected to for `expiry` seconds is forgotten. If more than `size` are remembered, those not
used for six minutes are forgotten too, little by little; at one and a half times `size` no new one is remembered,
and it is chosen for by least connections each time. A memory is nothing that a plan holds, so this scheduler is code.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field

from nat_lb.api import Address, FlowKey, LeastLoad, Options, RealServer, Recent, Scheduler, ServiceView, hookimpl


class LocalityOptions(Options):
    """The table [service.scheduler_options] of "lblc"."""

    expiry: float = Field(default=86400.0, gt=0, description="Seconds after which an unused address is forgotten.")
    size: int = Field(default=16384, ge=1, description="Addresses above which unused ones are forgotten sooner.")


class LocalityBasedLeastConnections(Scheduler):
    """The scheduler "lblc"."""

    name = "lblc"
    options = LocalityOptions

    def __init__(self, service: ServiceView, options: Any = None) -> None:
        settings: LocalityOptions = options or LocalityOptions()
        self.remembered: Recent[Address, RealServer] = Recent(settings.size, settings.expiry)
        super().__init__(service, options)

    def changed(self) -> None:
        """Forget the servers that are gone."""
        servers = self.service.real_servers
        self.remembered.forget(lambda server: server not in servers)
        self._least = LeastLoad(servers, weighted=True)
        super().changed()

    def schedule(self, flow: FlowKey) -> RealServer | None:
        """Return the address's server, or choose one for it."""
        address, now = flow.destination.address, self.service.now
        server = self.remembered.get(address, now)
        if server is None or not server.usable or self._should_move(server):
            server = self._least.choose(flow)
            if server is not None:
                self.remembered.put(address, server, now)
        return server

    def _should_move(self, server: RealServer) -> bool:
        """Whether a server has too many connections while another one is nearly idle."""
        return server.active > server.weight and any(s.active * 2 < s.weight for s in self.service.real_servers)


@hookimpl
def nat_lb_register_schedulers() -> Iterable[type[Scheduler]]:
    """Offer "lblc"."""
    return [LocalityBasedLeastConnections]
