"""The scheduler "sed" against what every scheduler owes, and what it claims."""

from __future__ import annotations

from nat_lb.testing.conformance import FAIR_BY_WEIGHT, SchedulerConformance


class TestShortestExpectedDelay(SchedulerConformance):
    scheduler = "sed"
    claims = (FAIR_BY_WEIGHT,)
