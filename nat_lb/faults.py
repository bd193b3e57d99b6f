"""Faults of plugins: contained, counted, and told once a minute.

The law: what a plugin raises costs at most the packet or the announcement that was at stake. The operator learns
which distribution it was, where, and how often; the log is never flooded.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

log = logging.getLogger("nat_lb.faults")

QUIET = 60.0  # seconds between two reports of one plugin's faults at one place


class FaultLog:
    """Counts faults by distribution and place; `owner` names the distribution that an exception came out of."""

    def __init__(self, owner: Callable[[BaseException], str]) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self._owner = owner
        self._told: dict[tuple[str, str], tuple[float, int]] = {}

    def report(self, where: str, subject: str, error: BaseException, now: float) -> None:
        """Count a fault and log it, with its traceback, unless one like it was logged less than a minute ago.

        `where` is the hook or method, `subject` the service or connection that it was about.
        """
        place = (self._owner(error), where)
        self.counts[place] += 1
        told_at, told = self._told.get(place, (float("-inf"), 0))
        if now - told_at < QUIET:
            return
        self._told[place] = (now, self.counts[place])
        missed = self.counts[place] - told - 1
        more = f" ({missed} more since the last report)" if missed else ""
        log.error("%s: %s failed for %s: %s: %s%s", *place, subject, type(error).__name__, error, more, exc_info=error)
