"""The scheduler "sh" against what every scheduler owes, and what it claims."""

from __future__ import annotations

from typing import Any, ClassVar

from nat_lb.testing.conformance import FAIR_BY_WEIGHT, STICKY, SchedulerConformance


class TestSourceHashing(SchedulerConformance):
    scheduler = "sh"
    claims = (FAIR_BY_WEIGHT, STICKY)
    tolerance = 0.05
    may_refuse = True


class TestSourceHashingWithFallback(SchedulerConformance):
    scheduler = "sh"
    options: ClassVar[dict[str, Any]] = {"fallback": True}
    claims = (FAIR_BY_WEIGHT, STICKY)
    tolerance = 0.05
    may_refuse = True  # heavy servers may leave no bucket to the last
