"""Network devices, as far as the size of packets depends on them.

The law: only asked, never changed; a device that is gone in the middle of it does not count.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
from collections.abc import Callable, Iterable

_GET_FLAGS, _GET_MTU = 0x8913, 0x8921  # SIOCGIFFLAGS, SIOCGIFMTU
_LOOPBACK = 0x8
_REQUEST = struct.Struct("16si20x")

Ask = Callable[[str, int], int]


def largest_mtu(names: Iterable[str] | None = None, ask: Ask | None = None) -> int:
    """Return the largest MTU of this network namespace's devices, in octets; 0 if there is none beside the loopback."""
    largest = 0
    for name in [name for _, name in socket.if_nameindex()] if names is None else names:
        with contextlib.suppress(OSError):
            if not (ask or _ask)(name, _GET_FLAGS) & _LOOPBACK:
                largest = max(largest, (ask or _ask)(name, _GET_MTU))
    return largest


def _ask(name: str, what: int) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, what, _REQUEST.pack(name.encode(), 0))
    value: int = _REQUEST.unpack(answer)[1]
    return value & 0xFFFF if what == _GET_FLAGS else value
