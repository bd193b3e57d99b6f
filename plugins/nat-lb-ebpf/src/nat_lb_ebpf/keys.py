"""Flow keys: the core's octets to the kernel's.

The law: the core writes protocol, addresses, ports; the kernel's table has the protocol in a word of its own and the
ports before the addresses, so that IPv4's key is the beginning of a structure that fits both families.
"""

from __future__ import annotations

import socket
from typing import NamedTuple

from nat_lb.api import Endpoint

FAMILY_OF_LENGTH = {13: socket.AF_INET, 37: socket.AF_INET6}


class Key(NamedTuple):
    """A flow as the kernel's tables have it."""

    family: int
    octets: bytes  # 16 for IPv4, 40 for IPv6


def to_kernel(key: bytes) -> Key:
    """Translate a core's flow key of 13 or 37 octets; raises KeyError for another length."""
    family, ports = FAMILY_OF_LENGTH[len(key)], len(key) - 4
    return Key(family, bytes((key[0], 0, 0, 0)) + key[ports:] + key[1:ports])


def flow(protocol: int, source: tuple[bytes, bytes], destination: tuple[bytes, bytes]) -> bytes:
    """Return the core's key of a flow between two endpoints, each a packed address and a packed port."""
    return bytes((protocol,)) + source[0] + destination[0] + source[1] + destination[1]


def without_source(key: bytes) -> bytes:
    """Return the core's key of a packet that does not name its source's number."""
    return key[:-4] + b"\0\0" + key[-2:]


def family_of(endpoint: Endpoint) -> int:
    """Return the address family of an endpoint."""
    return socket.AF_INET if endpoint.address.version == 4 else socket.AF_INET6
