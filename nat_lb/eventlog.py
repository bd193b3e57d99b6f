"""The event log: a line for each thing that happens to a connection, a service or a real server.

The law: it sees only what the announcing hooks tell anybody.  Registered when `[director] log_connections = true`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from nat_lb.hookspecs import hookimpl

if TYPE_CHECKING:
    from nat_lb.connection import Connection
    from nat_lb.service import RealServer, VirtualService

log = logging.getLogger("nat_lb.events")


def _told(connection: Connection, what: str) -> None:
    log.info("%s: %s %s - %s", connection.service.name, connection.tracking.tracker.name, connection, what)


class EventLog:
    """The plugin object."""

    @hookimpl
    def nat_lb_connection_opened(self, connection: Connection) -> None:
        """Log the choice."""
        _told(connection, "opened" if connection.parent is None else f"opened, announced by {connection.parent.client}")

    @hookimpl
    def nat_lb_connection_state_changed(self, connection: Connection, old_state: str, new_state: str) -> None:
        """Log the step."""
        _told(connection, f"{old_state} to {new_state}")

    @hookimpl
    def nat_lb_connection_closed(self, connection: Connection, reason: str) -> None:
        """Log the end."""
        _told(connection, f"closed: {reason}")

    @hookimpl
    def nat_lb_service_changed(self, service: VirtualService, change: str) -> None:
        """Log what a start or a reload did to a service."""
        log.info("%s: %s %s - %s", service.name, service.tracker.name, service.endpoint, change)

    @hookimpl
    def nat_lb_real_server_changed(self, service: VirtualService, real_server: RealServer, reason: str) -> None:
        """Log what a reload did to a real server."""
        log.info("%s: real server %s, weight %d - %s", service.name, real_server, real_server.weight, reason)
