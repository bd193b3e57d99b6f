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

*Encrypted*: after AUTH TLS succeeds (RFC 4217), or when both ends begin with TLS, nothing can be read any more, and the
helper leaves the connection. If the real server's passive ports are known beforehand, they are open to this client for
as long as the connection lasts: the same ports at the virtual address.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nat_lb.api import Address, Config, Direction, Edit, Endpoint, Helper, Message, Peers, Refusal, hookimpl
from nat_lb_ftp.dialogue import Commands, Replies, classify
from nat_lb_ftp.options import FtpOptions, objections
from nat_lb_ftp.wire import find_extended, find_passive, parse_eprt, parse_port, split_command, write_six

__all__ = ["Ftp", "FtpOptions"]

HANDSHAKE = b"\x16"  # the first octet of TLS (RFC 8446 §5.1); no command begins with it
_NEWLINE = 10  # the octet
_FROM_CLIENT = Direction.ORIGINAL
UNSUPPORTED = frozenset({"LPRT", "LPSV"})  # RFC 1639, which RFC 2428 made obsolete


class Ftp(Helper):
    """Rewrites 227 and 229 and expects data connections; one object a control connection."""

    name = "ftp"
    protocol = "tcp"
    ports = (21,)
    options = FtpOptions
    longest_message = 4096
    most_expectations = 1
    expectation_timeout = 300.0

    def __init__(self, peers: Peers, options: Any = None) -> None:
        super().__init__(peers, options or FtpOptions())
        self._commands = Commands()
        self._replies = Replies()
        self._passed = b""  # the beginning of a line that passed before anybody waited for it
        self._spoken = [False, False]  # by direction
        self._implicit = False  # the client began with TLS

    def frame(self, data: bytes, direction: Direction) -> int:
        """Return the length of the first line; where one end begins with TLS, of all that is there."""
        if not self._spoken[direction] and data.startswith(HANDSHAKE):
            return len(data)
        return super().frame(data, direction)

    def holds(self, tail: bytes, direction: Direction) -> bool:
        """Hold only what can become an awaited 227 or 229 line, so that no other text is delayed."""
        if direction is Direction.ORIGINAL:
            return False
        held = any(self._commands.waits_for(code) and self._replies.may_end(tail, code) for code in ("227", "229"))
        if not held:
            self._passed = tail
        return held

    def ignores(self, octets: bytes, direction: Direction) -> bool:
        """Ignore one plain line, but count it: replies are told by the commands before them."""
        if octets[-1:] != b"\n" or _NEWLINE in octets[:-1] or not self._spoken[direction]:
            return False
        if direction is _FROM_CLIENT:
            return self._commands.sent_plain(octets)
        return not self._replies.block and self._commands.answered_plainly(octets)

    def rewrite(self, message: Message) -> Iterable[Edit]:
        """Expect what a command or reply announces; only replies are edited."""
        first = not self._spoken[message.direction]
        self._spoken[message.direction] = True
        if first and message.data.startswith(HANDSHAKE):
            return self._handshake(message)
        return self._command(message) if message.from_client else self._reply(message)

    def _handshake(self, message: Message) -> Iterable[Edit]:
        if message.from_client:
            self._implicit = True
            return ()
        return self._encrypt(message) if self._implicit else ()

    def _command(self, message: Message) -> Iterable[Edit]:
        verb, argument = split_command(message.data)
        if verb:
            self._commands.sent(classify(verb, argument))
        if verb == "PORT":
            self._expect_server(message, verb, parse_port(argument))
        elif verb == "EPRT":
            self._expect_server(message, verb, parse_eprt(argument))
        elif verb in UNSUPPORTED:
            raise Refusal(f"{verb} is not supported; the client has to use PORT, PASV, EPRT or EPSV", "unsupported")
        return ()

    def _expect_server(self, message: Message, verb: str, endpoint: Endpoint) -> None:
        client = self.peers.client.address
        if endpoint.address != client:
            raise Refusal(f"{verb} names {endpoint} but the client is {client} (bounce attempt)", "bounce attempt")
        self._check_port(verb, endpoint.port)
        message.expect_server(endpoint)

    def _reply(self, message: Message) -> Iterable[Edit]:
        began_early = bool(self._passed) and message.data.startswith(self._passed)
        self._passed = b""
        code = self._replies.ends(message.data)
        if not code:
            return self._text(message)
        awaited = self._commands.answered(code)
        if code in ("227", "229"):
            self._check_asked(code, awaited, began_early)
            return self._passive(message) if code == "227" else self._extended(message)
        return self._encrypt(message) if awaited else ()

    def _text(self, message: Message) -> Iterable[Edit]:
        """Refuse what only looks like the awaited reply; all other text is none of ours."""
        code = self._replies.quotes(message.data)
        if code in ("227", "229") and self._commands.waits_for(code):
            raise Refusal(f"{code} inside the reply {self._replies.block}-, which has not ended", "unasked reply")
        return ()

    def _check_asked(self, code: str, awaited: bool, began_early: bool) -> None:
        question = "PASV" if code == "227" else "EPSV"
        if not awaited:
            raise Refusal(f"{code} that no {question} asked for", "unasked reply")
        if began_early:
            raise Refusal(f"{code} began before {question} asked for it", "unasked reply")

    def _encrypt(self, message: Message) -> Iterable[Edit]:
        """Open the real server's passive ports, if they are known: this is the last that can be read."""
        real = self.peers.real.address
        ports = self.settings.passive_ports.get(real)
        if ports is None:
            why = f"encrypted, and passive_ports has no range for {real}: passive data connections cannot be expected"
            message.refuse(why, kind="encrypted")
        else:
            message.expect_range(ports)
        message.stop()
        return ()

    def _passive(self, message: Message) -> Iterable[Edit]:
        if self.peers.real.address.version == 6:
            raise Refusal("227 cannot name an endpoint of an IPv6 connection; EPSV can", "wrong family")
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
            raise Refusal(
                f"{code} names {Endpoint(address, port)} but the real server is {real} (own_addresses may list others)",
                "foreign address",
            )
        self._check_port(code, port)
        return message.expect_client(Endpoint(real, port), any_client=self.settings.foreign_clients)

    def _check_port(self, word: str, port: int) -> None:
        if port < self.settings.minimum_port:
            raise Refusal(f"{word} names port {port}, below {self.settings.minimum_port}", "privileged port")


def _edits(data: bytes, *wanted: tuple[tuple[int, int], bytes]) -> list[Edit]:
    """Return the replacements that change anything."""
    return [Edit(start, end, text) for (start, end), text in wanted if data[start:end] != text]


@hookimpl
def nat_lb_register_helpers() -> Iterable[type[Helper]]:
    """Offer `helpers = ["ftp"]` to services."""
    return [Ftp]


@hookimpl
def nat_lb_check_config(config: Config) -> Iterable[str]:
    """Object to passive ports that do not fit the services."""
    return objections(config)
