"""FTP through network address translation (RFC 959, RFC 2428).

FTP speaks on one connection and moves files on others, and it says on the first where the others shall go.

*Passive*: the client asks with PASV or EPSV, the real server names an endpoint of its own in its 227 or 229 reply, and
the client connects to it.  The client cannot reach that address, so the helper writes the virtual one in its place and
the connection is expected there.

*Active*: the client names its own endpoint with PORT or EPRT and the real server connects to it.  That address is right
as it is: nothing is written, but the connection is expected, so that its source becomes the virtual address.  This is
done when the command passes, since some servers connect before they say 200.

Both are ways to make somebody else connect somewhere.  So PORT must name the client itself (RFC 2577: bounce attack), a
227 the real server itself or the virtual address, and ports below 1024 are refused.  A reply counts only if the client
asked for it, and only its last line.

After AUTH TLS succeeds (RFC 4217) nothing can be read any more, and the helper leaves the connection.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address
from typing import Any

from pydantic import Field

from nat_lb.api import Address, Direction, Edit, Endpoint, ExpectationRefused, Helper, Message, Options, Peers, hookimpl
from nat_lb_ftp.dialogue import Commands, Replies, classify
from nat_lb_ftp.wire import (
    RefusalError,
    find_extended,
    find_passive,
    parse_eprt,
    parse_port,
    split_command,
    write_six,
)


class FtpOptions(Options):
    """The table [service.helper_options.ftp]."""

    own_addresses: tuple[IPv4Address, ...] = Field(
        default=(),
        description="Addresses that a 227 may name besides the real server's own. The real server itself is meant.",
    )
    minimum_port: int = Field(default=1024, ge=1, le=65535, description="The lowest port of a data connection.")


class Ftp(Helper):
    """Rewrites 227 and 229 and expects data connections; one object a control connection."""

    name = "ftp"
    protocol = "tcp"
    ports = (21,)
    options = FtpOptions
    longest_message = 4096
    most_expectations = 1

    def __init__(self, peers: Peers, options: Any = None) -> None:
        super().__init__(peers, options or FtpOptions())
        self._commands = Commands()
        self._replies = Replies()
        self._passed = b""  # the beginning of a line that passed before anybody waited for it

    def holds(self, tail: bytes, direction: Direction) -> bool:
        """Hold only what can become an awaited 227 or 229 line, so that no other text is delayed."""
        if direction is Direction.ORIGINAL:
            return False
        held = any(self._commands.waits_for(code) and self._replies.may_end(tail, code) for code in ("227", "229"))
        if not held:
            self._passed = tail
        return held

    def rewrite(self, message: Message) -> Iterable[Edit]:
        """Expect what a command or reply announces; only replies are edited."""
        try:
            return self._command(message) if message.from_client else self._reply(message)
        except (RefusalError, ExpectationRefused) as reason:
            message.refuse(str(reason))
            return ()

    def _command(self, message: Message) -> Iterable[Edit]:
        verb, argument = split_command(message.data)
        if verb:
            self._commands.sent(classify(verb, argument))
        if verb == "PORT":
            self._expect_server(message, verb, parse_port(argument))
        elif verb == "EPRT":
            self._expect_server(message, verb, parse_eprt(argument))
        return ()

    def _expect_server(self, message: Message, verb: str, endpoint: Endpoint) -> None:
        client = self.peers.client.address
        if endpoint.address != client:
            raise RefusalError(f"{verb} names {endpoint} but the client is {client} (bounce attempt)")
        self._check_port(verb, endpoint.port)
        message.expect_server(endpoint)

    def _reply(self, message: Message) -> Iterable[Edit]:
        began_early = bool(self._passed) and message.data.startswith(self._passed)
        self._passed = b""
        code = self._replies.ends(message.data)
        if not code:
            return ()
        awaited = self._commands.answered(code)
        if code in ("227", "229") and not awaited:
            raise RefusalError(f"{code} that no {'PASV' if code == '227' else 'EPSV'} asked for")
        if code in ("227", "229") and began_early:
            raise RefusalError(f"{code} began before {'PASV' if code == '227' else 'EPSV'} asked for it")
        if code == "227":
            return self._passive(message)
        if code == "229":
            return self._extended(message)
        if awaited:  # AUTH
            message.stop()
        return ()

    def _passive(self, message: Message) -> Iterable[Edit]:
        if self.peers.real.address.version == 6:
            raise RefusalError("227 cannot name an endpoint of an IPv6 connection; the client has to use EPSV")
        endpoint, span = find_passive(message.data, message.data.index(b"227") + 3)
        public = self._expect_client(message, "227", endpoint.address, endpoint.port)
        return _edits(message.data, (span, write_six(public)))

    def _extended(self, message: Message) -> Iterable[Edit]:
        found = find_extended(message.data, message.data.index(b"229") + 3)
        public = self._expect_client(message, "229", found.address or self.peers.real.address, found.port)
        address = str(public.address).encode("ascii") if found.address else b""
        return _edits(message.data, (found.address_span, address), (found.port_span, b"%d" % public.port))

    def _expect_client(self, message: Message, code: str, address: Address, port: int) -> Endpoint:
        real = self.peers.real.address
        if address not in (real, self.peers.virtual.address, *self.settings.own_addresses):
            raise RefusalError(
                f"{code} names {Endpoint(address, port)} but the real server is {real} (own_addresses may list others)"
            )
        self._check_port(code, port)
        return message.expect_client(Endpoint(real, port))

    def _check_port(self, word: str, port: int) -> None:
        if port < self.settings.minimum_port:
            raise RefusalError(f"{word} names port {port}, below {self.settings.minimum_port}")


def _edits(data: bytes, *wanted: tuple[tuple[int, int], bytes]) -> list[Edit]:
    """Return the replacements that change anything."""
    return [Edit(start, end, text) for (start, end), text in wanted if data[start:end] != text]


@hookimpl
def nat_lb_register_helpers() -> Iterable[type[Helper]]:
    """Offer `helpers = ["ftp"]` to services."""
    return [Ftp]
