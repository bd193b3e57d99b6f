"""The scheduler "ovf" against what every scheduler owes."""

from __future__ import annotations

from nat_lb.testing.conformance import SchedulerConformance


class TestWeightedOverflow(SchedulerConformance):
    scheduler = "ovf"
    may_refuse = True  # when all are full
