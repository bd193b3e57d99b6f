"""The bench itself, at sizes that measure nothing: every part runs, and says what the page shows."""

from __future__ import annotations

import pytest

from tests.bench.__main__ import PAGE, PARTS, measure
from tests.bench.page import rewritten, rich_table
from tests.bench.sample import TINY, Row, Samples, take


@pytest.mark.parametrize("part", ["packet", "table", "collector"])
def test_every_part_in_process_measures_something(part: str) -> None:
    rows = PARTS[part][0](TINY)
    assert len({row.what for row in rows}) == len(rows)
    # So few connections may fit into memory that the process has already.
    assert all(row.value > 0 or row.what.startswith("memory") for row in rows), rows
    assert all(row.ratio is None or row.ratio > 0 for row in rows), rows


@pytest.mark.live
def test_slow_path_is_measured_in_a_namespace_of_its_own() -> None:
    rows = measure("queue", "tiny")
    assert [row.against for row in rows] == ["get and set payload"] * 3
    assert all(row.value > 0 and row.ratio for row in rows), rows


def test_ratio_is_the_median_of_the_turns_ratios() -> None:
    samples = Samples({"a": [1.0, 20.0, 3.0], "b": [2.0, 10.0, 2.0]})
    assert samples.ratio("a", "b") == 1.5
    assert samples.median("a") == 3.0


def test_candidates_are_measured_in_turns_after_a_turn_to_warm_up() -> None:
    order: list[str] = []

    def candidate(name: str) -> float:
        order.append(name)
        return float(len(order))

    samples = take({"a": lambda: candidate("a"), "b": lambda: candidate("b")}, 2)
    assert "".join(order) == "ababab"
    assert samples.median("a") == 4.0


def test_page_keeps_its_text_around_new_results() -> None:
    row = Row("Speed", "one packet", 2.5, "µs", "before", 5.0, 0.5, "<= 1")
    page = PAGE.read_text()
    new = rewritten(page, [row], TINY)
    assert "| one packet | 2.5 µs | before | 5.0 µs | 0.50 | <= 1 |" in new
    assert new.partition("<!-- generated")[0] == page.partition("<!-- generated")[0]
    assert rewritten(new, [row], TINY) == new
    assert rich_table([row]).row_count == 2
