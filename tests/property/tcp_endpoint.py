"""The endpoint of the TCP model, which is part of the kit now."""

from nat_lb.testing.tcp_endpoint import Stack, Write, anything, lines

__all__ = ["Stack", "Write", "anything", "lines"]
