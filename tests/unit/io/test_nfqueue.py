"""The loop without the kernel's queue: who is called when, and what is left at the end.  With it: tests/live."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from nat_lb.errors import SystemFault
from nat_lb.io import nfqueue
from nat_lb.io.handler import BatchEnd
from nat_lb.io.nfqueue import QueueReader, QueueStatistics
from nat_lb.io.queues import QueueRow

NETLINK_NETFILTER = 12


class FakeQueue:
    """Stands in for NetfilterQueue: an unbound netlink socket, which needs no privilege."""

    made: ClassVar[list[FakeQueue]]
    refused: ClassVar[set[int]]

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self.bound: tuple[int, dict[str, int]] | None = None
        self.reading: BaseException | None = None
        self.reads = 0
        self.made.append(self)

    def get_fd(self) -> int:
        return self.socket.fileno()

    def bind(self, number: int, callback: Callable[..., None], **options: int) -> None:
        if number in self.refused:
            raise OSError(f"Failed to create queue {number}.")
        self.bound = number, options

    def unbind(self) -> None:
        self.bound = None

    def run(self, block: bool) -> None:
        assert block is False
        self.reads += 1
        if self.reading is not None:
            raise self.reading

    def run_socket(self, source: Any) -> None:
        with contextlib.suppress(BlockingIOError):
            while source.recv(4096):
                pass
        self.reads += 1


@pytest.fixture
def queues(monkeypatch: pytest.MonkeyPatch) -> type[FakeQueue]:
    FakeQueue.made, FakeQueue.refused = [], set()
    monkeypatch.setattr(nfqueue, "NetfilterQueue", FakeQueue)
    monkeypatch.setattr(nfqueue, "bound_queues", dict)
    return FakeQueue


def nothing(*_: object) -> Any:
    return None


def reader(queue: int = 4, tick: Callable[[float], None] = nothing, **options: Any) -> QueueReader:
    return QueueReader(queue, nothing, tick, nothing, **options)


def test_two_queues_are_bound_and_unbound(queues: type[FakeQueue]) -> None:
    with reader(max_len=77):
        small, _ = queues.made
        assert [queue.bound and queue.bound[0] for queue in queues.made] == [4, 5]
        assert small.bound is not None and small.bound[1]["max_len"] == 77
    assert [queue.bound for queue in queues.made] == [None, None]


def test_refused_second_queue_frees_the_first(queues: type[FakeQueue]) -> None:
    queues.refused.add(5)
    with pytest.raises(SystemFault, match=r"queue 5: cannot be opened: Failed to create queue 5\. Run nat-lb as root"):
        reader()
    assert queues.made[0].bound is None


def test_taken_queue_names_its_owner(queues: type[FakeQueue], monkeypatch: pytest.MonkeyPatch) -> None:
    row = QueueRow(5, 4711, 0, 2, 65535, 0, 0, 0)
    monkeypatch.setattr(nfqueue, "bound_queues", lambda: {5: row})
    with pytest.raises(SystemFault, match="queue 5: already in use, probably by process 4711"):
        reader()


def test_ticks_follow_the_clock_and_begin_at_once(queues: type[FakeQueue]) -> None:
    times = iter(number * 0.26 for number in range(1000))
    ticks: list[float] = []

    def tick(now: float) -> None:
        ticks.append(now)
        if len(ticks) == 4:
            loop.stop()

    with reader(tick=tick, clock=lambda: next(times)) as loop:
        loop.run()
    gaps = [later - earlier for earlier, later in itertools.pairwise(ticks)]
    assert ticks[0] == pytest.approx(0.26)
    assert all(1.0 <= gap < 1.6 for gap in gaps)


def test_signal_that_comes_twice_is_served_once_and_restored(queues: type[FakeQueue]) -> None:
    served: list[str] = []
    before = signal.getsignal(signal.SIGUSR2)
    with reader() as loop:
        loop.on_signal(signal.SIGUSR2, lambda: served.append("reload"))
        loop.on_signal(signal.SIGUSR1, loop.stop)
        for signum in (signal.SIGUSR2, signal.SIGUSR2, signal.SIGUSR1):
            os.kill(os.getpid(), signum)
        loop.run()
    assert served == ["reload"]
    assert signal.getsignal(signal.SIGUSR2) is before


def test_removed_descriptor_is_served_no_more(queues: type[FakeQueue]) -> None:
    ours, theirs = socket.socketpair()
    served: list[bytes] = []
    with ours, theirs, reader() as loop:

        def serve() -> None:
            served.append(ours.recv(1))
            loop.remove_fd(ours.fileno())
            theirs.send(b"2")

        threading.Timer(0.3, loop.stop).start()
        loop.add_fd(ours.fileno(), serve)
        theirs.send(b"1")
        loop.run()
    assert served == [b"1"]


def test_another_thread_may_stop_the_loop(queues: type[FakeQueue]) -> None:
    with reader() as loop:
        threading.Timer(0.1, loop.stop).start()
        started = time.monotonic()
        loop.run()
    assert time.monotonic() - started < 0.8


def test_end_of_a_batch_is_no_fault_and_a_broken_queue_is(queues: type[FakeQueue]) -> None:
    with reader() as loop:
        queues.made[0].reading = BatchEnd()
        loop.drain()
        assert [queue.reads for queue in queues.made] == [1, 1]
        queues.made[0].reading = OSError(9, "Bad file descriptor")
        with pytest.raises(SystemFault, match=r"queue 4: reading failed: .*Bad file descriptor.*Restart nat-lb"):
            loop.drain()


def test_statistics_sum_both_queues(queues: type[FakeQueue], monkeypatch: pytest.MonkeyPatch) -> None:
    with reader() as loop:
        rows = {4: QueueRow(4, 1, 2, 2, 4016, 3, 4, 50), 5: QueueRow(5, 1, 1, 2, 65535, 1, 1, 7), 6: QueueRow(*[9] * 8)}
        monkeypatch.setattr(nfqueue, "bound_queues", lambda: rows)
        assert loop.statistics() == QueueStatistics(57, 3, 4, 5, 0, 0)
