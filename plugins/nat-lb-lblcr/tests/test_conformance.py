"""The scheduler "lblcr" against what every scheduler owes."""

from __future__ import annotations

from typing import Any, ClassVar

from nat_lb.testing.conformance import SchedulerConformance


class TestReplication(SchedulerConformance):
    scheduler = "lblcr"
    options: ClassVar[dict[str, Any]] = {"size": 16}
