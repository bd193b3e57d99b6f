"""The segments of the TCP model, which is part of the kit now."""

from nat_lb.testing.tcp_segment import ACK, FIN, MSS, PSH, RST, SACK, SYN, TIMESTAMPS, URG, Segment, signed

__all__ = ["ACK", "FIN", "MSS", "PSH", "RST", "SACK", "SYN", "TIMESTAMPS", "URG", "Segment", "signed"]
