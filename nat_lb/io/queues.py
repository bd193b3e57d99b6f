"""The kernel's own account of its packet queues, /proc/net/netfilter/nfnetlink_queue.

The law: reading it never disturbs a queue, and a queue that nobody listens to is not in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

_TABLE = Path("/proc/net/netfilter/nfnetlink_queue")


class QueueRow(NamedTuple):
    """One bound queue: `owner` is its netlink port, by custom the process id; the rest are the kernel's counters."""

    number: int
    owner: int
    waiting: int
    copy_mode: int
    copy_range: int
    lost_queue_full: int
    lost_socket_full: int
    received: int


def bound_queues(table: Path = _TABLE) -> dict[int, QueueRow]:
    """Return the bound queues of this network namespace by number; none when the kernel has no such facility."""
    try:
        lines = table.read_text().splitlines()
    except OSError:
        return {}
    rows = (QueueRow(*map(int, line.split()[:8])) for line in lines if line.strip())
    return {row.number: row for row in rows}
