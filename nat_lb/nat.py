"""Network address translation of one packet: the only code that writes addresses and ports.

The law: in VS/NAT only the virtual endpoint and the real server's endpoint are exchanged; the client's is never
touched. So all connections of one service to one real server share two translations, whose checksum deltas are
computed once: when the real server is added.

Only plain packets come here (see `packet`).
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from typing import ClassVar

from nat_lb.checksum import adjust, checksum, delta, ones_sum
from nat_lb.flow import Direction, Endpoint
from nat_lb.packet import IPV4_HEADER, IPV6_HEADER, UDP, pseudo_sum
from nat_lb.tracker import Rows, Tracker
from nat_lb.verdict import Stage


class Traffic:
    """Packets and octets (IP header included) that one direction of a real server carried."""

    __slots__ = ("octets", "packets")

    def __init__(self) -> None:
        self.packets = 0
        self.octets = 0


class Translation(ABC):
    """One direction between a virtual endpoint and a real endpoint: what every packet of it needs, ready to use."""

    __slots__ = (
        "address", "address_delta", "base", "checksum_at", "direction", "event_at", "hops_at", "least_hops",
        "least_length", "port", "port_at", "rows", "traffic", "transport_delta", "wrong_stage", "zero_is_none",
    )  # fmt: skip

    def __init__(
        self, tracker: type[Tracker], old: Endpoint, new: Endpoint, direction: Direction, traffic: Traffic
    ) -> None:
        old_address, old_port = old.packed
        self.address, self.port = new.packed
        self.base = IPV4_HEADER if new.address.version == 4 else IPV6_HEADER
        self.address_delta = delta(old_address, self.address)
        self.direction = direction
        self.traffic = traffic
        original = direction is Direction.ORIGINAL
        self.port_at = tracker.ports_at[1 if original else 0]  # in the transport header; None if it is not there
        moved = delta(old_port, self.port) if self.port_at is not None else 0
        self.transport_delta = (self.address_delta + moved) % 0xFFFF
        self.checksum_at = 0 if tracker.checksum_at is None else self.base + tracker.checksum_at
        self.least_length = self.base + tracker.header
        self.event_at = 0 if tracker.event_at is None else self.base + tracker.event_at
        self.rows: Rows = tracker.rows(direction)
        # A real server's packet has already been routed, and its hop limit lowered, when it comes here.
        self.wrong_stage = Stage.AFTER_ROUTING if original else Stage.BEFORE_ROUTING
        self.least_hops = 2 if original else 0
        self.hops_at = 8 if self.base == IPV4_HEADER else 7
        self.zero_is_none = tracker.protocol == UDP

    @abstractmethod
    def apply(self, data: bytes | bytearray, middle: bytes | None = None, change: int = 0) -> bytes:
        """Return the packet, at least `least_length` octets, with address, port and checksums of the other side.

        `middle` are other octets to stand between the ports and the checksum of TCP or UDP, and `change` their delta.
        """


class _Elsewhere(Translation):
    """Of a protocol that has its numbers and its checksum, if any, elsewhere than TCP and UDP have them."""

    __slots__ = ()

    def apply(self, data: bytes | bytearray, middle: bytes | None = None, change: int = 0) -> bytes:
        out = bytearray(data)
        size = len(self.address)
        at = self.base - size if self.direction is Direction.ORIGINAL else self.base - 2 * size
        out[at : at + size] = self.address
        if self.base == IPV4_HEADER:
            self._settle(out, 10, self.address_delta)
        if self.port_at is not None:
            out[self.base + self.port_at : self.base + self.port_at + 2] = self.port
        if self.checksum_at:
            self._settle(out, self.checksum_at, self.transport_delta)
        return bytes(out)

    @staticmethod
    def _settle(out: bytearray, at: int, change: int) -> None:
        out[at : at + 2] = adjust(out[at] << 8 | out[at + 1], change).to_bytes(2, "big")


class _Straight(Translation):
    """Of TCP and UDP: the header up to the checksum is taken apart, and put together again, by one struct."""

    __slots__ = ("pack", "rest_at", "unpack")

    read: ClassVar[str]  # layout of IP header and ports, without what is replaced
    written: ClassVar[str]  # layout with it

    def __init__(
        self, tracker: type[Tracker], old: Endpoint, new: Endpoint, direction: Direction, traffic: Traffic
    ) -> None:
        super().__init__(tracker, old, new, direction, traffic)
        self.rest_at = self.checksum_at + 2
        rest = f"{self.checksum_at - self.base - 4}sH"
        self.unpack, self.pack = struct.Struct(self.read + rest).unpack_from, struct.Struct(self.written + rest).pack

    def udp_checksum(self, data: bytes, result: int) -> int:
        """Return the UDP checksum to send where the incremental one came out as or started from zero (RFC 768).

        Zero means that the sender computed none: the packet gets one then, as IPVS does; a computed zero is sent as
        0xFFFF.
        """
        if data[self.checksum_at : self.rest_at] != b"\0\0":
            return result or 0xFFFF
        addresses = data[self.base - 2 * len(self.address) : self.base]
        datagram = data[self.base :]
        total = pseudo_sum(addresses[: len(self.address)], addresses[len(self.address) :], UDP, len(datagram))
        check = checksum(datagram) - (total + self.transport_delta) % 0xFFFF
        return (check if check >= 0 else check + 0xFFFF) or 0xFFFF


class _Ipv4Original(_Straight):
    __slots__ = ()
    read, written = "!10sH4s4x2s2x", "!10sH4s4s2s2s"

    def apply(self, data: bytes | bytearray, middle: bytes | None = None, change: int = 0) -> bytes:
        head, check, source, port, between, transport = self.unpack(data)
        check = (check - self.address_delta) % 0xFFFF
        if middle is not None:
            between, transport = middle, transport - change
        result = (transport - self.transport_delta) % 0xFFFF
        if self.zero_is_none and not (result and transport):
            result = self.udp_checksum(bytes(data), result)
        return self.pack(head, check, source, self.address, port, self.port, between, result) + data[self.rest_at :]


class _Ipv4Reply(_Straight):
    __slots__ = ()
    read, written = "!10sH4x4s2x2s", "!10sH4s4s2s2s"

    def apply(self, data: bytes | bytearray, middle: bytes | None = None, change: int = 0) -> bytes:
        head, check, target, port, between, transport = self.unpack(data)
        check = (check - self.address_delta) % 0xFFFF
        if middle is not None:
            between, transport = middle, transport - change
        result = (transport - self.transport_delta) % 0xFFFF
        if self.zero_is_none and not (result and transport):
            result = self.udp_checksum(bytes(data), result)
        return self.pack(head, check, self.address, target, self.port, port, between, result) + data[self.rest_at :]


class _Ipv6Original(_Straight):
    __slots__ = ()
    read, written = "!8s16s16x2s2x", "!8s16s16s2s2s"

    def apply(self, data: bytes | bytearray, middle: bytes | None = None, change: int = 0) -> bytes:
        head, source, port, between, transport = self.unpack(data)
        if middle is not None:
            between, transport = middle, transport - change
        result = (transport - self.transport_delta) % 0xFFFF
        if self.zero_is_none and not (result and transport):
            result = self.udp_checksum(bytes(data), result)
        return self.pack(head, source, self.address, port, self.port, between, result) + data[self.rest_at :]


class _Ipv6Reply(_Straight):
    __slots__ = ()
    read, written = "!8s16x16s2x2s", "!8s16s16s2s2s"

    def apply(self, data: bytes | bytearray, middle: bytes | None = None, change: int = 0) -> bytes:
        head, target, port, between, transport = self.unpack(data)
        if middle is not None:
            between, transport = middle, transport - change
        result = (transport - self.transport_delta) % 0xFFFF
        if self.zero_is_none and not (result and transport):
            result = self.udp_checksum(bytes(data), result)
        return self.pack(head, self.address, target, self.port, port, between, result) + data[self.rest_at :]


class Binding:
    """Both translations between one virtual endpoint and one real endpoint; shared by all their connections."""

    __slots__ = ("original", "real", "reply", "virtual")

    def __init__(
        self, tracker: type[Tracker], virtual: Endpoint, real: Endpoint, traffic: tuple[Traffic, Traffic]
    ) -> None:
        original, reply = _layout(tracker, virtual.address.version)
        self.virtual, self.real = virtual, real
        self.original: Translation = original(tracker, virtual, real, Direction.ORIGINAL, traffic[Direction.ORIGINAL])
        self.reply: Translation = reply(tracker, real, virtual, Direction.REPLY, traffic[Direction.REPLY])


def _layout(tracker: type[Tracker], version: int) -> tuple[type[Translation], type[Translation]]:
    if tracker.ports_at != (0, 2) or tracker.checksum_at is None or tracker.checksum_at < 4:
        return _Elsewhere, _Elsewhere
    return (_Ipv4Original, _Ipv4Reply) if version == 4 else (_Ipv6Original, _Ipv6Reply)


def transport_is_trustworthy(source: bytes, destination: bytes, protocol: int, segment: bytes, at: int) -> bool:
    """Return whether a checksum at offset `at` is right, or only begun as in captures of offloaded packets."""
    pseudo = pseudo_sum(source, destination, protocol, len(segment))
    return (ones_sum(segment) + pseudo) % 0xFFFF == 0 or int.from_bytes(segment[at : at + 2], "big") == pseudo
