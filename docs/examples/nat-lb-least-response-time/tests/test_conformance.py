"""What every scheduler owes; without measurements this one is fair by weight, too."""

from __future__ import annotations

from typing import Any, ClassVar

from nat_lb.testing.conformance import FAIR_BY_WEIGHT, SchedulerConformance


class TestLeastResponseTime(SchedulerConformance):
    scheduler = "least-response-time"
    options: ClassVar[dict[str, Any]] = {"file": "no-such-file"}
    claims = (FAIR_BY_WEIGHT,)
