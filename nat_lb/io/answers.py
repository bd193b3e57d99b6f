"""What a director answers at its control socket, command by command.

The law: an order takes the way that a reload takes, and holds until the next one; arguments that no command has, and
names that nothing has, are refused in words that name what there is.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

from nat_lb import __version__, report
from nat_lb.config.phrases import did_you_mean
from nat_lb.connection import Connection
from nat_lb.director import Director
from nat_lb.errors import NatLbError
from nat_lb.io.control import Answer, Command
from nat_lb.io.nfqueue import QueueStatistics
from nat_lb.service import RealServer, VirtualService

log = logging.getLogger("nat_lb")


class Answers:
    """The commands of one director; `statistics` reads its queue's counters once there is a queue."""

    def __init__(self, director: Director, clock: Callable[[], float] = time.monotonic) -> None:
        self.statistics: Callable[[], QueueStatistics] | None = None
        self._director = director
        self._clock = clock
        self._since = datetime.now(UTC)
        self._started = clock()

    @property
    def commands(self) -> Mapping[str, Command]:
        """The commands by name."""
        return {
            "status": self.status,
            "connections": self.connections,
            "real_server": self.real_server,
            "drain": self.drain,
            "restore": self.restore,
        }

    def status(self, arguments: dict[str, Any]) -> Answer:
        """Tell each service, then the director itself."""
        _texts(arguments)
        lifecycle = self._director.lifecycle
        for service in report.services(lifecycle):
            yield [service]
        refused = self._director.pipeline.refused
        return {
            "version": __version__,
            "since": self._since.isoformat(timespec="seconds"),
            "uptime": round(self._clock() - self._started, 3),
            "process": os.getpid(),
            "configuration": self._director.source,
            "datapath": report.datapath(lifecycle),
            "fastpath": report.fastpath(lifecycle),
            "queue": dataclasses.asdict(self.statistics()) if self.statistics is not None else None,
            "refused": {reason.value: count for reason, count in refused.most_common()},
            **report.tables(lifecycle),
            "helpers": report.helpers(lifecycle),
            "faults": report.faults(lifecycle),
        }

    def connections(self, arguments: dict[str, Any]) -> Answer:
        """Tell the connections, of one "service" or one "client" (an address) if asked; the result is their number."""
        name, client = _texts(arguments, "service", "client")
        if name is not None:
            self._service(name)
        told = 0
        for part in report.connections_in_parts(self._director.lifecycle, self._clock, _filter(name, client)):
            told += len(part)
            yield part
        return {"connections": told}

    def real_server(self, arguments: dict[str, Any]) -> Answer:
        """Tell one real server ("real") of a "service"."""
        service, server = self._find(arguments)
        offload = self._director.lifecycle.offload
        if offload is not None:
            offload.refresh(service)
        yield []
        return {"service": service.name, **report.real_server(server)}

    def drain(self, arguments: dict[str, Any]) -> Answer:
        """Give a real server the weight 0, then as `real_server`."""
        self._set_weight(*self._find(arguments), 0)
        return (yield from self.real_server(arguments))

    def restore(self, arguments: dict[str, Any]) -> Answer:
        """Give a real server the weight that the configuration says, then as `real_server`."""
        service, server = self._find(arguments)
        self._set_weight(service, server, self._director.weight_in_file(service, server))
        return (yield from self.real_server(arguments))

    def _set_weight(self, service: VirtualService, server: RealServer, weight: int) -> None:
        if server.weight != weight:
            log.info("%s: real server %s has weight %d instead of %d now", service, server, weight, server.weight)
            self._director.set_weight(service, server, weight, self._clock())

    def _service(self, name: str) -> VirtualService:
        by_name = {service.name: service for service in self._director.lifecycle.services}
        if name not in by_name:
            raise NatLbError(
                f'no service is called "{name}". There are: {_listed(by_name)}.{did_you_mean(name, by_name)}'
            )
        return by_name[name]

    def _find(self, arguments: dict[str, Any]) -> tuple[VirtualService, RealServer]:
        """Return a service and its only real server at an endpoint or an address."""
        name, real = _texts(arguments, "service", "real")
        if name is None or real is None:
            raise NatLbError('expected the arguments "service" and "real"')
        service = self._service(name)
        found = [server for server in service.real_servers if real in _names(server)]
        if len(found) != 1:
            those = found or service.real_servers
            what = "more than one real server is" if found else "no real server is"
            raise NatLbError(f'service "{name}": {what} {real}. There are: {_listed(map(str, those))}.')
        return service, found[0]


def _texts(arguments: dict[str, Any], *names: str) -> list[str | None]:
    """Return the arguments of these names, None for what is not there; all must be texts, and there may be no other."""
    for name, value in arguments.items():
        if name not in names:
            raise NatLbError(f'there is no argument "{name}"; known: {_listed(names)}')
        if not isinstance(value, str | None):
            raise NatLbError(f'"{name}" must be a text')
    return [arguments.get(name) for name in names]


def _filter(name: str | None, client: str | None) -> Callable[[Connection], bool]:
    try:
        address = b"" if client is None else ip_address(client.strip("[]")).packed
    except ValueError:
        raise NatLbError(f'"{client}" is not the address of a client, such as 202.100.1.2 or 2001:db8::2') from None
    length, end = 2 * len(address) + 5, len(address) + 1

    def wanted(connection: Connection) -> bool:
        if name is not None and connection.service.name != name:
            return False
        # A million keys are compared in a second; decoded, they would take ten.
        return not address or (len(connection.key) == length and connection.key[1:end] == address)

    return wanted


def _names(server: RealServer) -> Collection[str]:
    return str(server.endpoint), str(server.endpoint.address)


def _listed(names: Any) -> str:
    return ", ".join(names) or "none"
