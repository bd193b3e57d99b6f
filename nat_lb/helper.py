"""Helpers: rewriters of one application protocol that carries addresses in its payload.

The law: a helper reads whole messages and returns edits. It never sees sequence numbers, lengths or checksums, and of a
stream it is shown each message once, however often its bytes are sent again. In VS/NAT only RIP <-> VIP is ever
exchanged, so a helper has three jobs:

1. a server's message that names the real server: write the endpoint that `Message.expect_client` returns;
2. a client's message that tells the server where to connect: nothing to write, `Message.expect_server`;
3. a client's message that names the VIP: write the real server's address.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
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


class Refusal(NatLbError):
    """A message asks for what must not be: it is passed on as it is, nothing that it reserved stays.

    Raised by `rewrite`; the text goes to the log, and refusals are counted by `kind`, a few constant words.
    """

    def __init__(self, why: str, kind: str = "refused") -> None:
        super().__init__(why)
        self.kind = kind


class ExpectationRefused(Refusal):
    """The related connection cannot be expected: whose endpoint it is not, or that no public port is free."""


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms a related connection is expected; see the arguments of `Message.expect_client`."""

    protocol: str = ""
    ports: int = 1
    helper: str | None = None
    any_client: bool = False
    many: bool = False
    bound: bool = False
    timeout: float | None = None  # seconds


class Registrar(Protocol):
    """What a message asks for expectations: implemented by the core, by `nat_lb.testing.recording` in tests."""

    def expect_client(self, real: Endpoint, terms: Terms) -> Endpoint:
        """See `Message.expect_client`."""

    def expect_server(self, client: Endpoint, terms: Terms) -> None:
        """See `Message.expect_server`."""

    def expect_between(self, client: Endpoint, real: Endpoint, terms: Terms) -> Endpoint:
        """See `Message.expect_between`."""

    def expect_range(self, ports: range, terms: Terms) -> None:
        """See `Message.expect_range`."""

    def forget(self, public: Endpoint, protocol: str) -> None:
        """See `Message.forget`."""

    def known_as(self, real: Endpoint, protocol: str) -> Endpoint | None:
        """See `Message.known_as`."""

    def refuse(self, why: str, kind: str) -> None:
        """See `Message.refuse`."""

    def stop(self) -> None:
        """See `Message.stop`."""


