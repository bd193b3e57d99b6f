"""Public endpoints: what stands at a virtual address for which real endpoint.

The law: a public endpoint stands for one real endpoint, and a real endpoint has one public endpoint, as long as
anybody expects a connection there or has one. So a client never meets two servers at one address and port, and a real
server that speaks first does so from the endpoint that it was announced under.

Each is for a *scope*: a protocol (IP protocol number, 1 octet) and a client's packed address, or no address for any.
"""

from __future__ import annotations

from collections import Counter

from nat_lb.connection import Connection
from nat_lb.flow import Address, Endpoint
from nat_lb.service import ServiceTable


def scope(protocol: int, client: Address | None) -> bytes:
    """Return the scope of one client, or of any."""
    return bytes((protocol,)) + (client.packed if client is not None else b"")


class Standing:
    """One public endpoint in use."""

    __slots__ = ("connections", "expectations", "real")

    def __init__(self, real: Endpoint) -> None:
        self.real = real
        self.expectations = 0
        self.connections: list[Connection] = []


class PublicEndpoints:
    """The public endpoints in use, by scope."""

    def __init__(self, services: ServiceTable) -> None:
        self._services = services
        self._standing: dict[bytes, Standing] = {}  # by scope and public endpoint
        self._public: dict[bytes, tuple[bytes, Endpoint]] = {}  # scope and public endpoint, by scope and real endpoint
        self._clients: Counter[bytes] = Counter()  # scopes of one client, by protocol and public endpoint

    def expect(self, whose: bytes, public: Endpoint, real: Endpoint) -> None:
        """Note an expectation at a public endpoint, which is free or stands for this real one."""
        self._use(whose, public, real).expectations += 1

    def expect_no_more(self, whose: bytes, public: Endpoint) -> None:
        """Note that one expectation less is there."""
        self._standing[_key(whose, public)].expectations -= 1
        self._release(whose, public)

    def connect(self, whose: bytes, connection: Connection) -> None:
        """Note a connection that was opened at a public endpoint."""
        self._use(whose, connection.virtual, connection.real).connections.append(connection)

    def disconnect(self, whose: bytes, connection: Connection) -> None:
        """Note that it is closed."""
        self._standing[_key(whose, connection.virtual)].connections.remove(connection)
        self._release(whose, connection.virtual)

    def connections(self, whose: bytes, public: Endpoint) -> list[Connection]:
        """Return the connections that are open at a public endpoint, oldest first."""
        found = self._standing.get(_key(whose, public))
        return list(found.connections) if found is not None else []

    def of(self, protocol: int, client: Address, real: Endpoint) -> tuple[bytes, Endpoint] | None:
        """Return what stands for a real endpoint where a client sees it, and the scope that it is in."""
        return self._public.get(_key(scope(protocol, client), real)) or self._public.get(
            _key(scope(protocol, None), real)
        )

    def own(self, whose: bytes, real: Endpoint) -> Endpoint | None:
        """Return what stands for a real endpoint in this very scope."""
        found = self._public.get(_key(whose, real))
        return found[1] if found is not None else None

    def is_free(self, whose: bytes, public: Endpoint, real: Endpoint) -> bool:
        """Whether a public endpoint may stand for `real`: no service's, and nothing else's for the same clients."""
        if self._services.find(whose[0], *public.packed) is not None:
            return False
        found = self._standing.get(_key(whose, public))
        if found is not None:
            return found.real == real
        if len(whose) == 1:
            return not self._clients[_key(whose, public)]
        anybodys = self._standing.get(_key(whose[:1], public))
        return anybodys is None or anybodys.real == real

    def known_as(self, protocol: int, virtual: Address, real: Endpoint) -> Endpoint | None:
        """Return the endpoint of the service at a VIP that has a real server at `real`, or None."""
        if not self._services.is_real(real.address.packed):
            return None
        here = (s for s in self._services if (s.tracker.protocol, s.endpoint.address) == (protocol, virtual))
        return next((service.endpoint for service in here if service.real_server_at(real) is not None), None)

    def _use(self, whose: bytes, public: Endpoint, real: Endpoint) -> Standing:
        standing = self._standing.get(_key(whose, public))
        if standing is None:
            standing = self._standing[_key(whose, public)] = Standing(real)
            self._public[_key(whose, real)] = whose, public
            if len(whose) > 1:
                self._clients[_key(whose[:1], public)] += 1
        return standing

    def _release(self, whose: bytes, public: Endpoint) -> None:
        standing = self._standing[_key(whose, public)]
        if standing.expectations or standing.connections:
            return
        del self._standing[_key(whose, public)]
        del self._public[_key(whose, standing.real)]
        if len(whose) > 1:
            at = _key(whose[:1], public)
            self._clients[at] -= 1
            if not self._clients[at]:
                del self._clients[at]


def _key(whose: bytes, endpoint: Endpoint) -> bytes:
    address, port = endpoint.packed
    return whose + address + port
