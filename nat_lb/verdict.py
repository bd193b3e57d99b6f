"""Verdicts: what becomes of one packet.

The law: every packet gets exactly one verdict, and a packet that is not forwarded has a named `Reason`.

To spare the common case an allocation, a verdict to forward *is* the packet: the very object that came in (as is), or
another `bytes`/`bytearray` (modified). All other verdicts are instances of `NotForwarded`, whose `packets` are to be
sent in the packet's place (none for a drop, the refusal for a reject).
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import TypeAlias


class Stage(IntEnum):
    """Where the packet was taken from: decides which direction may be rewritten there.

    A client's packet is rewritten before the kernel routes it, a real server's packet after: a source that is the
    director's own address would be a martian if it were seen before routing.
    """

    ANY = 0
    BEFORE_ROUTING = 1
    AFTER_ROUTING = 2


class Reason(StrEnum):
    """Why a packet was not forwarded; the value is what logs and counters show."""

    MALFORMED = "malformed"
    TRUNCATED = "truncated"
    FRAGMENT = "fragment"
    BAD_CHECKSUM = "bad-checksum"
    NO_SERVICE = "no-service"
    NO_REAL_SERVER = "no-real-server"
    NO_CONNECTION = "no-connection"
    RESET_WITHOUT_CONNECTION = "reset-without-connection"
    REPLY_WITHOUT_CONNECTION = "reply-without-connection"
    ICMP_BAD_CHECKSUM = "icmp-bad-checksum"
    ICMP_UNTRANSLATABLE = "icmp-untranslatable"
    TTL_EXCEEDED = "ttl-exceeded"
    TABLE_FULL = "table-full"
    FLOW_TAKEN = "flow-taken"
    PLUGIN_FAULT = "plugin-fault"
    OUT_OF_ORDER = "out-of-order"
    STALE_RETRANSMISSION = "stale-retransmission"
    RESEGMENTED = "resegmented"


class NotForwarded:
    """The packet itself goes no further; `packets` are sent instead, each a whole IP packet."""

    __slots__ = ("packets", "reason")

    def __init__(self, reason: Reason, *packets: bytes) -> None:
        self.reason = reason
        self.packets = packets

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.reason.value}, {len(self.packets)} packets)"


class Drop(NotForwarded):
    """Nothing is sent."""

    __slots__ = ()


class Reject(NotForwarded):
    """The sender is told: a TCP reset or an ICMP error."""

    __slots__ = ()


class Replace(NotForwarded):
    """The packet's content goes on as other packets (payload that had to be cut again)."""

    __slots__ = ()


Verdict: TypeAlias = bytes | bytearray | NotForwarded
