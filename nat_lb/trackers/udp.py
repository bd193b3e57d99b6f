"""UDP (RFC 768): one state, kept alive by datagrams in either direction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from nat_lb.flow import Direction
from nat_lb.tracker import Tracker


class Udp(Tracker):
    """The UDP tracker; IP protocol 17."""

    name = "udp"
    protocol = 17
    header = 8
    checksum_at: ClassVar[int | None] = 6
    states = ("UDP",)
    events = ("datagram",)
    transitions: ClassVar[Mapping[Direction, Mapping[str, tuple[str, ...]]]] = {
        Direction.ORIGINAL: {"datagram": ("UDP",)},
        Direction.REPLY: {"datagram": ("UDP",)},
    }
    timeouts: ClassVar[Mapping[str, float]] = {"UDP": 300}
    active = frozenset({"UDP"})
    opening = frozenset({"datagram"})
