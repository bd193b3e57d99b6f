"""The scheduler "wlc" against what every scheduler owes, and what it claims."""

from __future__ import annotations

from nat_lb.testing.conformance import FAIR_BY_WEIGHT, SchedulerConformance


class TestWeightedLeastConnections(SchedulerConformance):
    scheduler = "wlc"
    claims = (FAIR_BY_WEIGHT,)
