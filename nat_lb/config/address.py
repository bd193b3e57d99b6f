"""Addresses as an operator writes them, endpoints as messages show them.

The law: an address that a packet can never carry through the director is refused when the file is read.  A refusal is a
`ValueError(expectation, remedy)`: problems.py makes a message of it.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeAlias

IPAddress: TypeAlias = IPv4Address | IPv6Address

_EXPECTED = "must be an IPv4 or IPv6 address"
_WITH_PORT = re.compile(r"(\d+\.\d+\.\d+\.\d+|\[[0-9A-Fa-f:.]+\]):(\d+)")


def parse_address(value: object) -> IPAddress:
    """Read a unicast address that traffic from the network can carry; raise `ValueError(expectation, remedy)`."""
    if not isinstance(value, str):
        raise ValueError(_EXPECTED, "Write it in quotes.")
    try:
        address = ip_address(value)
    except ValueError:
        raise ValueError(_EXPECTED, _remedy(value)) from None
    _refuse_unusable(address)
    return address


def format_endpoint(address: IPAddress, port: int) -> str:
    """Write `address:port`, an IPv6 address in brackets."""
    return f"{address}:{port}" if address.version == 4 else f"[{address}]:{port}"


def endpoint(protocol: str, address: IPAddress, port: int) -> str:
    """Write what makes a virtual service distinct: `tcp 203.0.113.1:80`."""
    return f"{protocol} {format_endpoint(address, port)}"


def _remedy(value: str) -> str:
    """Say what to write instead of a text that is no address."""
    with_port = _WITH_PORT.fullmatch(value)
    if with_port:
        return f'Write address = "{with_port[1].strip("[]")}" and port = {with_port[2]}.'
    if value.startswith("[") and value.endswith("]"):
        return f'Write it without brackets: "{value[1:-1]}".'
    if "/" in value:
        return "Write one address, without a prefix length."
    if re.fullmatch(r"[0-9.]+", value):
        return "Write four numbers from 0 to 255, without leading zeros."
    if ":" in value:
        return "Check its groups of hexadecimal digits."
    return "Names are not looked up: write the address itself."


def _refuse_unusable(address: IPAddress) -> None:
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise ValueError("must be an address without a scope", f'Write "{str(address).partition("%")[0]}".')
        if address.ipv4_mapped is not None:
            raise ValueError("must not be an IPv4-mapped address", f'Write "{address.ipv4_mapped}".')
    if address.is_unspecified:
        raise ValueError("must be the address of one machine", "The unspecified address stands for none.")
    if address.is_multicast or address == IPv4Address("255.255.255.255"):
        raise ValueError("must be a unicast address", "A connection has exactly two ends.")
    if address.is_loopback:
        raise ValueError("must not be a loopback address", "Packets from the network never reach it.")
