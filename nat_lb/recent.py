"""What was used lately: a bounded memory for whoever must remember flows, clients or destinations.

The law: what is remembered is bounded in number and in idle time, and forgetting needs no timer: it happens while
things are looked up and put in. Times are arguments, in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

CHECK = 60.0  # seconds between two looks at whether there are too many
CHECKS = 30  # looks between two searches for what is past its expiry
IDLE = 360.0  # seconds after which an entry goes first if there are too many


class Recent(Generic[Key, Value]):
    """Entries by key, least recently used first.

    Once a minute, if there are more than `size`, up to four thirds of the excess are forgotten, those idle for more
    than 6 minutes alone; every half hour whatever was idle for `expiry` seconds. At one and a half times `size` nothing
    new is taken in. These are the rules of the caches of IPVS's lblc.
    """

    def __init__(self, size: int, expiry: float) -> None:
        self.size = size
        self.expiry = expiry
        self._entries: dict[Key, tuple[Value, float]] = {}  # with the time of the last use, oldest first
        self._check_at: float | None = None
        self._checks = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[tuple[Key, Value]]:
        return ((key, value) for key, (value, _) in list(self._entries.items()))

    def get(self, key: Key, now: float) -> Value | None:
        """Return what is remembered, used at this moment; None if nothing is."""
        self._look_through(now)
        found = self._entries.pop(key, None)
        if found is None:
            return None
        self._entries[key] = (found[0], now)
        return found[0]

    def put(self, key: Key, value: Value, now: float) -> None:
        """Remember a value, or another one; a new one is not taken while there are far too many."""
        self._look_through(now)
        if self._entries.pop(key, None) is not None or len(self._entries) < self.size * 3 // 2:
            self._entries[key] = (value, now)

    def forget(self, unwanted: Callable[[Value], bool]) -> None:
        """Drop every entry whose value is unwanted."""
        self._entries = {key: entry for key, entry in self._entries.items() if not unwanted(entry[0])}

    def _look_through(self, now: float) -> None:
        if self._check_at is None:
            self._check_at = now + CHECK
        if now < self._check_at:
            return
        due = int((now - self._check_at) // CHECK) + 1  # nobody asked for a while: catch up
        self._check_at += due * CHECK
        half_hours, self._checks = divmod(self._checks + due, CHECKS)
        if half_hours:
            self._drop_oldest(len(self), now - self.expiry)
        elif len(self) > self.size:
            self._drop_oldest(min((len(self) - self.size) * 4 // 3, self.size // 2), now - IDLE)

    def _drop_oldest(self, goal: int, used_before: float) -> None:
        for key, (_, used) in list(self._entries.items())[:goal]:
            if used > used_before:
                return
            del self._entries[key]
