"""TCP (RFC 9293) as a director sees it, state by state as IPVS does.

The law: the director sees segments, not sockets, so a state is the director's belief about both ends. A segment is
one event: a reset before all, then SYN (also SYN+ACK), FIN, plain ACK, and `none` for a segment without any of those
flags.

Read a row as: this event, seen in this direction, leads from the state in the heading to the state below it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from nat_lb.flow import Direction
from nat_lb.tracker import Tracker, table

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10

_STATES = {
    "NO": "NONE",
    "ES": "ESTABLISHED",
    "SS": "SYN_SENT",
    "SR": "SYN_RECV",
    "FW": "FIN_WAIT",
    "TW": "TIME_WAIT",
    "CL": "CLOSE",
    "CW": "CLOSE_WAIT",
    "LA": "LAST_ACK",
    "LI": "LISTEN",
    "SA": "SYNACK",
}


class Tcp(Tracker):
    """The TCP tracker; IP protocol 6."""

    name = "tcp"
    protocol = 6
    header = 20
    checksum_at: ClassVar[int | None] = 16
    event_at = 13
    states = tuple(_STATES.values())
    events = ("syn", "fin", "ack", "rst", "none")
    transitions: ClassVar[Mapping[Direction, Mapping[str, tuple[str, ...]]]] = {
        #        NO ES SS SR FW TW CL CW LA LI SA
        Direction.ORIGINAL: table(
            _STATES,
            """
            syn  SR ES ES SR SR SR SR SR SR SR SR
            fin  CL CW SS TW TW TW CL CW LA LI TW
            ack  ES ES SS ES FW TW CL CW CL LI ES
            rst  CL CL CL SR CL CL CL CL LA LI SR
            none CL CL CL CL CL CL CL CL CL CL CL
            """,
        ),
        Direction.REPLY: table(
            _STATES,
            """
            syn  SS ES SS SR SS SS SS SS SS LI SR
            fin  TW FW SS TW FW TW CL TW LA LI TW
            ack  ES ES SS ES FW TW CL CW LA ES ES
            rst  CL CL SS CL CL TW CL CL CL CL CL
            none CL CL CL CL CL CL CL CL CL CL CL
            """,
        ),
    }
    timeouts: ClassVar[Mapping[str, float]] = {
        "NONE": 2,
        "ESTABLISHED": 900,
        "SYN_SENT": 60,
        "SYN_RECV": 60,
        "FIN_WAIT": 60,
        "TIME_WAIT": 60,
        "CLOSE": 10,
        "CLOSE_WAIT": 60,
        "LAST_ACK": 60,
        "LISTEN": 120,
        "SYNACK": 60,
    }
    groups: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "syn": ("SYN_SENT", "SYN_RECV", "SYNACK"),
        "established": ("ESTABLISHED",),
        "fin": ("FIN_WAIT", "TIME_WAIT", "CLOSE_WAIT", "LAST_ACK"),
    }
    active = frozenset({"ESTABLISHED", "SYN_SENT", "SYN_RECV", "SYNACK"})
    reopened = frozenset({"TIME_WAIT", "CLOSE"})
    opening = frozenset({"syn"})
    sterile = frozenset({"rst"})

    @classmethod
    def event(cls, octet: int) -> str:
        """Return the event of a segment whose flags octet (RFC 9293 §3.1) is `octet`."""
        for flag, event in ((RST, "rst"), (SYN, "syn"), (FIN, "fin"), (ACK, "ack")):
            if octet & flag:
                return event
        return "none"
