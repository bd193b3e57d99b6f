"""docs/how-to/prove-a-plugin.md works as printed: its classes pass, and its fault is told in just these words."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from nat_lb.testing.claims import Claim
from nat_lb.testing.conformance import SchedulerConformance

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "prove-a-plugin.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def printed() -> dict[str, Any]:
    """What the page's code defines, executed as one module."""
    module = types.ModuleType("nat_lb_forgetful")
    sys.modules[module.__name__] = module
    exec("\n".join(BLOCKS), module.__dict__)
    return module.__dict__


def test_printed_test_classes_pass_all_their_tests(printed: dict[str, Any]) -> None:
    ran = 0
    for name in [name for name in printed if name.startswith("Test")]:
        for test in [test for test in dir(printed[name]) if test.startswith("test_")]:
            getattr(printed[name](), test)()
            ran += 1
    assert ran >= 30


def test_printed_failure_is_what_the_kit_says(printed: dict[str, Any]) -> None:
    class Kit(SchedulerConformance):
        scheduler = "forgetful"

        @classmethod
        def scheduler_class(cls) -> Any:
            return printed["Forgetful"]

    with pytest.raises(AssertionError) as caught:
        Kit().test_nobody_is_chosen_when_there_is_no_real_server()
    assert f"```text\n{caught.value}\n```" in PAGE


def test_every_claim_and_attribute_is_in_the_tables() -> None:
    wanted = {claim.name for claim in Claim} | {
        name for name in SchedulerConformance.__annotations__ if name != "scheduler"
    }
    assert wanted <= set(re.findall(r"^\| `(\w+)`", PAGE, re.MULTILINE))
