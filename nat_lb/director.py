"""The director: the tables and the pipeline of one configuration, changed to another while packets flow.

The law: a configuration is put in place in one step between two packets; what it has in common with the one before
keeps its connections, counters and scheduler positions.
"""

from __future__ import annotations

import logging

from nat_lb.builder import Builder
from nat_lb.config import Config
from nat_lb.contained import Contained
from nat_lb.errors import SystemFault
from nat_lb.eventlog import EventLog
from nat_lb.fastpath import FastPath
from nat_lb.flow import Endpoint
from nat_lb.lifecycle import Lifecycle
from nat_lb.pipeline import Pipeline
from nat_lb.plugins import Registry
from nat_lb.scheduler import Scheduler
from nat_lb.service import RealServer, VirtualService

log = logging.getLogger("nat_lb")

EVENT_LOG = "nat-lb event log"


def remove_fastpath(registry: Registry, config: Config) -> str | None:
    """Take away what a fast path of an earlier process left behind; return its name, None if no plugin has one.

    Raises SystemFault if this machine does not let it be taken away.
    """
    fastpath: FastPath | None = registry.manager.hook.nat_lb_make_fastpath(config=config)
    if fastpath is None:
        return None
    fastpath.remove()
    return fastpath.name


class Director:
    """Owns the plugins, the tables and the pipeline."""

    def __init__(self, config: Config, source: str, registry: Registry | None = None) -> None:
        self.source = source
        self.registry = registry or Registry(config.plugins.disable)
        services = Builder(config, source, self.registry).services()
        self.config = config
        self._log_events(config.director.log_connections)
        self.lifecycle = Lifecycle(self.registry, config.director.max_connections)
        self.pipeline = Pipeline(self.lifecycle, config.director)
        self.lifecycle.services.replace(services)
        for service in services:
            self._announce_service(service, "added", 0.0)

    def start_fastpath(self, now: float) -> None:
        """Let a fast path carry what it can, if the configuration wants one and there is one.

        Raises SystemFault if there is none and `datapath` insists on it; with "auto" the log says why not.
        """
        wanted = self.config.director.datapath
        if wanted == "nfqueue":
            return
        try:
            fastpath = self.registry.manager.hook.nat_lb_make_fastpath(config=self.config)
            if fastpath is None:
                return
            adopted = self._start(fastpath, now)
        except SystemFault as fault:
            if wanted != "auto":
                raise
            log.warning("no fast path, every packet goes through Python: %s", fault)
            return
        log.info("fast path: %s, %d connections taken over", fastpath.name, adopted)

    def _start(self, fastpath: FastPath, now: float) -> int:
        """Start a fast path; if that fails and the slow path is to do, nothing goes past it."""
        lifecycle = self.lifecycle
        try:
            return lifecycle.start_offload(Contained(fastpath, lifecycle.faults, lifecycle.clock), now)
        except SystemFault:
            if self.config.director.datapath == "auto":
                fastpath.remove()
            raise

    def tick(self, now: float) -> None:
        """Do what time asks for; called about once a second."""
        self.lifecycle.tick(now)

    def reload(self, config: Config, now: float) -> None:
        """Put another configuration in place; raises ConfigError and changes nothing if it cannot be used.

        Plugins are those found at start.
        """
        wanted = Builder(config, self.source, self.registry).services()
        present = {service.key: service for service in self.lifecycle.services}
        # Timeouts and the director's own keys reach into every service.
        alike = (config.director, config.timeouts) == (self.config.director, self.config.timeouts)
        services = []
        for service, its in zip(wanted, config.services, strict=True):
            old = present.pop(service.key, None)
            services.append(service if old is None else self._change(old, service, now))
            if not (alike and its in self.config.services):
                self._announce_service(services[-1], "added" if old is None else "changed", now)
        self._log_events(config.director.log_connections)
        self.lifecycle.listen_anew()
        self.config = config
        self.pipeline.settings = config.director
        self.lifecycle.connections.limit = config.director.max_connections
        self.lifecycle.services.replace(services)
        self.lifecycle.publish()
        for service in present.values():
            self._close(service, service.real_servers, now)
            self._announce_service(service, "removed", now)

    def set_weight(self, service: VirtualService, server: RealServer, weight: int, now: float) -> None:
        """Give a real server another weight until the next reload; 0 drains it."""
        if server.weight == weight:
            return
        server.weight = weight
        for scheduler in (service.scheduler, service.fallback.scheduler):
            if scheduler is not None:
                self._tell(scheduler, service, now)
        self.lifecycle.publish()
        self._announce_server(service, server, "reweighted" if weight else "drained", now)

    def weight_in_file(self, service: VirtualService, server: RealServer) -> int:
        """Return the weight that the configuration gives to a real server."""
        (its,) = (each for each in self.config.services if each.name == service.name)
        (weight,) = (each.weight for each in its.real_servers if (each.address, each.port) == server.endpoint)
        return weight

    def _log_events(self, wanted: bool) -> None:
        manager = self.registry.manager
        if wanted and not manager.has_plugin(EVENT_LOG):
            manager.register(EventLog(), EVENT_LOG)
        elif not wanted and manager.has_plugin(EVENT_LOG):
            manager.unregister(name=EVENT_LOG)

    def _change(self, old: VirtualService, new: VirtualService, now: float) -> VirtualService:
        """Bring a running service to what the new configuration says; real servers that stay keep their connections."""
        before = {server.endpoint: (server, server.weight) for server in old.real_servers}
        old.name, old.sloppy, old.helpers = new.name, new.sloppy, new.helpers
        old.opens_from_inside = new.opens_from_inside
        old.persistence, old.netmask = new.persistence, new.netmask
        self._retime(old, new)
        servers = []
        for server in new.real_servers:
            kept, _ = before.get(server.endpoint, (server, 0))
            kept.configure(server.weight, server.upper_threshold, server.lower_threshold)
            servers.append(kept)
        old.real_servers[:] = servers
        self._reschedule(old, new, [(s, s.weight) for s in servers] != list(before.values()), now)
        self._announce_servers(old, before, now)
        return old

    def _retime(self, service: VirtualService, wanted: VirtualService) -> None:
        """Give a service another one's timeouts; they hold for the connections that it has, too."""
        changed = False
        for present, new in zip(service.trackings, wanted.trackings, strict=True):
            changed |= present.timeouts != new.timeouts
            present.timeouts = new.timeouts
        if not changed:
            return
        for connection in self.lifecycle.connections:
            if connection.service is service:
                self.lifecycle.connections.arm(connection, connection.deadline)

    def _reschedule(self, old: VirtualService, new: VirtualService, changed: bool, now: float) -> None:
        """Put the new configuration's scheduler and fallback in place, as far as they differ."""
        old.fallback.budget = new.fallback.budget
        scheduler = self._successor(old.scheduler, new.scheduler, old, changed, now)
        if scheduler is not old.scheduler:
            old.scheduler = scheduler
            old.fallback.trust()
        old.fallback.scheduler = self._successor(old.fallback.scheduler, new.fallback.scheduler, old, changed, now)

    def _successor(
        self, old: Scheduler | None, new: Scheduler | None, service: VirtualService, changed: bool, now: float
    ) -> Scheduler | None:
        """Keep a scheduler whose name and options stay, so that its turn goes on; otherwise take the new one."""
        if new is None:
            return None
        if old is None or type(old) is not type(new) or old.settings != new.settings:
            old, changed = new, True
            old.service = service
        if changed:
            self._tell(old, service, now)
        return old

    def _tell(self, scheduler: Scheduler, service: VirtualService, now: float) -> None:
        """Let a scheduler know that its service's real servers are not what they were."""
        offload = self.lifecycle.offload
        if offload is not None:
            offload.fastpath.settle(service)
        try:
            scheduler.changed()
        except Exception as error:
            self.lifecycle.faults.report(f"{scheduler.name}.changed", service.name, error, now)

    def _close(self, service: VirtualService, servers: list[RealServer], now: float) -> None:
        """Close every connection of a service's real servers that are gone."""
        gone = set(map(id, servers))
        closing = [c for c in self.lifecycle.connections if id(c.real_server) in gone] if gone else []
        if self.lifecycle.offload is not None:
            places = {(service.key, server.endpoint): (service, server) for server in servers}
            closing += self.lifecycle.offload.carried_by(places)
        for connection in closing:
            self.lifecycle.close(connection, "removed", now)

    def _announce_service(self, service: VirtualService, change: str, now: float) -> None:
        self.lifecycle.announce("nat_lb_service_changed", service, now, service=service, change=change)

    def _announce_servers(
        self, service: VirtualService, before: dict[Endpoint, tuple[RealServer, int]], now: float
    ) -> None:
        """Say what became of a service's real servers; the connections of those that are gone are closed first."""
        gone = {endpoint: server for endpoint, (server, _) in before.items() if server not in service.real_servers}
        self._close(service, list(gone.values()), now)
        changes = [(server, "removed") for server in gone.values()]
        for server in service.real_servers:
            if server.endpoint not in before:
                changes.append((server, "added"))
            elif server.weight != before[server.endpoint][1]:
                changes.append((server, "reweighted"))
        for server, reason in changes:
            self._announce_server(service, server, reason, now)

    def _announce_server(self, service: VirtualService, server: RealServer, reason: str, now: float) -> None:
        self.lifecycle.announce(
            "nat_lb_real_server_changed", server, now, service=service, real_server=server, reason=reason
        )
