"""The scheduler "lblc" against what every scheduler owes, and what it claims."""

from __future__ import annotations

from typing import Any, ClassVar

from nat_lb.testing.conformance import SchedulerConformance


class TestLocalityBasedLeastConnections(SchedulerConformance):
    scheduler = "lblc"
    options: ClassVar[dict[str, Any]] = {"expiry": 3600.0, "size": 2}
