"""Labs for the live tests: one for a module's tests to share, one for each test that needs its own."""

from __future__ import annotations

from collections.abc import Iterator

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
