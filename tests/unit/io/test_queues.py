"""The kernel's table of queues, column by column."""

from __future__ import annotations

from pathlib import Path

from nat_lb.io.queues import bound_queues


def test_every_column_gets_its_name(tmp_path: Path) -> None:
    table = tmp_path / "nfnetlink_queue"
    table.write_text(
        "    7   4944   256 2  4016     3     4      512  1\n    8 3000000001     0 2 65535     0     0        9  1\n"
    )
    first, second = bound_queues(table).values()
    assert (first.number, first.owner, first.waiting, first.copy_range) == (7, 4944, 256, 4016)
    assert (first.lost_queue_full, first.lost_socket_full, first.received) == (3, 4, 512)
    assert (second.number, second.owner, second.copy_range) == (8, 3000000001, 65535)


def test_kernel_without_queues_has_none_bound(tmp_path: Path) -> None:
    assert bound_queues(tmp_path / "missing") == {}
