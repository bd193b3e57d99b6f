"""Signals while a lab is up: SIGTERM and SIGHUP unwind the stack, so that the lab is removed, not left.

The law: a handler that somebody else installed is left alone, and the default is back when the last lab is gone.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

UNWINDING = (signal.SIGTERM, signal.SIGHUP)

_guarded: list[object] = []


def _unwind(number: int, _frame: FrameType | None) -> None:
    # Not SystemExit: a test runner takes that for one failed test and goes on.
    raise KeyboardInterrupt(signal.Signals(number).name)


def guard(lab: object) -> None:
    """Make the signals that end a process unwind its stack, until `release`; only the main thread can."""
    if not _guarded and threading.current_thread() is threading.main_thread():
        for number in UNWINDING:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _unwind)
    _guarded.append(lab)


def release(lab: object) -> None:
    """Take back what `guard` did."""
    if lab in _guarded:
        _guarded.remove(lab)
    if not _guarded and threading.current_thread() is threading.main_thread():
        for number in UNWINDING:
            if signal.getsignal(number) is _unwind:
                signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold the signals back while a lab is removed; they arrive afterwards."""
    held = {signal.SIGINT, *UNWINDING}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
