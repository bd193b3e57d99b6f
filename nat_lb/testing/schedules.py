"""A virtual service without a director, to ask a scheduler by itself.

    web = Service(1, 3, 2)                     # weights; the servers are A, B and C
    assert web.decisions(Failover(web), 4) == "BBBB"
    web.server("B").configure(weight=0)

The law: connections that a decision opens stay open until the test closes them, and time stands where the test put it.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from string import ascii_uppercase

from nat_lb.flow import FlowKey
from nat_lb.scheduler import Scheduler
from nat_lb.service import RealServer
from nat_lb.testing.packets import endpoint


def flow(client: str = "202.100.1.2:1024", virtual: str = "202.103.106.5:80") -> FlowKey:
    """Return the flow of a TCP connection from a client to a virtual endpoint."""
    return FlowKey(6, endpoint(client), endpoint(virtual))


class Service:
    """What a scheduler sees of its service; its real servers are called A, B, C … in the file's order."""

    def __init__(self, *weights: int) -> None:
        self.name = "web"
        self.now = 0.0
        self.real_servers = [
            RealServer(endpoint(f"172.16.0.{number}:80"), weight) for number, weight in enumerate(weights, 2)
        ]
        self._names = dict(zip(self.real_servers, ascii_uppercase, strict=False))

    def server(self, letter: str) -> RealServer:
        """Return a real server by its letter, a removed one too."""
        return next(server for server, name in self._names.items() if name == letter)

    def letter(self, server: RealServer | None) -> str:
        """Return a real server's letter; `-` for none."""
        return "-" if server is None else self._names[server]

    def decisions(self, scheduler: Scheduler, flows: int | Iterable[FlowKey]) -> str:
        """Open a connection for each flow (or so many, of one client's ports); return the servers' letters."""
        letters = ""
        for asked in _ports(flows) if isinstance(flows, int) else flows:
            server = scheduler.schedule(asked)
            letters += self.letter(server)
            if server is not None:
                server.count(1, 0)
        return letters

    def reweigh(self, scheduler: Scheduler, **weights: int) -> None:
        """Give servers other weights, as in `reweigh(scheduler, A=0)`, and tell the scheduler."""
        for letter, weight in weights.items():
            self.server(letter).configure(weight)
        scheduler.changed()


def _ports(number: int) -> Iterable[FlowKey]:
    return islice((flow(f"202.100.1.2:{port}") for port in range(1024, 65536)), number)
