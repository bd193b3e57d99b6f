"""What can go wrong with the kernel: every message says who, where, what was found and what to do."""

from __future__ import annotations

import os

from nat_lb.api import SystemFault


class FastPathFault(SystemFault):
    """The kernel, libbpf or the compiled object does not do what the fast path needs."""

    @classmethod
    def of(cls, what: str, error: int, remedy: str) -> FastPathFault:
        """Make one of an errno value, positive or negative."""
        return cls(f"nat-lb-ebpf: {what} failed: {os.strerror(abs(error))}. {remedy}")
