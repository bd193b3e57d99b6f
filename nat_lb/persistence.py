"""Persistence: a client, or a network of clients, keeps the real server that it was given first.

The law: a template remembers the choice from the first connection until the service's `persistence` seconds after the
last connection was opened through it; while any of its connections is alive it waits another minute at a time. A
template whose real server left the service or was quiesced is no longer followed.
"""

from __future__ import annotations

from collections.abc import Iterable

from nat_lb.connection import LINGER, Connection
from nat_lb.flow import Address
from nat_lb.service import RealServer, VirtualService


class Template:
    """One remembered choice."""

    __slots__ = ("children", "deadline", "real_server")

    def __init__(self, real_server: RealServer) -> None:
        self.real_server = real_server
        self.children = 0
        self.deadline = 0.0


class PersistenceTable:
    """The templates of all services."""

    def __init__(self) -> None:
        self._templates: dict[tuple[VirtualService, bytes], Template] = {}
        self._of: dict[bytes, Template] = {}  # by the keys of the connections that are alive

    def __len__(self) -> int:
        return len(self._templates)

    def remembered(self, service: VirtualService, client: Address, now: float) -> RealServer | None:
        """Return the real server that the client was given before, if it may still be used."""
        template = self._templates.get((service, service.client_network(client)))
        if template is None or (template.deadline <= now and not template.children):
            return None
        server = template.real_server
        return server if server.weight > 0 and server in service.real_servers else None

    def remember(self, connection: Connection, now: float) -> None:
        """Note the choice made for a connection that was just opened."""
        service = connection.service
        key = (service, service.client_network(connection.client.address))
        template = self._templates.get(key)
        if template is None or template.real_server is not connection.real_server:
            template = self._templates[key] = Template(connection.real_server)
        template.deadline = now + service.persistence
        template.children += 1
        self._of[connection.key] = template

    def closed(self, connection: Connection) -> None:
        """Note that a connection left the table."""
        template = self._of.pop(connection.key, None)
        if template is not None:
            template.children -= 1

    def recount(self, alive: Iterable[bytes]) -> None:
        """Forget the connections that are not among these, by their keys: ends of some may have gone unnoticed."""
        present = set(alive)
        for key in [key for key in self._of if key not in present]:
            self._of.pop(key).children -= 1

    def expire(self, now: float) -> None:
        """Forget the templates whose time is over; called about once a minute, at the cost of a look at each."""
        for key, template in list(self._templates.items()):
            if template.deadline <= now:
                if not template.children:
                    del self._templates[key]
                else:
                    template.deadline = now + LINGER
