"""Bindings: one virtual endpoint, one real endpoint, and what exchanging them does to checksums.

The law: a real server's own binding has the real server's number; numbers above those are of single connections that
a payload announced, and are free again when their connection is gone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from socket import AF_INET
from typing import NamedTuple

from nat_lb.api import Direction, Endpoint
from nat_lb_ebpf import layout
from nat_lb_ebpf.arrays import Array, assign
from nat_lb_ebpf.keys import family_of


class Pair(NamedTuple):
    """The endpoints that are exchanged."""

    virtual: Endpoint
    real: Endpoint


def change(old: bytes, new: bytes) -> int:
    """Return what replacing `old` by `new` adds to a ones' complement sum of words as this host loads them."""
    return (int.from_bytes(new, sys.byteorder) - int.from_bytes(old, sys.byteorder)) % 0xFFFF


def write(record: layout.Binding, pair: Pair, *, server: int, service: int, tracker: int, protocol: int) -> None:
    """Fill in a binding's record; its family, which says that it is used, comes last."""
    (virtual, virtual_port), (real, real_port) = pair.virtual.packed, pair.real.packed
    for field, value in (
        (record.virtual_address, virtual),
        (record.real_address, real),
        (record.virtual_port, virtual_port),
        (record.real_port, real_port),
    ):
        assign(field, value)
    for changes, old, new in (
        (record.address_change, virtual, real),
        (record.port_change, virtual_port, real_port),
    ):
        changes[Direction.ORIGINAL], changes[Direction.REPLY] = change(old, new), change(new, old)
    record.server, record.service, record.tracker, record.protocol = server, service, tracker, protocol
    record.family = family_of(pair.virtual)


def read(record: layout.Binding) -> Pair:
    """Return the endpoints of a binding that is used."""
    size = 4 if record.family == AF_INET else 16
    return Pair(
        _endpoint(bytes(record.virtual_address)[:size], bytes(record.virtual_port)),
        _endpoint(bytes(record.real_address)[:size], bytes(record.real_port)),
    )


def _endpoint(address: bytes, port: bytes) -> Endpoint:
    return Endpoint(ip_address(address), int.from_bytes(port, "big"))


class Announced:
    """The bindings of single connections, numbers `first` and up."""

    def __init__(self, bindings: Array[layout.Binding], first: int, used: Callable[[], Iterable[int]]) -> None:
        self._bindings, self._first, self._used = bindings, first, used
        self._free: list[int] = []

    def take(self) -> int | None:
        """Return the number of a free binding, None if all belong to connections that are alive."""
        if not self._free:
            self.collect()
        return self._free.pop() if self._free else None

    def give_back(self, number: int) -> None:
        """Free a binding whose connection did not come to be."""
        self._bindings[number].family = 0
        self._free.append(number)

    def collect(self) -> None:
        """Free the bindings whose connections are gone."""
        alive = set(self._used())
        self._free = [number for number in range(len(self._bindings) - 1, self._first - 1, -1) if number not in alive]
        for number in self._free:
            self._bindings[number].family = 0
