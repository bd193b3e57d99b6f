"""Signals that wait to be asked for."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator

import pytest

from nat_lb.io.signals import Signals


@pytest.fixture
def signals() -> Iterator[Signals]:
    made = Signals()
    yield made
    made.close()


def is_readable(signals: Signals) -> bool:
    return bool(select.select([signals.fd], [], [], 0)[0])


def test_callbacks_come_in_the_order_of_the_signals_each_once(signals: Signals) -> None:
    served: list[str] = []
    signals.on(signal.SIGUSR1, lambda: served.append("one"))
    signals.on(signal.SIGUSR2, lambda: served.append("two"))
    assert not is_readable(signals)
    for signum in (signal.SIGUSR2, signal.SIGUSR1, signal.SIGUSR2):
        os.kill(os.getpid(), signum)
    assert is_readable(signals) and served == []
    for callback in signals.pending():
        callback()
    assert served == ["two", "one"]
    assert not is_readable(signals) and signals.pending() == []


def test_waking_makes_it_readable_and_calls_nobody(signals: Signals) -> None:
    for _ in range(100_000):  # more than it holds
        signals.wake()
    assert is_readable(signals)
    assert signals.pending() == []


def test_handlers_of_before_are_back_after_the_end() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    signals = Signals()
    for _ in range(2):
        signals.on(signal.SIGUSR1, lambda: None)
    assert signal.getsignal(signal.SIGUSR1) is not before
    signals.close()
    signals.wake()
    assert signal.getsignal(signal.SIGUSR1) is before
