"""The TCP model, which is part of the kit now."""

from nat_lb.testing.tcp_model import Middle, Result, Segment, Stack, TcpModel, Write, lines

__all__ = ["Middle", "Result", "Segment", "Stack", "TcpModel", "Write", "lines"]
