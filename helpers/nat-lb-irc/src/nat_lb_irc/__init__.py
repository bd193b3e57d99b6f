"""IRC through network address translation: the connections of DCC.

IRC itself needs no help, but with DCC (direct client-to-client) two of its users open a connection of their own.  One
offers a file or a talk, in a CTCP request inside a PRIVMSG or NOTICE, and names the endpoint at which he listens; the
other connects to it.

*Offered from the real server's side*, by a bot or a bouncer there: the client cannot reach the address, so the helper
writes the virtual one, with a port that is free there, and the connection is expected.  RESUME and ACCEPT, with which
the two agree where an interrupted file goes on, tell offers apart by the port, so ports are translated in them.

*Offered by the client*: that address is right as it is; nothing is written, but if the receiver is on the real server,
its connection is expected, so that its source becomes the virtual address.

*Passive*: an offer of port 0 asks the receiver to listen, who answers with an offer of his own.

Whoever can make the real server say a line can name an endpoint in it, and an IRC server says what its users write: a
stranger could offer to himself what listens on the real server.  So a client may only offer its own address, and what
the server says counts only if it names the server itself, at a port that the operator allows, and comes from a user who
is on that machine, or whom the operator lists; a user's host is the server's word, not his own.  Offers that name
anybody else are between others and pass as they are.

After STARTTLS nothing can be read any more, and the helper leaves the connection.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Self

from pydantic import Field, model_validator

from nat_lb.api import Address, Direction, Edit, Endpoint, Helper, Message, Options, Peers, Refusal, hookimpl
from nat_lb_irc.resume import Ports
from nat_lb_irc.wire import (
    LONGEST_LINE,
    LONGEST_TAGS,
    OFFERS,
    Offer,
    Request,
    Span,
    asks_for_encryption,
    begins_encryption,
    find_request,
    folded_nick,
    is_on,
    parse_offer,
    parse_resume,
    shown,
    write_address,
)

_FROM_CLIENT = Direction.ORIGINAL
_CTCP = 1  # the octet


class IrcOptions(Options):
    """The table [service.helper_options.irc]."""

    any_client: bool = Field(
        default=False,
        description="Whether others than the client that got an offer may connect because of it, one in all.",
    )
    senders: tuple[str, ...] = Field(
        default=(),
        description="Masks such as `bot!*@10.0.0.*`: whose offers from the real server's side are followed. None: of "
        "those whom the IRC server shows with the real server's address.",
    )
    own_addresses: tuple[Address, ...] = Field(
        default=(),
        description="Addresses that an offer may name besides the real server's own. The real server itself is meant.",
    )
    minimum_port: int = Field(default=1024, ge=1024, le=65535, description="The lowest port that may be offered.")
    maximum_port: int = Field(
        default=65535, ge=1024, le=65535, description="The highest port that the real server's side may offer."
    )

    @model_validator(mode="after")
    def _ports_are_in_order(self) -> Self:
        if self.minimum_port > self.maximum_port:
            raise ValueError(f"minimum_port {self.minimum_port} is above maximum_port {self.maximum_port}")
        return self


class Irc(Helper):
    """Rewrites DCC offers, RESUME and ACCEPT, and expects the connections; one object a connection."""

    name = "irc"
    protocol = "tcp"
    ports = (6667,)
    options = IrcOptions
    longest_message = LONGEST_TAGS + LONGEST_LINE
    most_expectations = 8
    expectation_timeout = 300.0

    def __init__(self, peers: Peers, options: Any = None) -> None:
        super().__init__(peers, options or IrcOptions())
        self._offered = Ports()
        self._own = frozenset({peers.real.address, *self.settings.own_addresses})
        self._senders = _mask_pattern(self.settings.senders)
        self._asked_for_encryption = False

    def holds(self, tail: bytes, direction: Direction) -> bool:
        """Hold a line from where its DCC arguments begin, so that no other text is delayed."""
        request = find_request(tail)
        if request is None:
            return False
        if direction is Direction.ORIGINAL:
            return request.verb == "RESUME"
        return request.verb in OFFERS or request.verb == "ACCEPT"

    def ignores(self, octets: bytes, direction: Direction) -> bool:
        """Ignore lines without CTCP, unless they may be about encryption."""
        if _CTCP in octets or octets[-1:] != b"\n":
            return False
        if direction is _FROM_CLIENT:
            return b"STARTTLS" not in octets.upper()
        return not self._asked_for_encryption

    def rewrite(self, message: Message) -> Iterable[Edit]:
        """Expect what an offer announces, and translate what the other end cannot use."""
        if self._encrypts(message):
            message.stop()
            return ()
        request = find_request(message.data)
        if request is None:
            return ()
        if request.verb in OFFERS:
            return self._offer(message, request, parse_offer(message.data, request))
        return self._resume(message, request)

    def _encrypts(self, message: Message) -> bool:
        if message.from_client:
            self._asked_for_encryption |= asks_for_encryption(message.data)
            return False
        return self._asked_for_encryption and begins_encryption(message.data)

    def _offer(self, message: Message, request: Request, offer: Offer) -> Iterable[Edit]:
        if not message.from_client:
            return self._from_server(message, request, offer) if offer.address in self._own else ()
        if offer.port:
            self._expect_server(message, request.verb, offer)
        return ()

    def _expect_server(self, message: Message, verb: str, offer: Offer) -> None:
        endpoint, client = Endpoint(offer.address, offer.port), self.peers.client.address
        if offer.address != client:
            raise Refusal(f"DCC {verb} names {endpoint} but the client is {client} (forged)", "forged address")
        if offer.port < self.settings.minimum_port:
            raise Refusal(f"DCC {verb} names port {offer.port}, below {self.settings.minimum_port}", "port not allowed")
        message.expect_server(endpoint)

    def _from_server(self, message: Message, request: Request, offer: Offer) -> Iterable[Edit]:
        who = f"DCC {request.verb} of {shown(request.sender)}"
        if not self._trusts(request.sender.decode("latin-1")):
            lack = (
                "no mask of `senders` is his"
                if self.settings.senders
                else "he is not on it (`senders` may list others)"
            )
            raise Refusal(f"{who} names the real server, but {lack}", "sender not trusted")
        data, virtual = message.data, self.peers.virtual.address
        address = write_address(virtual, like=data[slice(*offer.address_span)])
        if not offer.port:
            return _edits(request, data, (offer.address_span, address))
        if not self.settings.minimum_port <= offer.port <= self.settings.maximum_port:
            allowed = f"{self.settings.minimum_port} to {self.settings.maximum_port}"
            raise Refusal(f"{who} names port {offer.port}, allowed are {allowed}", "port not allowed")
        _check_room(request, (offer.address_span, address), (offer.port_span, b"65535"))
        real = Endpoint(self.peers.real.address, offer.port)
        public = message.expect_client(real, any_client=self.settings.any_client)
        self._offered.note(folded_nick(request.sender), offer.port, public.port)
        return _edits(request, data, (offer.address_span, address), (offer.port_span, b"%d" % public.port))

    def _trusts(self, sender: str) -> bool:
        if self.settings.senders:
            return self._senders.fullmatch(sender) is not None
        _, at, host = sender.rpartition("@")
        return bool(at) and is_on(self._own, host)

    def _resume(self, message: Message, request: Request) -> Iterable[Edit]:
        """Translate the port in the client's RESUME of the server's offer, and in the ACCEPT that answers it."""
        found = parse_resume(message.data, request)
        if found is None or request.verb != ("RESUME" if message.from_client else "ACCEPT"):
            return ()
        port, span = found
        if message.from_client:
            translated = self._offered.real(folded_nick(request.target), port)
        else:
            translated = self._offered.public(folded_nick(request.sender), port)
        return _edits(request, message.data, (span, b"%d" % translated)) if translated not in (None, port) else ()


def _edits(request: Request, data: bytes, *wanted: tuple[Span, bytes]) -> list[Edit]:
    """Return the replacements that change anything; raises Refusal if the line becomes too long."""
    _check_room(request, *wanted)
    return [Edit(start, end, text) for (start, end), text in wanted if data[start:end] != text]


def _check_room(request: Request, *wanted: tuple[Span, bytes]) -> None:
    """Raise Refusal if a line becomes longer than IRC allows; one that is so already may not grow."""
    growth = sum(len(text) - (end - start) for (start, end), text in wanted)
    if growth > max(request.free, 0):
        raise Refusal(
            f"DCC {request.verb} has no room for the virtual endpoint in {LONGEST_LINE} octets", "line too long"
        )


def _mask_pattern(masks: Iterable[str]) -> re.Pattern[str]:
    """Return what matches any of some masks, in which `*` and `?` stand for characters; case does not matter."""
    escaped = (re.escape(mask).replace(r"\*", ".*").replace(r"\?", ".") for mask in masks)
    return re.compile("|".join(escaped), re.IGNORECASE | re.DOTALL)


@hookimpl
def nat_lb_register_helpers() -> Iterable[type[Helper]]:
    """Offer `helpers = ["irc"]` to services."""
    return [Irc]
