"""The bounded memory: what is forgotten, when, and that nothing else is."""

from __future__ import annotations

from nat_lb.recent import Recent


def keys(recent: Recent[int, str]) -> list[int]:
    return [key for key, _ in recent]


def test_what_was_put_in_is_found_again_and_replaced() -> None:
    recent: Recent[int, str] = Recent(10, 100.0)
    assert recent.get(1, 0.0) is None
    recent.put(1, "a", 0.0)
    recent.put(1, "b", 1.0)
    assert (recent.get(1, 2.0), len(recent)) == ("b", 1)


def test_least_recently_used_entry_comes_first() -> None:
    recent: Recent[int, str] = Recent(10, 100.0)
    for key in (1, 2, 3):
        recent.put(key, "", 0.0)
    recent.get(1, 1.0)
    assert keys(recent) == [2, 3, 1]


def test_idle_entry_expires_at_the_half_hour_and_a_used_one_stays() -> None:
    recent: Recent[int, str] = Recent(10, 600.0)
    recent.put(1, "idle", 0.0)
    recent.put(2, "used", 0.0)
    recent.get(2, 1300.0)
    assert keys(recent) == [1, 2]
    recent.get(3, 1801.0)
    assert keys(recent) == [2]


def test_excess_of_idle_entries_is_forgotten_at_the_minute() -> None:
    recent: Recent[int, str] = Recent(10, 86400.0)
    for key in range(13):
        recent.put(key, "", 0.0)
    recent.get(0, 359.0)
    assert len(recent) == 13
    recent.get(0, 420.0)
    assert keys(recent) == [5, 6, 7, 8, 9, 10, 11, 12, 0]  # 3 too many, so 4 go


def test_entries_in_use_stay_even_if_there_are_too_many() -> None:
    recent: Recent[int, str] = Recent(10, 86400.0)
    for key in range(15):
        recent.put(key, "", 100.0)
    recent.get(0, 400.0)
    assert len(recent) == 15


def test_nothing_new_is_taken_at_one_and_a_half_times_the_size() -> None:
    recent: Recent[int, str] = Recent(10, 86400.0)
    for key in range(20):
        recent.put(key, "old", 0.0)
    recent.put(3, "new", 0.0)
    assert len(recent) == 15
    assert (recent.get(3, 1.0), recent.get(19, 1.0)) == ("new", None)


def test_unwanted_values_are_forgotten_at_once() -> None:
    recent: Recent[int, str] = Recent(10, 100.0)
    recent.put(1, "a", 0.0)
    recent.put(2, "b", 0.0)
    recent.forget(lambda value: value == "a")
    assert keys(recent) == [2]


def test_a_long_silence_counts_as_all_its_minutes() -> None:
    recent: Recent[int, str] = Recent(10, 600.0)
    recent.put(1, "", 0.0)
    recent.get(2, 1e6)
    assert len(recent) == 0
    recent.put(1, "", 1e6)
    recent.get(2, 1e6 + 61)
    assert len(recent) == 1
