"""The scheduler "mh" against what every scheduler owes, and what it claims."""

from __future__ import annotations

from typing import Any, ClassVar

from nat_lb.testing.conformance import FAIR_BY_WEIGHT, MOVES_FEW, STICKY, SchedulerConformance


class TestMaglevHashing(SchedulerConformance):
    scheduler = "mh"
    claims = (FAIR_BY_WEIGHT, STICKY, MOVES_FEW)
    tolerance = 0.05
    may_refuse = True


class TestMaglevHashingWithFallback(SchedulerConformance):
    scheduler = "mh"
    options: ClassVar[dict[str, Any]] = {"fallback": True, "table_size": 251}
    claims = (STICKY,)
    may_refuse = True  # a light server may have no slot
