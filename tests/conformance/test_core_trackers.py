"""The core's own trackers against what every tracker owes."""

from __future__ import annotations

from nat_lb.testing.conformance import TrackerConformance


class TestTcp(TrackerConformance):
    tracker = "tcp"
    distribution = "nat-lb"

    @classmethod
    def header(cls, event: int) -> bytes:
        header = bytearray(super().header(event))
        header[12] = 5 << 4  # the header's length in words of four octets
        return bytes(header)


class TestUdp(TrackerConformance):
    tracker = "udp"
    distribution = "nat-lb"

    @classmethod
    def header(cls, event: int) -> bytes:
        return bytes((0, 0, 0, 0, 0, 8, 0, 0))
