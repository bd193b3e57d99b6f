"""Waiting for something to become true: never a fixed sleep, always with a limit and a name.

The law: a limit is there to end what waits in vain. It is far longer than anything takes on a busy machine, and costs
nothing where the condition becomes true.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from nat_lb.testing.lab.errors import LabError

T = TypeVar("T")

PAUSE = 0.02
"""Seconds between two looks."""
PATIENCE = 30.0
"""Seconds after which waiting for a program is in vain."""


def wait_until(predicate: Callable[[], T], seconds: float = PATIENCE, what: str = "") -> T:
    """Return the first true result of `predicate`.

    Raises `LabError`, naming `what`, when it stays false for `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not (result := predicate()):
        if time.monotonic() >= deadline:
            raise LabError(f"waited {seconds:g} s in vain for {what or getattr(predicate, '__name__', 'a condition')}")
        time.sleep(PAUSE)
    return result
