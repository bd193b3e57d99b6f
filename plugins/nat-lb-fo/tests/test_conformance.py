"""The scheduler "fo" against what every scheduler owes."""

from __future__ import annotations

from nat_lb.testing.conformance import SchedulerConformance


class TestWeightedFailover(SchedulerConformance):
    scheduler = "fo"
