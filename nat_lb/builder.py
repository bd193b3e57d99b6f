"""Builder: a configuration turned into virtual services, or into all the objections to it.

The law: everything that can be wrong with a configuration shows here, before anything of it is used, and nothing that
was built for a configuration that is refused is left behind.
"""

from __future__ import annotations

import functools
from typing import Any

from nat_lb.config import Config, ServiceConfig, check_names, parse_options
from nat_lb.errors import ConfigError, NatLbError
from nat_lb.flow import Endpoint
from nat_lb.helper import HelperFactory
from nat_lb.plugins import Registry
from nat_lb.scheduler import Scheduler
from nat_lb.service import RealServer, Tracking, VirtualService


def check(config: Config, source: str, registry: Registry) -> None:
    """Raise ConfigError with every objection that the installed plugins have to a configuration."""
    problems = check_names(
        config,
        source,
        schedulers=registry.schedulers,
        helpers=registry.helpers,
        protocols=registry.trackers,
        timeout_names={name: tracker.timeout_names() for name, tracker in registry.trackers.items()},
        plugins=[plugin.name for plugin in registry.plugins],
    )
    portless = {name for name, tracker in registry.trackers.items() if not tracker.has_ports()}
    problems += [
        f"{source}: {service.where}: connections of protocol {service.protocol} have no ports: they are not balanced, "
        "only expected by helpers. Remove the service."
        for service in config.services
        if service.protocol in portless
    ]
    has_fastpath = bool(registry.manager.hook.nat_lb_make_fastpath.get_hookimpls())
    if config.director.datapath == "ebpf" and not has_fastpath:
        problems.append(
            f'{source}: [director]: datapath "ebpf" needs a plugin that is not installed. Write "nfqueue" or "auto".'
        )
    try:
        for answers in registry.manager.hook.nat_lb_check_config(config=config):
            problems += [f"{source}: {objection}" for objection in answers or ()]
    except Exception as error:
        owner = registry.owner(error)
        problems.append(f"{source}: nat_lb_check_config of {owner} failed: {type(error).__name__}: {error}")
    if problems:
        raise ConfigError(*problems, *(f"{source}: {problem}" for problem in registry.problems))


class Builder:
    """Makes virtual services from one configuration; raises ConfigError, and leaves nothing behind."""

    def __init__(self, config: Config, source: str, registry: Registry) -> None:
        self.config = config
        self.source = source
        self.registry = registry

    def services(self) -> list[VirtualService]:
        """Return all services, ready to run."""
        check(self.config, self.source, self.registry)
        built: list[VirtualService] = []
        problems: list[str] = []
        for service in self.config.services:
            try:
                built.append(self._service(service))
            except ConfigError as error:
                problems += error.problems
        if problems:
            raise ConfigError(*problems)
        return built

    def _service(self, config: ServiceConfig) -> VirtualService:
        tracker = self.registry.trackers[config.protocol]
        timeouts = {
            name: t.seconds(self.config.timeouts, config.timeouts) for name, t in self.registry.trackers.items()
        }
        endpoint = Endpoint(config.address, config.port)
        service = VirtualService(config.name, tracker, endpoint, timeouts.pop(tracker.name))
        service.related = {name: Tracking(self.registry.trackers[name], seconds) for name, seconds in timeouts.items()}
        service.sloppy = self.config.director.sloppy_tcp
        service.persistence = config.persistence
        service.netmask = config.persistence_netmask
        for server in config.real_servers:
            endpoint = Endpoint(server.address, server.port)
            service.add(RealServer(endpoint, server.weight, server.upper_threshold, server.lower_threshold))
        service.helpers = self._helpers(config)
        service.opens_from_inside = any(self.registry.helpers[name].opens_from_inside for name in config.helpers)
        service.scheduler = self._scheduler(service, config, config.scheduler, config.scheduler_options)
        service.fallback.budget = config.scheduler_budget
        if config.fallback_scheduler:
            service.fallback.scheduler = self._scheduler(service, config, config.fallback_scheduler, {})
        return service

    def _scheduler(self, service: VirtualService, config: ServiceConfig, name: str, table: Any) -> Scheduler:
        scheduler = self.registry.schedulers[name]
        where = f"{self.source}: {config.where}: [service.scheduler_options]"
        try:
            return scheduler(service, _options(scheduler, table, where))
        except NatLbError:
            raise
        except Exception as error:
            owner = self.registry.owner_of(scheduler)
            raise ConfigError(
                f'{self.source}: {config.where}: scheduler "{name}" ({owner}) cannot be used: '
                f"{type(error).__name__}: {error}"
            ) from error

    def _helpers(self, config: ServiceConfig) -> dict[str, HelperFactory]:
        """Return the helpers that a service enables, in its order, and then those that they bring with them."""
        helpers: dict[str, HelperFactory] = {name: self._helper(config, name) for name in config.helpers}
        for name in config.helpers:
            options = helpers[name].keywords["options"]  # type: ignore[attr-defined]
            for companion in self.registry.helpers[name].companions:
                helpers.setdefault(companion.name, functools.partial(companion, options=options))
        return helpers

    def _helper(self, config: ServiceConfig, name: str) -> HelperFactory:
        helper = self.registry.helpers[name]
        if helper.protocol != config.protocol:
            raise ConfigError(
                f'{self.source}: {config.where}: helper "{name}" is for {helper.protocol}, '
                f"the service is {config.protocol}. Remove it from helpers."
            )
        where = f"{self.source}: {config.where}: [service.helper_options.{name}]"
        options = _options(helper, config.helper_options.get(name, {}), where)
        return functools.partial(helper, options=options)


def _options(plugin: type[Any], table: Any, where: str) -> Any:
    """Return the validated options of a scheduler or helper class, None if it takes none."""
    if plugin.options is not None:
        return parse_options(plugin.options, table, where)
    if table:
        keys = ", ".join(f'"{key}"' for key in table)
        raise ConfigError(f'{where}: "{plugin.name}" takes no options, found {keys}. Remove the table.')
    return None
