"""The fault log: counted always, told once a minute, with the culprit's name."""

from __future__ import annotations

import pytest

from nat_lb.faults import QUIET, FaultLog


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_line_says_who_where_what_about_and_why(caplog: pytest.LogCaptureFixture) -> None:
    FaultLog(lambda error: "acme-x").report("nat_lb_schedule", "web", ValueError("no such server"), 0.0)
    assert lines(caplog) == ["acme-x: nat_lb_schedule failed for web: ValueError: no such server"]
    assert caplog.records[0].exc_info is not None


def test_one_place_is_told_once_a_minute_and_counted_always(caplog: pytest.LogCaptureFixture) -> None:
    log = FaultLog(lambda error: "acme-x")
    for now in (0.0, 1.0, QUIET - 0.1, QUIET, QUIET + 1, 3 * QUIET):
        log.report("frame", "web", ValueError("x"), now)
    assert [line.partition(": x")[2] for line in lines(caplog)] == [
        "",
        " (2 more since the last report)",
        " (1 more since the last report)",
    ]
    assert log.counts == {("acme-x", "frame"): 6}


def test_places_and_culprits_are_told_apart(caplog: pytest.LogCaptureFixture) -> None:
    log = FaultLog(lambda error: str(error))
    for owner, where in (("acme-x", "frame"), ("acme-x", "holds"), ("acme-y", "frame"), ("acme-y", "frame")):
        log.report(where, "web", ValueError(owner), 0.0)
    assert len(caplog.records) == 3
    assert log.counts[("acme-y", "frame")] == 2
