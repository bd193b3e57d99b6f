"""How a broken promise is told."""

from __future__ import annotations

import pytest

from nat_lb.testing.claims import fail, numbered


def test_failure_has_one_line_of_what_and_indented_details() -> None:
    with pytest.raises(AssertionError) as caught:
        fail("it broke", "expected: not so", "", "two\nlines")
    assert str(caught.value) == "it broke\n  expected: not so\n  two\n  lines"


def test_steps_are_numbered_from_one() -> None:
    assert numbered(["add A", "remove A"]) == "  1. add A\n  2. remove A"
