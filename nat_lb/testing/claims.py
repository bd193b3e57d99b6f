"""What a scheduler may claim beyond what every scheduler owes, and how a broken promise is told.

The law: a claim that is not made is not tested; a failure says what was found, what was expected, and how to see it
again.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import NoReturn

from hypothesis import Phase, settings

# One fault at a time, told without what Hypothesis makes of the lines it ran through.
SEARCH = settings(
    deadline=None,
    report_multiple_bugs=False,
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.target, Phase.shrink),
)


class Claim(Enum):
    """One promise that some schedulers make and others do not."""

    FAIR_BY_WEIGHT = "connections are spread in proportion to the weights"
    FAIR_EQUALLY = "connections are spread evenly, whatever the weights"
    STICKY = "one client address leads to one real server while the servers stay as they are"
    STICKY_TO_DESTINATION = "one virtual address leads to one real server while the servers stay as they are"
    MOVES_FEW = "when a server is removed, hardly any client of the others moves"


def fail(what: str, *details: str) -> NoReturn:
    """Raise the AssertionError that a plugin's author reads: one line of what, then indented details."""
    __tracebackhide__ = True  # of pytest: all that matters is in the message
    raise AssertionError("\n".join([what, *(indented(detail) for detail in details if detail)]))


def indented(text: str) -> str:
    """Return a text of one or more lines, moved right by two columns."""
    return "\n".join(f"  {line}" for line in text.splitlines())


def numbered(steps: Iterable[str]) -> str:
    """Return steps as a numbered list."""
    return "\n".join(f"{number:3}. {step}" for number, step in enumerate(steps, 1))
