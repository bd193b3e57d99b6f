"""Datagram rewriting: payload edits of UDP (RFC 768).

The law: a datagram is a message. There is no stream to keep consistent, so an edit changes nothing but its own packet:
the payload, the two lengths that count it, and the checksum by the difference.
"""

from __future__ import annotations

import struct

from nat_lb.checksum import adjust, delta
from nat_lb.edits import Ledger, show
from nat_lb.errors import PacketError
from nat_lb.flow import Direction
from nat_lb.helper import Edit, Helper, Message, Peers
from nat_lb.nat import Translation, transport_is_trustworthy
from nat_lb.packet import IPV4_HEADER, IPV6_HEADER, UDP, resize
from nat_lb.verdict import Reason

_HEADER = struct.Struct("!HHHH")
_LENGTH_AT, _CHECKSUM_AT = 4, 6
_LARGEST = 0xFFFF  # octets that the length field can count


class DatagramRewriter:
    """Both directions of one connection, and its helper."""

    __slots__ = ("_helper", "_ledger", "_peers")

    def __init__(self, helper: Helper, peers: Peers, ledger: Ledger) -> None:
        self._helper: Helper | None = helper
        self._peers = peers
        self._ledger = ledger

    @property
    def finished(self) -> bool:
        """Whether the connection's packets no longer need to come here."""
        return self._helper is None

    def began_with(self, data: bytes) -> bool:
        """Whether a packet is the one that opened this connection, come late: a datagram opens nothing anew."""
        return False

    def through(self, data: bytes, path: Translation, now: float) -> None:
        """Let no datagram through unread; see `payload.TcpRewriter.through`."""

    def rewrite(self, data: bytes, direction: Direction, now: float) -> bytes:
        """Return what a plain packet becomes, addresses untouched; raises PacketError if it may not pass."""
        if self._helper is None:
            return data
        self._ledger.now = now
        at = IPV4_HEADER if data[0] == 0x45 else IPV6_HEADER
        _, _, length, check = _HEADER.unpack_from(data, at)
        if length < _HEADER.size or at + length > len(data):
            raise PacketError(Reason.MALFORMED)
        size = 4 if at == IPV4_HEADER else 16
        source, destination = data[at - 2 * size : at - size], data[at - size : at]
        if check and not transport_is_trustworthy(source, destination, UDP, data[at : at + length], _CHECKSUM_AT):
            raise PacketError(Reason.BAD_CHECKSUM)
        payload = data[at + _HEADER.size : at + length]
        edits = show(self._helper, Message(payload, direction, self._peers, self._ledger), self._ledger)
        if self._ledger.stopped:
            self._helper = None
        return rebuilt(data, at, payload, edited(payload, edits)) if edits else data


def edited(payload: bytes, edits: list[Edit]) -> bytes:
    """Return a payload with edits made, which ascend and do not overlap."""
    parts, done = [], 0
    for start, end, text in edits:
        parts += [payload[done:start], text]
        done = end
    return b"".join((*parts, payload[done:]))


def rebuilt(data: bytes, at: int, old: bytes, new: bytes) -> bytes:
    """Return a plain packet, whose UDP header starts at `at`, with another payload; raises PacketError if too large.

    A checksum of zero, which says that there is none, stays.
    """
    length = _HEADER.size + len(new)
    if at + length > _LARGEST:
        raise PacketError(Reason.MALFORMED)
    out = bytearray(data[: at + _HEADER.size])
    growth = len(new) - len(old)
    resize(out, at + length - len(data))
    check = int.from_bytes(out[at + _CHECKSUM_AT : at + 8], "big")
    if check:
        # The length is in the header and once more in the pseudo-header (RFC 768).
        check = adjust(check, (delta(old, new) + 2 * growth) % 0xFFFF) or 0xFFFF
    out[at + _LENGTH_AT : at + 8] = length.to_bytes(2, "big") + check.to_bytes(2, "big")
    return bytes(out) + new
