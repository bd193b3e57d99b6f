"""The fast path: what Python decided, the kernel executes (eBPF).

Packets of known connections, and of new ones whose scheduler is a plan, are translated, routed and sent on by programs
on the ingress of the director's devices; all else goes up the stack to the slow path, as it came. `EbpfPath` is all of
it: `services` says what the kernel is told, `connections` what it does, `devices` where.

The kernel's part is written in C, in `bpf/`; `layout` says the same in Python.
"""

from __future__ import annotations

from nat_lb.api import Config, FastPath, hookimpl
from nat_lb_ebpf.connections import Entry, Opened
from nat_lb_ebpf.errors import FastPathFault
from nat_lb_ebpf.fastpath import EbpfPath
from nat_lb_ebpf.kernel import Sizes
from nat_lb_ebpf.layout import CloseReason, Counter, EventKind, Flag

__all__ = ["CloseReason", "Counter", "EbpfPath", "Entry", "EventKind", "FastPathFault", "Flag", "Opened", "Sizes"]


@hookimpl
def nat_lb_make_fastpath(config: Config) -> FastPath | None:
    """Offer `datapath = "ebpf"`; raises SystemFault where the kernel, libbpf or the rights for it are missing."""
    from nat_lb_ebpf.plugin import Ebpf

    return Ebpf(config)
