"""Locality-based least connections with replication: one virtual address, as many real servers as it needs.

The scheduler remembers for each address that clients connect to the real servers that have its contents, and chooses
among them by least connections for the weight, as "wlc" does. If it remembers none that is usable, or if the choice
has more active connections than its weight while some other server has fewer than half its own weight, it chooses
among all servers, and that one joins the address's servers. An address whose servers have not changed for `expiry`
seconds loses the one with the most connections for its weight, as long as it has more than one: what was popular once
need not stay everywhere.

The newest of an address's servers comes first, and first come wins between equals. Addresses are forgotten as with
"lblc": after `expiry` seconds, sooner if there are more than `size`. A memory is nothing that a plan holds, so this
scheduler is code.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field

from nat_lb.api import Address, FlowKey, LeastLoad, Load, Options, RealServer, Recent, Scheduler, ServiceView, hookimpl


class ReplicationOptions(Options):
    """The table [service.scheduler_options] of "lblcr"."""

    expiry: float = Field(
        default=86400.0,
        gt=0,
        description="Seconds after which an unused address is forgotten, an unchanged set its busiest server.",
    )
    size: int = Field(default=16384, ge=1, description="Addresses above which unused ones are forgotten sooner.")


class Replicas:
    """The servers of one address, the newest first, and when that last changed."""

    def __init__(self, server: RealServer, now: float) -> None:
        self.servers = [server]
        self.changed_at = now

    def add(self, server: RealServer, now: float) -> None:
        """Let a server join if it is not among them."""
        if server not in self.servers:
            self.servers.insert(0, server)
            self.changed_at = now

    def drop_busiest(self, now: float) -> None:
        """Let the server with the most connections for its weight go; quiesced ones stay."""
        busiest: RealServer | None = None
        load = Load.OVERHEAD
        for server in self.servers:
            if not server.weight:
                continue
            if busiest is None or load.of(busiest) * server.weight < load.of(server) * busiest.weight:
                busiest = server
        if busiest is not None:
            self.servers.remove(busiest)
            self.changed_at = now


class Replication(Scheduler):
    """The scheduler "lblcr"."""

    name = "lblcr"
    options = ReplicationOptions

    def __init__(self, service: ServiceView, options: Any = None) -> None:
        self._settings: ReplicationOptions = options or ReplicationOptions()
        self.remembered: Recent[Address, Replicas] = Recent(self._settings.size, self._settings.expiry)
        super().__init__(service, options)

    def changed(self) -> None:
        """Forget the servers that are gone."""
        servers = self.service.real_servers
        for _, replicas in self.remembered:
            replicas.servers = [server for server in replicas.servers if server in servers]
        self.remembered.forget(lambda replicas: not replicas.servers)
        self._least = LeastLoad(servers, weighted=True)
        super().changed()

    def schedule(self, flow: FlowKey) -> RealServer | None:
        """Return the least loaded of the address's servers, or one that joins them."""
        address, now = flow.destination.address, self.service.now
        replicas = self.remembered.get(address, now)
        if replicas is not None:
            server = LeastLoad(replicas.servers, weighted=True).choose(flow)
            if len(replicas.servers) > 1 and now > replicas.changed_at + self._settings.expiry:
                replicas.drop_busiest(now)
            if server is not None and not self._is_too_much_for(server):
                return server
        server = self._least.choose(flow)
        if server is not None and replicas is not None:
            replicas.add(server, now)
        elif server is not None:
            self.remembered.put(address, Replicas(server, now), now)
        return server

    def _is_too_much_for(self, server: RealServer) -> bool:
        """Whether a server has too many connections while another one is nearly idle."""
        return server.active > server.weight and any(s.active * 2 < s.weight for s in self.service.real_servers)


@hookimpl
def nat_lb_register_schedulers() -> Iterable[type[Scheduler]]:
    """Offer "lblcr"."""
    return [Replication]
