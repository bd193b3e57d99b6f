"""docs/reference/drop-reasons.md lists every reason, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from nat_lb.verdict import Reason

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "drop-reasons.md").read_text()
ROWS = [row.groups() for row in re.finditer(r"^\| `([a-z-]+)` \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)]


def test_every_reason_is_documented_in_the_codes_order() -> None:
    assert [name for name, _, _ in ROWS] == [reason.value for reason in Reason]


def test_every_row_says_when_and_what_the_sender_gets() -> None:
    for name, when, answer in ROWS:
        assert len(when.split()) >= 8, name
        assert answer.strip(), name
