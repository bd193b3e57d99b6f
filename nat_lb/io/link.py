"""Link layers of capture files: where in a frame the IP packet is, and how to frame one again.

The law: the IP packet's own length decides where it ends (Ethernet pads), and a frame that holds none is not an error.
"""

from __future__ import annotations

ETHERNET, RAW = 1, 101
_NULL, _LOOP, _RAW_KINDS = 0, 108, (RAW, 12, 14, 228, 229)
_COOKED, _COOKED2 = 113, 276
KNOWN = frozenset({ETHERNET, _NULL, _LOOP, *_RAW_KINDS, _COOKED, _COOKED2})
_IPV4, _IPV6 = b"\x08\x00", b"\x86\xdd"
_IP = (_IPV4, _IPV6)
_VLAN = (b"\x81\x00", b"\x88\xa8", b"\x91\x00")


def find_ip(link: int, frame: bytes) -> int:
    """Return the offset of the IP packet in a frame of a known link type, -1 if it holds none (ARP, say)."""
    if link == ETHERNET:
        at = _after_type(frame, 12)
    elif link in _RAW_KINDS:
        at = 0
    elif link == _COOKED:
        at = _after_type(frame, 14)
    elif link == _COOKED2:
        at = 20 if frame[:2] in _IP else -1
    else:
        at = 4
    return at if 0 <= at < len(frame) and frame[at] >> 4 in (4, 6) else -1


def ip_length(frame: bytes, at: int) -> int:
    """Return how long the IP packet that starts at `at` says it is; 0 if its header is not there."""
    if frame[at] >> 4 == 4:
        return int.from_bytes(frame[at + 2 : at + 4], "big")
    if len(frame) < at + 40:
        return 0
    return 40 + int.from_bytes(frame[at + 4 : at + 6], "big")


def framed(packet: bytes | bytearray, header: bytes, *, turned: bool = False) -> bytes:
    """Return an Ethernet frame for `packet` with the addresses and VLAN tags of `header`, a frame's first octets.

    An empty header, of a packet that came without one, gives addresses of zeros.  With `turned` the frame goes back to
    where the header came from.
    """
    header = header or bytes(12) + _IPV4
    addresses = header[6:12] + header[:6] if turned else header[:12]
    return addresses + header[12:-2] + (_IPV4 if packet[0] >> 4 == 4 else _IPV6) + packet


def _after_type(frame: bytes, at: int) -> int:
    kind = frame[at : at + 2]
    while kind in _VLAN:
        at += 4
        kind = frame[at : at + 2]
    return at + 2 if kind in _IP else -1
