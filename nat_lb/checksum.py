"""Internet checksums (RFC 1071), adjusted incrementally (RFC 1624).

The law: a checksum that was right stays right and one that was wrong stays wrong by the same amount. A packet's bytes
are never summed again to make its checksum; only the difference between the old and the new bytes is.

A *delta* is that difference in ones' complement arithmetic, 0 to 0xFFFE: what must be taken from the checksum field.
"""

from __future__ import annotations


def ones_sum(data: bytes | bytearray | memoryview) -> int:
    """Return the ones' complement sum of 16-bit words, 0 to 0xFFFF.

    An odd last octet counts as the high half of a word.
    """
    total = int.from_bytes(data, "big")
    if len(data) & 1:
        total <<= 8
    # 2^16 is 1 modulo 65535, so the sum of the words is the number itself; a sum that is not all zero never folds to 0.
    return total % 0xFFFF or (0xFFFF if total else 0)


def checksum(data: bytes | bytearray) -> int:
    """Return the checksum field's value for `data`, whose own checksum field holds 0."""
    return 0xFFFF - ones_sum(data)


def delta(old: bytes, new: bytes) -> int:
    """Return what replacing `old` by `new` (both starting at an even offset) changes, for `adjust`."""
    return (ones_sum(new) - ones_sum(old)) % 0xFFFF


def adjust(check: int, change: int) -> int:
    """Return the checksum field after a change of the covered bytes (RFC 1624 equation 3, HC' = ~(~HC + ~m + m'))."""
    check -= change
    return check if check >= 0 else check + 0xFFFF
