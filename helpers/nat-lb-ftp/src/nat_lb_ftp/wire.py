"""How FTP writes addresses, and where in a line they stand.

The law: a parser returns what the text says, whoever it names, or raises `Refusal`; what may be done about it is
decided elsewhere.  Numbers are ASCII digits in decimal, whatever zeros lead them.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, ip_address
from typing import NamedTuple

from nat_lb.api import Address, Endpoint, Refusal

_FAMILIES = {b"1": 4, b"2": 6}  # RFC 2428 §2: address family numbers
MALFORMED = "malformed"  # the kind of refusal
_SHOWN = 80  # octets of a peer's text that a log line repeats

# Synch and interrupt go before ABOR (RFC 959 §4.1.3); a server may answer options in front of a reply (RFC 854).
_TELNET = re.compile(rb"(?:\xff[\xf1-\xfa]|\xff[\xfb-\xfe].)*", re.DOTALL)
_SIX_NUMBERS = re.compile(rb"(?<!\d)(\d{1,9}),(\d{1,9}),(\d{1,9}),(\d{1,9}),(\d{1,9}),(\d{1,9})(?!\d)")
_EPRT = re.compile(rb"([!-/:-~])([12])\1(\S{1,64}?)\1(\d{1,9})\1")
_EPSV = re.compile(rb"\(([!-/:-~])[12]?\1(\S{0,64}?)\1(\d{1,9})\1\)")


class Found(NamedTuple):
    """An endpoint in a line: the spans are the octets to replace, `address` is None where the text leaves it out."""

    address: Address | None
    port: int
    address_span: tuple[int, int]
    port_span: tuple[int, int]


def telnet_length(data: bytes) -> int:
    """Return how many octets of Telnet commands stand in front of the text."""
    found = _TELNET.match(data)
    return found.end() if found else 0


def split_command(line: bytes) -> tuple[str, bytes]:
    """Return a command's verb in upper case and its argument without the line's end; two empty ones for no command."""
    words = line[telnet_length(line) :].split(None, 1)
    if not words or not words[0].isalpha():
        return "", b""
    return words[0].decode("ascii").upper(), words[1].rstrip() if len(words) == 2 else b""


def parse_port(argument: bytes) -> Endpoint:
    """Read `h1,h2,h3,h4,p1,p2`, the argument of PORT (RFC 959 §4.1.2)."""
    found = _SIX_NUMBERS.fullmatch(argument)
    if not found:
        raise Refusal(f"PORT without six numbers: {shown(argument)}", MALFORMED)
    return _endpoint("PORT", found)


def find_passive(line: bytes, start: int) -> tuple[Endpoint, tuple[int, int]]:
    """Return what the first six numbers in a 227 reply's text say, and their span.

    They are found with or without brackets around them (RFC 1123 §4.1.2.6).
    """
    found = _SIX_NUMBERS.search(line, start)
    if not found:
        raise Refusal(f"227 without six numbers: {shown(line)}", MALFORMED)
    return _endpoint("227", found), found.span()


def write_six(endpoint: Endpoint) -> bytes:
    """Return an IPv4 endpoint as `h1,h2,h3,h4,p1,p2`."""
    return b",".join(b"%d" % octet for part in endpoint.packed for octet in part)


def parse_eprt(argument: bytes) -> Endpoint:
    """Read `|1|132.235.1.2|6275|`, the argument of EPRT, with any printable delimiter (RFC 2428 §2)."""
    found = _EPRT.fullmatch(argument)
    if not found:
        raise Refusal(f"EPRT is not |family|address|port|: {shown(argument)}", MALFORMED)
    address = _address("EPRT", found[3])
    if address.version != _FAMILIES[found[2]]:
        raise Refusal(f"EPRT says family {found[2].decode()} but names {address}", MALFORMED)
    return Endpoint(address, _port("EPRT", int(found[4])))


def find_extended(line: bytes, start: int) -> Found:
    """Return what `(|||port|)` in a 229 reply's text says (RFC 2428 §3).

    An address should not be there but is read.
    """
    found = _EPSV.search(line, start)
    if not found:
        raise Refusal(f"229 without (|||port|): {shown(line)}", MALFORMED)
    address = _address("229", found[2]) if found[2] else None
    return Found(address, _port("229", int(found[3])), found.span(2), found.span(3))


def shown(text: bytes) -> str:
    """Return a peer's octets as a log line may hold them."""
    return repr(text.strip()[:_SHOWN])[1:]


def _endpoint(word: str, found: re.Match[bytes]) -> Endpoint:
    numbers = [int(number) for number in found.groups()]
    if max(numbers) > 255:
        raise Refusal(f"{word} has a number above 255: {shown(found[0])}", MALFORMED)
    return Endpoint(IPv4Address(bytes(numbers[:4])), numbers[4] << 8 | numbers[5])


def _address(word: str, text: bytes) -> Address:
    try:
        return ip_address(text.decode("ascii"))
    except ValueError:
        raise Refusal(f"{word} names no IP address: {shown(text)}", MALFORMED) from None


def _port(word: str, number: int) -> int:
    if number > 0xFFFF:
        raise Refusal(f"{word} names port {number}, which does not exist", MALFORMED)
    return number
