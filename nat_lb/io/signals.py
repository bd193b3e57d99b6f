"""Signals as something to wait for, beside sockets.

The law: a handler only notes its signal; the callbacks are for whoever waits on `fd`, in a moment of its choosing.
"""

from __future__ import annotations

import contextlib
import signal
import socket
from collections import deque
from collections.abc import Callable
from types import FrameType
from typing import Any

Task = Callable[[], None]


class Signals:
    """Signals with a callback each; `fd` is readable when one has come. Main thread only, but for `wake`."""

    def __init__(self) -> None:
        self._callbacks: dict[int, Task] = {}
        self._previous: dict[int, Any] = {}
        self._noted: deque[int] = deque()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self.fd = self._reader.fileno()

    def on(self, signum: signal.Signals, callback: Task) -> None:
        """Note `signum` from now on, until `close`."""
        self._callbacks[signum] = callback
        previous = signal.signal(signum, self._note)
        self._previous.setdefault(signum, previous)

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        self._noted.append(signum)
        self.wake()

    def wake(self) -> None:
        """Make `fd` readable, from any thread."""
        with contextlib.suppress(OSError):  # it is full, so the loop will wake anyway; or closed, and there is no loop
            self._writer.send(b"\0")

    def pending(self) -> list[Task]:
        """Return the callbacks of the signals since the last call, in their order; a signal counts once, as ever."""
        with contextlib.suppress(BlockingIOError):
            self._reader.recv(4096)
        noted = dict.fromkeys(self._noted.popleft() for _ in range(len(self._noted)))
        return [self._callbacks[signum] for signum in noted]

    def close(self) -> None:
        """Put the signals' handlers of before back."""
        while self._previous:
            signal.signal(*self._previous.popitem())
        self._reader.close()
        self._writer.close()