class Message:
    """One whole message of the dialogue, as its sender wrote it.

    All that it reserves is undone when anything later fails for the same message. A related connection leads to this
    connection's own real server or client and to nobody else: whoever asks for another gets ExpectationRefused.
    """

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

    def expect_client(
        self,
        real: Endpoint,
        *,
        protocol: str = "",
        ports: int = 1,
        helper: str | None = None,
        any_client: bool = False,
        many: bool = False,
        bound: bool = False,
        timeout: float | None = None,
    ) -> Endpoint:
        """Expect a connection from the client to `real` and return the public endpoint to write instead.

        The public endpoint is the VIP with the same port if that is free, otherwise with the next free port above.
        Asking again for the same endpoint returns the same answer and starts its time anew, also on another connection
        if both admit any client. Raises ExpectationRefused.

        `protocol` names a tracker ("" is this connection's own). `ports` in a row are expected, one connection each;
        the public ones are in a row too, and the first is a multiple of `ports` if that of `real` is (RTP and RTCP).
        `helper` names the helper of the expected connection, `any_client` admits others than this connection's
        client, `many` any number of connections until its time is over. Connections that are `bound` end with this
        one. `timeout` is in seconds, `expectation_timeout` unless given.
        """
        terms = Terms(protocol, ports, helper, any_client, many, bound, timeout)
        return self._registrar.expect_client(real, terms)

    def expect_server(
        self,
        client: Endpoint,
        *,
        protocol: str = "",
        ports: int = 1,
        helper: str | None = None,
        many: bool = False,
        bound: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Expect a connection from this connection's real server, any port, to `client`.

        Its source becomes the VIP, with the port that `expect_client` gave to that endpoint of the real server, or
        else the same port. The arguments are those of `expect_client`.  Raises ExpectationRefused.
        """
        self._registrar.expect_server(client, Terms(protocol, ports, helper, False, many, bound, timeout))

    def expect_between(
        self,
        client: Endpoint,
        real: Endpoint,
        *,
        protocol: str = "",
        helper: str | None = None,
        bound: bool = False,
        timeout: float | None = None,
    ) -> Endpoint:
        """Expect one connection between two endpoints, whoever speaks first, and return what stands for `real`.

        A protocol whose packets do not name their source (`Tracker.ports_at`) opens connections in this way only;
        for it, `expect_client` merely reserves the public endpoint. The arguments are those of `expect_client`. Raises
        ExpectationRefused.
        """
        terms = Terms(protocol, 1, helper, False, False, bound, timeout)
        return self._registrar.expect_between(client, real, terms)

    def expect_range(self, ports: range, *, helper: str | None = None) -> None:
        """Expect any number of connections from the client to this connection's real server, at any of `ports`.

        The public ports are the same.  Stands until this connection closes; asking again replaces it.
        """
        self._registrar.expect_range(ports, Terms(helper=helper, many=True))

    def forget(self, public: Endpoint, *, protocol: str = "") -> None:
        """Expect nothing more at a public endpoint of this connection's, and close the connections opened there."""
        self._registrar.forget(public, protocol)

    def known_as(self, real: Endpoint, *, protocol: str = "") -> Endpoint | None:
        """Return the virtual endpoint of the service that has any real server at `real`, None if none at this VIP has.

        It may be another real server's, as a connection to it is a new one: the service's scheduler decides.
        """
        return self._registrar.known_as(real, protocol)

    def refuse(self, why: str, *, kind: str = "refused") -> None:
        """Log and count that this message is passed on as it is although it asks for something.

        `why` goes to the log, counts are kept by `kind`. To raise Refusal does the same and takes back what the
        message reserved.
        """
        self._registrar.refuse(why, kind)

    def stop(self) -> None:
        """Show this connection's messages to the helper no more (it turns to encryption)."""
        self._registrar.stop()


class Helper(ABC):
    """Base of all helpers; one object a connection.

    Registered by returning the class from `nat_lb_register_helpers`; `name` is what a service's `helpers` list says
    in TOML. A fault in any method lets the packet pass as it is, is logged with the distribution's name and counted.
    """

    name: ClassVar[str]
    protocol: ClassVar[str] = "tcp"  # or "udp": then a message is a datagram, and one that comes twice is shown twice
    ports: ClassVar[tuple[int, ...]] = ()  # where the protocol usually lives; a service elsewhere is no error
    options: ClassVar[type[Any] | None] = None  # an `Options` model that validates [service.helper_options.NAME]
    longest_message: ClassVar[int] = 4096  # octets kept while a message is incomplete; a longer one passes unread
    most_expectations: ClassVar[int] = 1  # at one time and connection; a new one takes the oldest one's place
    expectation_timeout: ClassVar[float] = 300.0  # seconds
    opens_from_inside: ClassVar[bool] = False  # whether a real server's packet from its endpoint may open a connection
    companions: ClassVar[tuple[type[Helper], ...]] = ()  # of connections it announces; enabled with it, same options

    def __init__(self, peers: Peers, options: Any = None) -> None:
        self.peers = peers
        self.settings = options

    def frame(self, data: bytes, direction: Direction) -> int:
        """Return the length of the first whole message at the start of `data`, 0 if more is needed; lines end in LF.

        Asked of TCP's octets only, as is `holds`.
        """
        return data.find(b"\n") + 1

    def holds(self, tail: bytes, direction: Direction) -> bool:
        """Whether the incomplete message `tail` must not pass yet because an edit may reach into it."""
        return direction is Direction.REPLY

    def ignores(self, octets: bytes, direction: Direction) -> bool:
        """Whether `octets` are whole messages, from the first to the last octet, that `rewrite` need not be shown.

        Asked, for speed, of a TCP segment that begins a message; a helper that does not override it is shown all. It
        has to be quick, and right: what it ignores goes on as it is. What those messages mean for later ones, it notes
        here.
        """
        return False

    @abstractmethod
    def rewrite(self, message: Message) -> Iterable[Edit]:
        """Return the edits of one whole message, in ascending order and without overlap."""


HelperFactory: TypeAlias = Callable[[Peers], Helper]
