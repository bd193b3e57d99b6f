"""The scheduler "lc" against what every scheduler owes, and what it claims."""

from __future__ import annotations

from nat_lb.testing.conformance import FAIR_EQUALLY, SchedulerConformance


class TestLeastConnections(SchedulerConformance):
    scheduler = "lc"
    claims = (FAIR_EQUALLY,)
