"""Helpers: rewriters of one application protocol that carries addresses in its payload.

The law: a helper reads whole messages and returns edits. It never sees sequence numbers, lengths or checksums, and it
is shown each message once, however often its bytes are sent again. In VS/NAT only RIP <-> VIP is ever exchanged, so a
helper has three jobs:

1. a server's message that names the real server: write the endpoint that `Message.expect_client` returns;
2. a client's message that tells the server where to connect: nothing to write, `Message.expect_server`;
3. a client's message that names the VIP: write the real server's address.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias

from nat_lb.errors import NatLbError
from nat_lb.flow import Direction, Endpoint


class Edit(NamedTuple):
    """Replace octets `start` to `end` (exclusive, at least one octet) of the message by `text`."""

    start: int
    end: int
    text: bytes


class Peers(NamedTuple):
    """The endpoints of a helper's connection."""

    client: Endpoint
    virtual: Endpoint
    real: Endpoint


class ExpectationRefused(NatLbError):
    """The related connection cannot be expected: the limit is reached or no public port is free; says which."""


class Registrar(Protocol):
    """What a message asks for expectations: implemented by the core, by a recording fake in tests."""

    def expect_client(self, real: Endpoint, helper: str | None, any_client: bool) -> Endpoint:
        """See `Message.expect_client`."""

    def expect_server(self, client: Endpoint, helper: str | None) -> None:
        """See `Message.expect_server`."""

    def refuse(self, why: str) -> None:
        """See `Message.refuse`."""

    def stop(self) -> None:
        """See `Message.stop`."""


class Message:
    """One whole message of the dialogue, as its sender wrote it."""

    __slots__ = ("_registrar", "data", "direction", "peers")

    def __init__(self, data: bytes, direction: Direction, peers: Peers, registrar: Registrar) -> None:
        self.data = data
        self.direction = direction
        self.peers = peers
        self._registrar = registrar

    @property
    def from_client(self) -> bool:
        """Whether the client sent it; otherwise the real server did."""
        return self.direction is Direction.ORIGINAL

    def expect_client(self, real: Endpoint, *, helper: str | None = None, any_client: bool = False) -> Endpoint:
        """Expect a connection from the client to `real` and return the public endpoint to write instead.

        The public endpoint is the VIP with the same port if that is free, otherwise with the next free port above.
        `helper` names the helper of the expected connection, `any_client` admits others than this connection's
        client. Asking again for the same endpoint returns the same answer, also on another connection if both admit
        any client. Undone when anything later fails for the same packet. Raises ExpectationRefused.
        """
        return self._registrar.expect_client(real, helper, any_client)

    def expect_server(self, client: Endpoint, *, helper: str | None = None) -> None:
        """Expect a connection from this connection's real server, any port, to `client`; its source becomes the VIP.

        Undone when anything later fails for the same packet.  Raises ExpectationRefused.
        """
        self._registrar.expect_server(client, helper)

    def refuse(self, why: str) -> None:
        """Log and count that this message is passed on as it is although it asks for something.

        `why` goes to the log.
        """
        self._registrar.refuse(why)

    def stop(self) -> None:
        """Show this connection's messages to the helper no more (it turns to encryption)."""
        self._registrar.stop()


class Helper(ABC):
    """Base of all helpers; one object a connection.

    Registered by returning the class from `nat_lb_register_helpers`; `name` is what a service's `helpers` list says
    in TOML. A fault in any method lets the packet pass as it is, is logged with the distribution's name and counted.
    """

    name: ClassVar[str]
    protocol: ClassVar[str] = "tcp"
    ports: ClassVar[tuple[int, ...]] = ()  # where the protocol usually lives; a service elsewhere is no error
    options: ClassVar[type[Any] | None] = None  # an `Options` model that validates [service.helper_options.NAME]
    longest_message: ClassVar[int] = 4096  # octets kept while a message is incomplete; a longer one passes unread
    most_expectations: ClassVar[int] = 1  # at one time and connection; a new one takes the oldest one's place
    expectation_timeout: ClassVar[float] = 300.0  # seconds

    def __init__(self, peers: Peers, options: Any = None) -> None:
        self.peers = peers
        self.settings = options

    def frame(self, data: bytes, direction: Direction) -> int:
        """Return the length of the first whole message at the start of `data`, 0 if more is needed; lines end in LF."""
        return data.find(b"\n") + 1

    def holds(self, tail: bytes, direction: Direction) -> bool:
        """Whether the incomplete message `tail` must not pass yet because an edit may reach into it."""
        return direction is Direction.REPLY

    @abstractmethod
    def rewrite(self, message: Message) -> Iterable[Edit]:
        """Return the edits of one whole message, in ascending order and without overlap."""


HelperFactory: TypeAlias = Callable[[Peers], Helper]
