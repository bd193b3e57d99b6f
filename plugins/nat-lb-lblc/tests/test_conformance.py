"""The scheduler "lblc" against what every scheduler owes."""

from __future__ import annotations

from typing import Any, ClassVar

from nat_lb.testing.conformance import SchedulerConformance


class TestLocalityBasedLeastConnections(SchedulerConformance):
    scheduler = "lblc"
    options: ClassVar[dict[str, Any]] = {"size": 16}
