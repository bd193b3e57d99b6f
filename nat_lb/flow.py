"""Flow keys: which connection a packet belongs to.

The law: a flow is (protocol, source, source port, destination, destination port), and one flow has exactly one byte
string as its key: protocol, source, destination, ports, cut from the packet without decoding. IPv4 keys are 13 octets
long and IPv6 keys 37, so the two families share one table.
"""

from __future__ import annotations

from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

KEY_LENGTHS = (13, 37)


class Direction(IntEnum):
    """Which way a packet goes; who opened the connection does not matter."""

    ORIGINAL = 0  # from the client to the virtual service (IPVS: INPUT)
    REPLY = 1  # from the real server to the client (IPVS: OUTPUT)


class Endpoint(NamedTuple):
    """An address and a port, written as `address:port` or `[IPv6 address]:port`."""

    address: Address
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if self.address.version == 6 else f"{self.address}:{self.port}"

    @property
    def packed(self) -> tuple[bytes, bytes]:
        """The address (4 or 16 octets) and the port (2 octets) in network order."""
        return self.address.packed, self.port.to_bytes(2, "big")


class FlowKey(NamedTuple):
    """One direction of one flow, as schedulers see it: `source` is the client, `destination` the virtual service."""

    protocol: int
    source: Endpoint
    destination: Endpoint

    @classmethod
    def from_bytes(cls, key: bytes) -> FlowKey:
        """Decode a table key; raises ValueError for a length that no family has."""
        if len(key) not in KEY_LENGTHS:
            raise ValueError(f"a flow key has 13 or 37 octets, found {len(key)}")
        size = (len(key) - 5) // 2
        ports = 1 + 2 * size
        return cls(
            key[0],
            Endpoint(ip_address(key[1 : 1 + size]), int.from_bytes(key[ports : ports + 2], "big")),
            Endpoint(ip_address(key[1 + size : ports]), int.from_bytes(key[ports + 2 :], "big")),
        )

    def to_bytes(self) -> bytes:
        """Encode as a table key."""
        source, source_port = self.source.packed
        destination, destination_port = self.destination.packed
        return bytes((self.protocol,)) + source + destination + source_port + destination_port

    def reversed(self) -> FlowKey:
        """Return the other direction of the same flow."""
        return FlowKey(self.protocol, self.destination, self.source)

    def __str__(self) -> str:
        return f"{self.source} > {self.destination}"


def reverse(key: bytes) -> bytes:
    """Return the key of the other direction without decoding."""
    size = (len(key) - 5) // 2
    ports = 1 + 2 * size
    return key[:1] + key[1 + size : ports] + key[1 : 1 + size] + key[ports + 2 :] + key[ports : ports + 2]


def describe(data: bytes) -> str:
    """Return `protocol source > destination` of an IP packet for a log line; never raises, whatever the octets are."""
    plain_ipv4, ipv6 = data[:1] == b"\x45", data[:1] != b"" and data[0] >> 4 == 6
    if plain_ipv4 and len(data) >= 24:
        flow = FlowKey.from_bytes(data[9:10] + data[12:24])
    elif ipv6 and len(data) >= 44:
        flow = FlowKey.from_bytes(data[6:7] + data[8:44])
    else:
        return f"{len(data)} octets {data[:24].hex()}"
    return f"protocol {flow.protocol} {flow}"
