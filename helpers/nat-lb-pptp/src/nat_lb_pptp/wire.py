"""PPTP's control messages: how long they are, and where in them call ids stand (RFC 2637 §2).

The law: an id belongs to whoever assigned it, and a message holds at most one of each end: the sender's own ("Call
ID"), by which it names a call to the receiver for the first time or for the last, and the receiver's ("Peer's Call
ID"). Every message has a fixed length; nothing here looks beyond it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from nat_lb.api import Refusal

HEADER = 12  # octets: length, message type, magic cookie, control message type, reserved
LONGEST_MESSAGE = 1024  # octets; RFC 2637 has none of more than 220
_MAGIC_COOKIE = bytes.fromhex("1a2b3c4d")
_CONTROL, _MANAGEMENT = b"\0\1", b"\0\2"  # message types; the second is reserved and not defined
_STARTS = (_CONTROL + _MAGIC_COOKIE, _MANAGEMENT + _MAGIC_COOKIE)  # of a message, after its length
_ACCEPTED = 1  # the result code of a call that is connected


class Kind(IntEnum):
    """The control message types."""

    START_REQUEST = 1
    START_REPLY = 2
    STOP_REQUEST = 3
    STOP_REPLY = 4
    ECHO_REQUEST = 5
    ECHO_REPLY = 6
    OUTGOING_CALL_REQUEST = 7
    OUTGOING_CALL_REPLY = 8
    INCOMING_CALL_REQUEST = 9
    INCOMING_CALL_REPLY = 10
    INCOMING_CALL_CONNECTED = 11
    CALL_CLEAR_REQUEST = 12
    CALL_DISCONNECT_NOTIFY = 13
    WAN_ERROR_NOTIFY = 14
    SET_LINK_INFO = 15

    @property
    def title(self) -> str:
        """The name as RFC 2637 writes it."""
        return self.name.replace("_", "-").title()


class Layout(NamedTuple):
    """A message's length, and the offsets of its call ids and result code."""

    length: int
    own: int | None = None
    peer: int | None = None
    result: int | None = None


LAYOUTS = {
    Kind.START_REQUEST: Layout(156),
    Kind.START_REPLY: Layout(156),
    Kind.STOP_REQUEST: Layout(16),
    Kind.STOP_REPLY: Layout(16),
    Kind.ECHO_REQUEST: Layout(16),
    Kind.ECHO_REPLY: Layout(20),
    Kind.OUTGOING_CALL_REQUEST: Layout(168, own=12),
    Kind.OUTGOING_CALL_REPLY: Layout(32, own=12, peer=14, result=16),
    Kind.INCOMING_CALL_REQUEST: Layout(220, own=12),
    Kind.INCOMING_CALL_REPLY: Layout(24, own=12, peer=14, result=16),
    Kind.INCOMING_CALL_CONNECTED: Layout(28, peer=12),
    Kind.CALL_CLEAR_REQUEST: Layout(16, own=12),
    Kind.CALL_DISCONNECT_NOTIFY: Layout(148, own=12),
    Kind.WAN_ERROR_NOTIFY: Layout(40, peer=12),
    Kind.SET_LINK_INFO: Layout(24, peer=12),
}
# How the messages begin that say nothing of calls, and end none, up to their type; and how long they are.
SILENT = {
    LAYOUTS[kind].length.to_bytes(2, "big") + _STARTS[0] + kind.to_bytes(2, "big"): LAYOUTS[kind].length
    for kind in (Kind.START_REQUEST, Kind.START_REPLY, Kind.STOP_REPLY, Kind.ECHO_REQUEST, Kind.ECHO_REPLY)
}
REQUESTS = frozenset({Kind.OUTGOING_CALL_REQUEST, Kind.INCOMING_CALL_REQUEST})
REPLIES = frozenset({Kind.OUTGOING_CALL_REPLY, Kind.INCOMING_CALL_REPLY})


class Control(NamedTuple):
    """What a control message says of calls: the sender's id, the receiver's, and whether a reply connects the call."""

    kind: Kind
    own: int | None
    peer: int | None
    connected: bool


def message_length(data: bytes) -> int | None:
    """Return the length of the message that `data` begins with, 0 if it is not known yet, None if none begins so."""
    length = int.from_bytes(data[:2], "big") if len(data) >= 2 else HEADER
    begins = any(start.startswith(data[2:8]) for start in _STARTS)
    if not begins or not HEADER <= length <= LONGEST_MESSAGE:
        return None
    return length if len(data) >= 8 else 0


def kind_of(data: bytes) -> Kind | None:
    """Return the type of a control message, or of the beginning of one; None if it is not known, or not here yet."""
    number = int.from_bytes(data[8:10], "big")
    return Kind(number) if len(data) >= 10 and data[2:4] == _CONTROL and number in LAYOUTS else None


def parse(message: bytes) -> Control | None:
    """Read one whole message, None for a management message; raises Refusal if it is malformed."""
    if message[2:4] == _MANAGEMENT:
        return None
    kind = kind_of(message)
    if kind is None:
        raise Refusal(f"control message of unknown type {int.from_bytes(message[8:10], 'big')}", "malformed")
    layout = LAYOUTS[kind]
    if len(message) != layout.length:
        raise Refusal(f"{kind.title} of {len(message)} octets, expected {layout.length}", "malformed")
    connected = layout.result is not None and message[layout.result] == _ACCEPTED
    return Control(kind, _number(message, layout.own), _number(message, layout.peer), connected)


def _number(message: bytes, at: int | None) -> int | None:
    return None if at is None else int.from_bytes(message[at : at + 2], "big")
