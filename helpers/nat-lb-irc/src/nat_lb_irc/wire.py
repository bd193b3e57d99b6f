"""How IRC carries DCC, and where in a line its addresses and ports stand.

The law: a request is read only at the start of the text of a PRIVMSG or NOTICE, where CTCP puts it; whatever else a
line holds is conversation. A parser returns what the text says, whoever it names, or raises `Refusal`; what may be
done about it is decided elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Container
from ipaddress import IPv4Address, ip_address
from typing import NamedTuple, TypeAlias

from nat_lb.api import Address, Refusal

LONGEST_LINE = 512  # octets with the line's end, without message tags (RFC 2812 §2.3)
LONGEST_TAGS = 8191  # octets of message tags (IRCv3)
OFFERS = frozenset({"SEND", "CHAT", "TSEND", "SCHAT", "MOVE"})  # file, talk, file without acknowledgements, TLS, file
_FOLDED = bytes.maketrans(b"[]\\~", b"{}|^")
MALFORMED = "malformed"
_SHOWN = 80  # octets of a peer's text that a log line repeats

_HEAD = re.compile(
    rb"(?P<tags>@[^ \r\n]+ +)?(?::(?P<sender>[^ \r\n]+) +)?(?:PRIVMSG|NOTICE) +(?P<target>[^ \r\n:][^ \r\n]*) +:"
    rb"\x01DCC +(?P<verb>[A-Za-z]+) +",
    re.IGNORECASE,
)
_NAME = rb'(?:"[^"\x00\x01\r\n]*"|[^ "\x00\x01\r\n][^ \x00\x01\r\n]*) +'
_OFFER = re.compile(_NAME + rb"([0-9A-Fa-f.:]{1,45}) +(\d{1,9})(?=[ \x01\r\n])")
_RESUME = re.compile(_NAME + rb"(\d{1,9}) +\d+(?=[ \x01\r\n])")
_STARTTLS = re.compile(rb"(?:@[^ ]+ +)?(?::[^ ]+ +)?STARTTLS\s*", re.IGNORECASE)
_STARTTLS_ACCEPTED = re.compile(rb"(?:@[^ ]+ +)?:[^ ]+ +670 ")

Span: TypeAlias = tuple[int, int]


class Request(NamedTuple):
    """A DCC request up to its verb: `start` is where its arguments begin, `free` how many octets the line may grow."""

    verb: str
    sender: bytes  # nick!user@host as the server wrote it; empty in a client's own line
    target: bytes
    start: int
    free: int


class Offer(NamedTuple):
    """Where an offer's receiver shall connect to; the spans are the octets to replace."""

    address: Address
    port: int
    address_span: Span
    port_span: Span


def find_request(line: bytes) -> Request | None:
    """Return the DCC request that a whole line, or the beginning of one, makes."""
    found = _HEAD.match(line)
    if not found:
        return None
    free = LONGEST_LINE - (len(line) - len(found["tags"] or b""))
    return Request(found["verb"].decode("ascii").upper(), found["sender"] or b"", found["target"], found.end(), free)


def parse_offer(line: bytes, request: Request) -> Offer:
    """Read `NAME ADDRESS PORT [SIZE [TOKEN]]`; a name with spaces is in quotation marks."""
    found = _OFFER.match(line, request.start)
    if not found:
        raise Refusal(f"DCC {request.verb} without address and port: {shown(line[request.start :])}", MALFORMED)
    return Offer(_address(request.verb, found[1]), _port(request.verb, found[2]), found.span(1), found.span(2))


def parse_resume(line: bytes, request: Request) -> tuple[int, Span] | None:
    """Read the port of `NAME PORT POSITION [TOKEN]`, None if that is not what stands there."""
    found = _RESUME.match(line, request.start)
    return (int(found[1]), found.span(1)) if found else None


def write_address(address: Address, like: bytes) -> bytes:
    """Return an address as DCC has it: IPv4 as one number, or dotted if `like` is, IPv6 as text."""
    return b"%d" % int(address) if address.version == 4 and b"." not in like else str(address).encode("ascii")


def asks_for_encryption(line: bytes) -> bool:
    """Whether a client's line asks to go on under TLS."""
    return _STARTTLS.fullmatch(line) is not None


def begins_encryption(line: bytes) -> bool:
    """Whether a server's line says that TLS follows (670, RPL_STARTTLS)."""
    return _STARTTLS_ACCEPTED.match(line) is not None


def folded_nick(name: bytes) -> bytes:
    """Return the nick of a target or of `nick!user@host` as names are compared (RFC 2812 §2.2)."""
    return name.partition(b"!")[0].lower().translate(_FOLDED)


def is_on(addresses: Container[Address], host: str) -> bool:
    """Whether a user's host, as the server writes it, is one of some addresses, IPv6 in brackets or not; no name is."""
    try:
        return ip_address(host.removeprefix("[").removesuffix("]")) in addresses
    except ValueError:
        return False


def shown(text: bytes) -> str:
    """Return a peer's octets as a log line may hold them."""
    return repr(text.strip(b"\r\n\x01")[:_SHOWN])[1:]


def _address(verb: str, text: bytes) -> Address:
    try:
        return IPv4Address(int(text)) if text.isdigit() else ip_address(text.decode("ascii"))
    except ValueError:
        raise Refusal(f"DCC {verb} names no IP address: {shown(text)}", MALFORMED) from None


def _port(verb: str, text: bytes) -> int:
    number = int(text)
    if number > 0xFFFF:
        raise Refusal(f"DCC {verb} names port {number}, which does not exist", MALFORMED)
    return number
