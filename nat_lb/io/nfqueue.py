"""The kernel's packet queue: the loop of a running director.

The law: the loop always comes back.  A batch of packets ends after 50 ms, so neither a flood nor a silent network keeps
timers, signals and the control socket from their turn; and everything happens between two packets, never inside one.

Two queues are read, `queue` and `queue + 1`.  NetfilterQueue reads into 4096 octets, of which metadata takes some, and
leaves a larger packet without a verdict; its other way of reading takes any size but costs 12 %.  So `rules` puts
packets over `LARGE` octets (reassembled fragments, jumbo frames) into the second queue.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from netfilterqueue import NetfilterQueue

from nat_lb.errors import SystemFault
from nat_lb.io.handler import BatchEnd, Handler, Process, Send
from nat_lb.io.queues import bound_queues
from nat_lb.io.signals import Signals, Task

LARGE = 3840
"""Octets of the largest IP packet that belongs into the first queue."""

TICK = 1.0
_BATCH = 0.05
_RECEIVE_BUFFER = 32 << 20
_MESSAGE = 0xFFFF + 1024  # the largest packet and its metadata
_NETLINK_NETFILTER, _SOL_NETLINK, _NO_ENOBUFS = 12, 270, 5
_QUEUE_CONFIG, _REQUEST, _CFG_PARAMS, _COPY_PACKET = 3 << 8 | 2, 1, 2, 2


@dataclass(frozen=True)
class QueueStatistics:
    """What became of the packets that were steered to the director, both queues together.

    `lost_queue_full` and `lost_socket_full` count packets that the kernel dropped because Python was too slow;
    `not_forwarded` those dropped or answered by a verdict; `faults` exceptions of any callable.
    """

    received: int
    waiting: int
    lost_queue_full: int
    lost_socket_full: int
    not_forwarded: int
    faults: int


class QueueReader:
    """Binds the queues when made, gives each packet to `process`, and calls `tick` about once a second.

    `send` is given the packets that are to go in place of one that is not forwarded; `max_len` is how many packets may
    wait in the kernel.  Raises `SystemFault` when the queues are taken or not allowed.  A context manager: leaving it
    unbinds.
    """

    def __init__(
        self,
        queue: int,
        process: Process,
        tick: Callable[[float], None],
        send: Send,
        *,
        clock: Callable[[], float] = time.monotonic,
        max_len: int = 8192,
    ) -> None:
        self.queue = queue
        self._tick = tick
        self._clock = clock
        self._handler = Handler(process, send, clock, f"queue {queue}")
        self._stopping = False
        self._tasks: dict[int, Task] = {}
        self._poll = select.poll()
        self._signals = Signals()
        self.add_fd(self._signals.fd, self._run_signals)
        self._queues: list[NetfilterQueue] = []
        self._sockets: list[socket.socket] = []
        try:
            self._open(queue, max_len, self._read)
            self._open(queue + 1, max_len, self._read_large)
            _copy_whole_packets(self._sockets[1], queue + 1)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> QueueReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add_fd(self, fd: int, callback: Task) -> None:
        """Have `callback` called, between packets, whenever `fd` is readable; what it raises is logged and counted."""
        self._tasks[fd] = callback
        self._poll.register(fd, select.POLLIN)

    def remove_fd(self, fd: int) -> None:
        """Forget `fd`; call it before closing the descriptor."""
        if self._tasks.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def on_signal(self, signum: signal.Signals, callback: Task) -> None:
        """Have `callback` called, between packets, after each `signum`, until `close`; main thread only."""
        self._signals.on(signum, callback)

    def stop(self) -> None:
        """Make `run` return after the present batch; may be called from a signal's callback or from another thread."""
        self._stopping = True
        self._signals.wake()

    def run(self) -> None:
        """Handle packets until `stop`; the first tick comes at once."""
        clock, tasks = self._clock, self._tasks
        next_tick = clock()
        while not self._stopping:
            now = clock()
            if now >= next_tick:
                self._guard("timers", lambda now=now: self._tick(now))  # type: ignore[misc]
                next_tick = now + TICK
            for fd, _ in self._poll.poll(max(0.0, next_tick - clock()) * 1000):
                task = tasks.get(fd)  # one that another task of this round has removed is gone
                if task is not None:
                    self._guard("a callback", task)
        self._stopping = False

    def drain(self) -> None:
        """Handle the packets that still wait, for at most one batch a queue.

        Called at the end, when no rule queues packets any more, so that none that was queued is lost.
        """
        self._read(self._queues[0])
        self._read_large(self._queues[1])

    def statistics(self) -> QueueStatistics:
        """Return the kernel's counters and ours as they stand."""
        table = bound_queues()
        rows = [table[number] for number in (self.queue, self.queue + 1) if number in table]
        return QueueStatistics(
            received=sum(row.received for row in rows),
            waiting=sum(row.waiting for row in rows),
            lost_queue_full=sum(row.lost_queue_full for row in rows),
            lost_socket_full=sum(row.lost_socket_full for row in rows),
            not_forwarded=self._handler.not_forwarded,
            faults=self._handler.faults,
        )

    def close(self) -> None:
        """Unbind the queues, dropping what waits in them, and restore the signals; the second call does nothing."""
        for bound in self._sockets:
            self.remove_fd(bound.fileno())
            bound.close()
        for queue in self._queues:
            queue.unbind()
        self._sockets.clear()
        self._queues.clear()
        self.remove_fd(self._signals.fd)
        self._signals.close()

    def _guard(self, what: str, task: Task) -> None:
        try:
            task()
        except SystemFault:
            raise
        except Exception as error:
            self._handler.report(what, error, self._clock())

    def _open(self, number: int, length: int, read: Callable[[NetfilterQueue], None]) -> None:
        queue, reader = _bind(number, self._handler, length)
        self._queues.append(queue)
        self._sockets.append(reader)
        self.add_fd(reader.fileno(), lambda: read(queue))

    def _read(self, queue: NetfilterQueue) -> None:
        self._batch(lambda: queue.run(block=False))

    def _read_large(self, queue: NetfilterQueue) -> None:
        self._batch(lambda: queue.run_socket(_LargeReader(self._sockets[1])))  # type: ignore[arg-type]

    def _batch(self, read: Task) -> None:
        self._handler.until(self._clock() + _BATCH)
        try:
            read()
        except BatchEnd:
            pass
        except OSError as error:
            raise SystemFault(f"queue {self.queue}: reading failed: {error}. Restart nat-lb.") from error

    def _run_signals(self) -> None:
        for callback in self._signals.pending():
            self._guard("a signal's callback", callback)


