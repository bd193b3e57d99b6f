"""Labs for the live tests: one for a module's tests to share, one for each test that needs its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nat_lb.testing.lab import Lab


@pytest.fixture(scope="module")
def shared_lab() -> Iterator[Lab]:
    """A lab with one client and two real servers, kept for the whole module."""
    with Lab() as lab:
        yield lab


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A lab of the test's own."""
    with Lab() as lab:
        yield lab


@pytest.fixture
def slow_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have directors take every packet to Python, whatever `--datapath` says: for what only holds there."""
    monkeypatch.setattr(Lab, "datapath", "nfqueue")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out, in a user namespace, what needs a fast path: loading programs is for the machine's own root."""
    every_user = Path("/proc/self/uid_map").read_text().split()[2] == str(2**32 - 1)
    if item.path.name.startswith("test_fast") and not every_user:
        pytest.skip("loading eBPF programs is for the machine's own root")
