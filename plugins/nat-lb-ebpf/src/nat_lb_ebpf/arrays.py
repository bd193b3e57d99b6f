"""Arrays that the kernel's programs and this process share as memory.

The law: an item is a view: what is read is what the kernel wrote last, and what is written is what it reads next.
"""

from __future__ import annotations

import ctypes as c
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from nat_lb_ebpf.libbpf import Map

Item = TypeVar("Item", bound=Any)


class Array(Generic[Item]):
    """The values of a mappable array as `kind`, a structure or a simple type of 8 octets or a multiple."""

    def __init__(self, source: Map, kind: type[Item]) -> None:
        self._items = (kind * source.entries).from_buffer(source.memory())

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, at: int) -> Item:
        item: Item = self._items[at]
        return item

    def from_(self, first: int) -> Iterator[Item]:
        """Yield the items from a place on."""
        return (self[at] for at in range(first, len(self)))

    def __setitem__(self, at: int, item: Item) -> None:
        self._items[at] = item


def octets(structure: c.Structure) -> bytes:
    """Return a structure's octets."""
    return bytes(structure)


def word(number: int) -> bytes:
    """Return a number as a key or value of 32 bits."""
    return number.to_bytes(4, "little")


def assign(field: c.Array[Any], value: bytes) -> None:
    """Write octets into an array of octets; what is left of it becomes 0."""
    field[:] = list(value.ljust(len(field), b"\0"))
