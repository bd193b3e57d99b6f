"""When a fallback stands in for a late scheduler, and for how long."""

from __future__ import annotations

from nat_lb.fallback import PATIENCE, REST, Fallback
from nat_lb.testing.schedules import Service
from nat_lb_rr import RoundRobin


def fallback(budget: float = 0.01) -> Fallback:
    return Fallback(RoundRobin(Service(1)), budget)


def test_third_late_decision_in_a_row_is_once_too_often() -> None:
    judge = fallback()
    assert PATIENCE == 3
    assert [judge.is_too_late(0.02, now) for now in (1.0, 2.0)] == [False, False]
    assert not judge.is_in_charge(2.0)
    assert judge.is_too_late(0.02, 3.0)
    assert judge.is_in_charge(3.0)
    assert judge.counts == {"late": 3}


def test_fallback_decides_for_a_minute_and_patience_begins_anew() -> None:
    judge = fallback()
    assert [judge.is_too_late(0.02, 0.0) for _ in range(3)] == [False, False, True]
    assert judge.is_in_charge(REST - 0.1)
    assert not judge.is_in_charge(REST)
    assert [judge.is_too_late(0.02, REST) for _ in range(3)] == [False, False, True]


def test_decision_in_time_forgives_the_late_ones_before_it() -> None:
    judge = fallback()
    assert not any(judge.is_too_late(took, 0.0) for took in (0.02, 0.02, 0.01, 0.02, 0.02))
    assert judge.counts == {"late": 4}


def test_another_scheduler_is_trusted_at_once() -> None:
    judge = fallback()
    assert [judge.is_too_late(0.02, 0.0) for _ in range(3)] == [False, False, True]
    judge.trust()
    assert not judge.is_in_charge(0.0)


def test_budget_of_0_is_no_limit_and_nobody_stands_in_without_a_fallback() -> None:
    assert not any(fallback(0.0).is_too_late(60.0, 0.0) for _ in range(9))
    alone = Fallback(None, 0.01)
    assert [alone.is_too_late(1.0, 0.0) for _ in range(4)] == [False, False, True, False]
    assert not alone.is_in_charge(1.0)
