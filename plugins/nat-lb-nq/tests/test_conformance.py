"""The scheduler "nq" against what every scheduler owes, and what it claims."""

from __future__ import annotations

from nat_lb.testing.conformance import FAIR_BY_WEIGHT, SchedulerConformance


class TestNeverQueue(SchedulerConformance):
    scheduler = "nq"
    claims = (FAIR_BY_WEIGHT,)
