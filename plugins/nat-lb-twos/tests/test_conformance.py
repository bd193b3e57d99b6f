"""The scheduler "twos" against what every scheduler owes, and what it claims."""

from __future__ import annotations

from typing import Any, ClassVar

from nat_lb.testing.conformance import FAIR_BY_WEIGHT, SchedulerConformance


class TestTwoChoices(SchedulerConformance):
    scheduler = "twos"
    options: ClassVar[dict[str, Any]] = {"seed": 1}
    claims = (FAIR_BY_WEIGHT,)
    tolerance = 0.05
