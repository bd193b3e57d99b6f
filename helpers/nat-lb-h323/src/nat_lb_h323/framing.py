"""Where the ASN.1 is in what TCP carries: TPKT (RFC 1006 §6) and, in call signalling, Q.931 (H.225.0 §7.2.1).

The law: nothing is interpreted here but lengths.
"""

from __future__ import annotations

from nat_lb_h323.content import UnreadableError

TPKT_HEADER = 4  # octets
_VERSION = b"\x03\x00"  # and the reserved octet

_Q931 = 0x08
_USER_USER = 0x7E  # the one element whose length has two octets
_X208 = 0x05  # user information coded with ASN.1


def tpkt_length(data: bytes) -> int:
    """Return the length of the first TPKT, header included; 0 if more is needed to know it or it is incomplete.

    Octets that begin otherwise are one message, whatever their length: nobody can tell where the next one begins.
    """
    if not data.startswith(_VERSION[: len(data)]):
        return len(data)
    if len(data) < TPKT_HEADER:
        return 0
    length = int.from_bytes(data[2:TPKT_HEADER], "big")
    if length < TPKT_HEADER:
        return len(data)
    return length if len(data) >= length else 0


def is_tpkt(message: bytes) -> bool:
    """Whether a message that `tpkt_length` cut off is a TPKT."""
    return message.startswith(_VERSION) and int.from_bytes(message[2:TPKT_HEADER], "big") == len(message)


def short_tpkts(shortest: int) -> dict[bytes, int]:
    """Return the length of each TPKT with a content of less than `shortest` octets, by its header."""
    lengths = range(TPKT_HEADER, TPKT_HEADER + shortest)
    return {_VERSION + length.to_bytes(2, "big"): length for length in lengths}


def find_user_information(message: bytes) -> tuple[int, int] | None:
    """Return where the H323-UserInformation of a TPKT begins and ends; None if it has none. Raises UnreadableError."""
    at = TPKT_HEADER
    if len(message) <= at:
        return None  # some send empty ones to keep the connection alive
    if message[at] != _Q931 or len(message) < at + 2:
        raise UnreadableError(f"no Q.931 message but octet {message[at]:#04x}")
    at += 2 + (message[at + 1] & 0x0F) + 1  # the call reference and the message type
    while at < len(message):
        length = _element_length(message, at)
        if at + length > len(message):
            raise UnreadableError(f"element {message[at]:#04x} of {length} octets where {len(message) - at} are left")
        if message[at] == _USER_USER:
            is_asn1 = length > 4 and message[at + 3] == _X208
            return (at + 4, at + length) if is_asn1 else None
        at += length
    return None


def _element_length(message: bytes, at: int) -> int:
    """Return the length of an information element, its identifier and length octets included (Q.931 §4.5.1)."""
    if message[at] & 0x80:
        return 1
    size = 2 if message[at] == _USER_USER else 1
    return 1 + size + int.from_bytes(message[at + 1 : at + 1 + size], "big")
