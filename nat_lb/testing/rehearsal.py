"""A scheduler with a service of its own, and a journal of everything that was done to the two.

The law: what happens to the service is what a director does to it, in the same order: the list of real servers or a
weight changes, then `changed()` is called; thresholds and connections change without notice.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from ipaddress import ip_address
from string import ascii_uppercase
from typing import NoReturn, TypeVar

from nat_lb.flow import Address, Endpoint, FlowKey
from nat_lb.scheduler import Plan, Scheduler, ServiceView
from nat_lb.service import RealServer, VirtualService
from nat_lb.testing.claims import fail, numbered
from nat_lb.trackers import Tcp

Result = TypeVar("Result")
Make = Callable[[ServiceView], Scheduler]

FIRST_CLIENT, FIRST_SERVER = ip_address("198.18.0.1"), ip_address("172.16.0.2")
VIRTUAL = Endpoint(ip_address("202.103.106.5"), 80)


def flow(client: int, port: int = 1024, virtual: Address = VIRTUAL.address) -> FlowKey:
    """Return the flow of the client with this number to port 80 of a virtual address."""
    return FlowKey(6, Endpoint(FIRST_CLIENT + client, port), Endpoint(virtual, VIRTUAL.port))


class Rehearsal:
    """One virtual service, its scheduler, and what was done; real servers are called A, B, C in the order they came."""

    def __init__(self, make: Make, *weights: int) -> None:
        self.service = VirtualService("rehearsal", Tcp, VIRTUAL, Tcp.seconds())
        self.journal: list[str] = []
        self.letters: dict[RealServer, str] = {}
        for weight in weights:
            self._append(weight)
        self.scheduler = self._guard("__init__()", lambda: make(self.service))

    @property
    def servers(self) -> list[RealServer]:
        """The present real servers."""
        return self.service.real_servers

    @property
    def usable(self) -> list[RealServer]:
        """Those that may be chosen."""
        return [server for server in self.servers if server.usable]

    @property
    def plan(self) -> Plan | None:
        """The plan that the scheduler carries out."""
        return self.scheduler.present_plan

    def add(self, weight: int) -> None:
        """Add a real server at the end of the list."""
        self._append(weight)
        self.changed()

    def remove(self, at: int) -> None:
        """Remove a real server; its connections are closed after the scheduler was told, as a director does it."""
        server = self.servers.pop(at)
        self.journal.append(f"remove {self.name(server)}")
        self.changed()
        server.count(-server.active, -server.inactive)

    def reweigh(self, at: int, weight: int) -> None:
        """Give a real server another weight, 0 quiesces it."""
        server = self.servers[at]
        self.journal.append(f"reweight {self.name(server)} from {server.weight} to {weight}")
        server.configure(weight, server.upper_threshold)
        self.changed()

    def limit(self, at: int, connections: int) -> None:
        """Set a real server's upper threshold (0: none); the scheduler is not told."""
        server = self.servers[at]
        server.configure(server.weight, connections)
        overloaded = ", which makes it overloaded" if server.overloaded else ""
        self.journal.append(f"set upper_threshold of {self.name(server)} to {connections}{overloaded}")

    def overload(self, at: int) -> None:
        """Give a real server as many connections as its upper threshold allows; the scheduler is not told."""
        if not self.servers[at].connections:
            self.open(self.servers[at])
            self.journal.append(f"open a connection to {self.name(self.servers[at])}")
        self.limit(at, self.servers[at].connections)

    def open(self, server: RealServer) -> None:
        """Count a new connection to a real server."""
        server.count(1, 0)
        server.opened += 1

    def close(self, at: int) -> None:
        """Close one connection of a real server that has any."""
        server = self.servers[at]
        if server.active:
            server.count(-1, 0)
            self.journal.append(f"close a connection of {self.name(server)}")

    def close_all(self, most: int) -> None:
        """Close so many connections, at one real server after the other."""
        for at in range(most):
            self.close(at % len(self.servers))

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.service.now += seconds
        self.journal.append(f"wait {seconds:g} s")

    def changed(self) -> None:
        """Tell the scheduler that servers or weights changed."""
        self._guard("changed()", self.scheduler.changed)

    def ask(self, asked: FlowKey) -> RealServer | None:
        """Return the scheduler's choice; fails if it raises."""
        return self._guard(f"schedule({asked})", lambda: self.scheduler.schedule(asked))

    def connect(self, asked: FlowKey) -> RealServer | None:
        """Ask, check that the choice is allowed, and open the connection."""
        __tracebackhide__ = True
        chosen = self.ask(asked)
        self.judge(asked, chosen)
        self.journal.append(f"connect {asked}: {self.name(chosen)}")
        if chosen is not None:
            self.open(chosen)
        return chosen

    def judge(self, asked: FlowKey, chosen: RealServer | None) -> None:
        """Fail if the choice is a server that must not be chosen."""
        __tracebackhide__ = True
        if chosen is None:
            return
        if not isinstance(chosen, RealServer):
            self.blame(f"chose {chosen!r}, which is no RealServer", asked)
        if chosen not in self.servers:
            known = "was removed" if chosen in self.letters else "never belonged to the service"
            self.blame(f"chose real server {self.name(chosen)}, which {known}", asked)
        if chosen.weight <= 0:
            self.blame(f"chose real server {self.name(chosen)}, which is quiesced (weight 0)", asked)
        if chosen.overloaded:
            state = f"{chosen.connections} connections, upper_threshold {chosen.upper_threshold}"
            self.blame(f"chose real server {self.name(chosen)}, which is overloaded ({state})", asked)

    def blame(self, what: str, asked: FlowKey | None = None, *details: str) -> NoReturn:
        """Fail: say what the scheduler did, for which flow, among which servers, and after which steps."""
        __tracebackhide__ = True
        allowed = ", ".join(map(self.name, self.usable))
        fail(
            f"{self.title} {what}",
            f"for: {asked}" if asked else "",
            *(details or (f"expected: {f'one of {allowed}' if allowed else 'None, no real server is usable'}",)),
            f"real servers: {'; '.join(map(self.describe, self.servers)) or 'none'}",
            f"steps:\n{numbered(self.journal)}" if self.journal else "steps: none",
        )

    @property
    def title(self) -> str:
        """The scheduler in a sentence."""
        scheduler = type(self.scheduler)
        return f'scheduler "{scheduler.name}" ({scheduler.__module__}.{scheduler.__qualname__})'

    def name(self, server: RealServer | None) -> str:
        """Return a real server's letter, or None."""
        return "None" if server is None else self.letters.get(server, str(server))

    def describe(self, server: RealServer) -> str:
        """Return a real server's letter, endpoint, weight and load."""
        limit = f" of {server.upper_threshold}" if server.upper_threshold else ""
        return f"{self.name(server)} {server} weight {server.weight}, {server.connections}{limit} connections"

    def _append(self, weight: int) -> None:
        number = len(self.letters)
        server = RealServer(Endpoint(FIRST_SERVER + number, 80), weight)
        self.letters[server] = ascii_uppercase[number] if number < 26 else f"server {number + 1}"
        self.service.add(server)
        self.journal.append(f"add {self.letters[server]} with weight {weight}")

    def _guard(self, where: str, call: Callable[[], Result]) -> Result:
        try:
            return call()
        except Exception as error:
            raised = "".join(traceback.format_exception(error)[1:]).rstrip()
            title = self.title if hasattr(self, "scheduler") else "the scheduler"
            fail(
                f"{title}: {where} raised {type(error).__name__}: {error}",
                "expected: a usable real server or None, whatever the list of real servers holds",
                f"real servers: {'; '.join(map(self.describe, self.servers)) or 'none'}",
                f"steps:\n{numbered(self.journal)}" if self.journal else "steps: none",
                raised,
            )
