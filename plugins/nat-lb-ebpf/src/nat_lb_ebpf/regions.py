"""Places in an array, given out and taken back.

The law: no two live regions overlap, and a region that was given back can be given again.
"""

from __future__ import annotations


class Regions:
    """Regions of an array of `size` places, first fit."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._taken: dict[int, int] = {}  # first place -> number of places

    def take(self, length: int) -> int | None:
        """Return the first of so many free places side by side, None if there are none."""
        at = 0
        for first in sorted(self._taken):
            if first - at >= length:
                break
            at = first + self._taken[first]
        if at + length > self.size:
            return None
        self.hold(at, length)
        return at

    def hold(self, first: int, length: int) -> None:
        """Take a region that is known to be free."""
        if length:
            self._taken[first] = length

    def give_back(self, first: int) -> None:
        """Give a region back, by its first place."""
        self._taken.pop(first, None)
