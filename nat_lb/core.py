"""The core's own plugin: its trackers, its answers to the deciding hooks, its objections to a configuration.

The law: what the core does by default it does through the hooks that anybody else would use, and last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from nat_lb import __version__ as VERSION
from nat_lb.helper import Peers
from nat_lb.hookspecs import hookimpl
from nat_lb.trackers import Tcp, Udp

if TYPE_CHECKING:
    from nat_lb.config import Config
    from nat_lb.connection import Connection
    from nat_lb.flow import FlowKey
    from nat_lb.helper import Helper
    from nat_lb.service import RealServer, VirtualService
    from nat_lb.tracker import Tracker

__all__ = ["VERSION"]


@hookimpl
def nat_lb_register_trackers() -> Iterable[type[Tracker]]:
    """Offer TCP and UDP."""
    return [Tcp, Udp]


@hookimpl(trylast=True)
def nat_lb_schedule(service: VirtualService, flow: FlowKey) -> RealServer | None:
    """Ask the scheduler that the configuration names, or its fallback while that one decides."""
    scheduler = service.deciding
    return scheduler.schedule(flow) if scheduler is not None else None


@hookimpl(trylast=True)
def nat_lb_bind_helper(connection: Connection) -> Helper | None:
    """Make the helper that an announcement asked for, or the first that the configuration enables for the service."""
    helpers = connection.service.helpers
    name = connection.helper or next(iter(helpers), "")
    make = helpers.get(name)
    return make(Peers(connection.client, connection.virtual, connection.real)) if make is not None else None


@hookimpl
def nat_lb_check_config(config: Config) -> Iterator[str]:
    """Object to a VIP that is a real server's address too: its packets could not be told apart."""
    virtual = {service.address: service for service in config.services}
    for service in config.services:
        for server in service.real_servers:
            other = virtual.get(server.address)
            if other is not None:
                yield (
                    f"{service.where}: real server {server.address} is the virtual address of {other.where}. "
                    "Give the real server an address of its own."
                )
