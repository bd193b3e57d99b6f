"""GRE version 1, the enhanced GRE that carries the packets of PPTP's calls (RFC 2637 §4.1).

Its header names a call by one number, the id that the packet's receiver gave it; where other protocols have the
source's port there is nothing. So one packet does not tell both ends, and a connection opens only between two ends that
the control connection has announced. Either end may speak first, and neither says when it is done: the control
connection does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from nat_lb.api import Direction, Tracker

NEW, CLIENT, SERVER, STREAM = "GRE_NEW", "GRE_CLIENT", "GRE_SERVER", "GRE_STREAM"


class Gre(Tracker):
    """The tracker "gre"; IP protocol 47."""

    name = "gre"
    protocol = 47
    header = 8  # flags and version, protocol, payload length, call id; sequence numbers may follow
    checksum_at = None
    ports_at = (None, 6)
    signature = (
        (0, 0xEF, 0x20),  # key present; no checksum, routing, source route or recursion; a sequence number or none
        (1, 0x7F, 0x01),  # version 1; an acknowledgement number or none
        (2, 0xFF, 0x88),  # protocol 0x880B: PPP
        (3, 0xFF, 0x0B),
    )
    states = (NEW, CLIENT, SERVER, STREAM)  # who has spoken so far: nobody, one, both
    events = ("packet",)
    transitions: ClassVar[Mapping[Direction, Mapping[str, tuple[str, ...]]]] = {
        Direction.ORIGINAL: {"packet": (CLIENT, CLIENT, STREAM, STREAM)},
        Direction.REPLY: {"packet": (SERVER, STREAM, SERVER, STREAM)},
    }
    timeouts: ClassVar[Mapping[str, float]] = {NEW: 600, CLIENT: 600, SERVER: 600, STREAM: 18000}
    groups: ClassVar[Mapping[str, tuple[str, ...]]] = {"gre_unanswered": (NEW, CLIENT, SERVER)}
    active = frozenset(states)
    opening = frozenset(events)