class _LargeReader:
    """What `run_socket` takes for a socket: reads messages of any size, whatever size it is asked for."""

    def __init__(self, source: socket.socket) -> None:
        self._recv = source.recv

    def recv(self, _size: int) -> bytes:
        return self._recv(_MESSAGE, socket.MSG_DONTWAIT)


def _bind(number: int, handler: Handler, length: int) -> tuple[NetfilterQueue, socket.socket]:
    owner = bound_queues().get(number)
    if owner is not None:
        raise SystemFault(
            f"queue {number}: already in use, probably by process {owner.owner}. Stop that program, or set "
            "another queue in [director]; the next number after it is used too."
        )
    try:
        queue = NetfilterQueue()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a smaller buffer than asked for is what a user namespace gets
            queue.bind(number, handler.handle, max_len=length, sock_len=_RECEIVE_BUFFER)
    except OSError as error:
        raise SystemFault(
            f"queue {number}: cannot be opened: {error} Run nat-lb as root, and with a kernel that has nfnetlink_queue "
            "(CONFIG_NETFILTER_NETLINK_QUEUE)."
        ) from error
    # Our own descriptor of the same socket, to wait for and to close; the package's is its own.
    reader = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER, fileno=os.dup(queue.get_fd()))
    reader.setsockopt(_SOL_NETLINK, _NO_ENOBUFS, 1)  # losses are read from the kernel's counters
    return queue, reader


def _copy_whole_packets(queue_socket: socket.socket, number: int) -> None:
    """Ask for up to 65535 octets of a packet, more than the package's own limit."""
    attribute = struct.pack("=HH", 9, _CFG_PARAMS) + struct.pack("!IB", 0xFFFF, _COPY_PACKET) + b"\0\0\0"
    body = struct.pack("!BBH", socket.AF_UNSPEC, 0, number) + attribute
    queue_socket.send(struct.pack("=IHHII", 16 + len(body), _QUEUE_CONFIG, _REQUEST, 0, 0) + body)
