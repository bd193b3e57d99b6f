"""Hashes of one end of a flow, as IPVS computes them, and as data.

The law: a `FlowHash` is nothing but its fields, so that a fast path in the kernel computes the same number from them.
"""

from __future__ import annotations

from dataclasses import dataclass

from nat_lb.flow import Endpoint, FlowKey

GOLDEN_RATIO_32 = 0x61C88647  # Knuth's multiplicative hash, as Linux uses it
_MASK_32, _MASK_64 = 2**32 - 1, 2**64 - 1


def hsiphash(value: int, key: int) -> int:
    """Return the lower half of SipHash-1-3 of a 32-bit number; both halves of its key are `key`."""
    v0, v1 = 0x736F6D6570736575 ^ key, 0x646F72616E646F6D ^ key
    v2, v3 = 0x6C7967656E657261 ^ key, 0x7465646279746573 ^ key
    block = 4 << 56 | value
    for injected, mark in ((block, 0), (0, 0xFF), (0, 0), (0, 0)):
        v3 ^= injected
        v2 ^= mark
        v0, v1, v2, v3 = _sip_round(v0, v1, v2, v3)
        v0 ^= injected
    return (v0 ^ v1 ^ v2 ^ v3) & _MASK_32


def _sip_round(v0: int, v1: int, v2: int, v3: int) -> tuple[int, int, int, int]:
    v0 = v0 + v1 & _MASK_64
    v2 = v2 + v3 & _MASK_64
    v1 = _turned(v1, 13) ^ v0
    v3 = _turned(v3, 16) ^ v2
    v0 = _turned(v0, 32)
    v2 = v2 + v1 & _MASK_64
    v0 = v0 + v3 & _MASK_64
    v1 = _turned(v1, 17) ^ v2
    v3 = _turned(v3, 21) ^ v0
    return v0, v1, _turned(v2, 32), v3


def _turned(word: int, bits: int) -> int:
    return (word << bits | word >> (64 - bits)) & _MASK_64


@dataclass(frozen=True, slots=True)
class FlowHash:
    """A number from 0 to `size` - 1 for one end of a flow: the client's, or the virtual service's (`destination`).

    The address, as one 32-bit number (IPv6: its four words XORed), plus the port if `port`, is hashed: without a `key`
    by multiplication with the golden ratio, of which `size`, a power of two, keeps the upper bits; with a `key` by
    SipHash-1-3, modulo `size`. Offsets are added after the multiplication, but before SipHash.
    """

    size: int
    port: bool = False
    destination: bool = False
    key: int | None = None

    def __call__(self, flow: FlowKey, offset: int = 0) -> int:
        """Return the number for a flow; call with rising offsets for further ones."""
        return self.of(flow.destination if self.destination else flow.source, offset)

    def of(self, endpoint: Endpoint, offset: int = 0) -> int:
        """Return the number for an endpoint."""
        packed = endpoint.address.packed
        value = endpoint.port if self.port else 0
        value += int.from_bytes(packed, "big") if len(packed) == 4 else _folded(packed)
        if self.key is not None:
            return hsiphash(value + offset & _MASK_32, self.key) % self.size
        upper_bits = (value * GOLDEN_RATIO_32 & _MASK_32) >> 33 - self.size.bit_length()
        return (upper_bits + offset) % self.size


def _folded(packed: bytes) -> int:
    first, second, third, fourth = (int.from_bytes(packed[at : at + 4], "big") for at in range(0, 16, 4))
    return first ^ second ^ third ^ fourth
