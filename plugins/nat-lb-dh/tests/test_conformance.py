"""The scheduler "dh" against what every scheduler owes, and what it claims."""

from __future__ import annotations

from nat_lb.testing.conformance import STICKY_TO_DESTINATION, SchedulerConformance


class TestDestinationHashing(SchedulerConformance):
    scheduler = "dh"
    claims = (STICKY_TO_DESTINATION,)
    may_refuse = True
