"""docs/explanation/kernel-helpers.md is true: each row is played through the kernel and through nat-lb."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.live.ground import Family
from tests.live.kernel_cases import CASES, PROTOCOLS
from tests.live.side_by_side import Direct, NoKernelHelper, Outcome, Stage, kernel, nat_lb, perform, stage

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "kernel-helpers.md"
ROW = re.compile(r"^\| (\w[^|]*?) +\| (works|fails) +\| (works|fails) +\|", re.MULTILINE)
TABLE = {name: (linux, ours) for name, linux, ours in ROW.findall(PAGE.read_text())}
PORTS = {name: 20000 + 100 * number for number, name in enumerate(CASES)}  # below what connections take by themselves

each_case = pytest.mark.parametrize("name", CASES)
ALIKE = [name for name, verdicts in TABLE.items() if "fails" not in verdicts]


class Theatre:
    """One kind of director: a stage for each family, and the outcome of each case, played when first asked for."""

    def __init__(self, stack: contextlib.ExitStack, director: Callable[..., Direct]) -> None:
        self._stack = stack
        self._director = director
        self._stages: dict[Family, Stage] = {}
        self._outcomes: dict[str, Outcome] = {}

    def outcome(self, name: str) -> Outcome:
        case = CASES[name]
        if case.family not in self._stages:
            opened = stage(case.family, self._director(case.family, PROTOCOLS))
            self._stages[case.family] = self._stack.enter_context(opened)
        if name not in self._outcomes:
            self._outcomes[name] = perform(self._stages[case.family], case.play, PORTS[name])
        return self._outcomes[name]


@pytest.fixture(scope="module")
def ours() -> Iterator[Theatre]:
    with contextlib.ExitStack() as stack:
        yield Theatre(stack, nat_lb)


@pytest.fixture(scope="module")
def kernels() -> Iterator[Theatre]:
    with contextlib.ExitStack() as stack:
        yield Theatre(stack, kernel)


def kernels_outcome(kernels: Theatre, name: str) -> Outcome:
    try:
        return kernels.outcome(name)
    except NoKernelHelper as lack:
        pytest.skip(f"nothing to compare with: this machine's kernel is no such director: {lack}")


def test_table_has_a_row_for_each_case() -> None:
    assert list(TABLE) == list(CASES)


@each_case
def test_nat_lb_does_what_the_table_says(ours: Theatre, name: str) -> None:
    outcome = ours.outcome(name)
    assert outcome.verdict == TABLE[name][1], outcome


@each_case
def test_kernel_does_what_the_table_says(kernels: Theatre, name: str) -> None:
    outcome = kernels_outcome(kernels, name)
    assert outcome.verdict == TABLE[name][0], outcome


@pytest.mark.parametrize("name", ALIKE)
def test_both_ends_read_the_same_octets_through_either_director(kernels: Theatre, ours: Theatre, name: str) -> None:
    there, here = kernels_outcome(kernels, name), ours.outcome(name)
    start, end = CASES[name].unlike
    one, other = (outcome.server[:start] + outcome.server[end:] for outcome in (there, here))
    assert (here.client, other) == (there.client, one)
    assert here.client and other
