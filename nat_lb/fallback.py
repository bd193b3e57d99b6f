"""Fallback: another scheduler in the place of one that fails or takes too long.

The law: a scheduler that fails or takes longer than its budget is replaced for that decision, and counted. Python
cannot interrupt it, so one that is late again and again is left alone for a while, and its fallback decides at once.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nat_lb.scheduler import Scheduler

PATIENCE = 3  # late decisions in a row after which the fallback takes over
REST = 60.0  # seconds for which it decides


class Fallback:
    """What one service does about its scheduler's faults.

    `counts` has decisions: "failed" and "late" ones, and "resting" ones that the fallback took while the scheduler was
    left alone.
    """

    def __init__(self, scheduler: Scheduler | None = None, budget: float = 0.0) -> None:
        self.scheduler = scheduler
        self.budget = budget  # seconds, 0 is no limit
        self.counts: Counter[str] = Counter()
        self._late_in_a_row = 0
        self._rests_until = float("-inf")

    def is_in_charge(self, now: float) -> bool:
        """Whether the service's own scheduler is left alone at this moment."""
        return self.scheduler is not None and now < self._rests_until

    def is_late(self, took: float) -> bool:
        """Whether a decision took longer than the budget; in seconds."""
        return 0 < self.budget < took

    def trust(self) -> None:
        """Forget that the scheduler was late: it is another one now."""
        self._late_in_a_row, self._rests_until = 0, float("-inf")

    def is_too_late(self, took: float, now: float) -> bool:
        """Take note of how long a decision took, in seconds; return whether that was once too often."""
        if not self.is_late(took):
            self._late_in_a_row = 0
            return False
        self.counts["late"] += 1
        self._late_in_a_row += 1
        if self._late_in_a_row < PATIENCE or now < self._rests_until:
            return False
        self._late_in_a_row, self._rests_until = 0, now + REST
        return True
