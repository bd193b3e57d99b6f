"""Fixtures: the programs loaded, in a director's namespace whose neighbours are known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .duel import Duel, Ground

EVERY_USER = str(2**32 - 1)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out, in a user namespace, what loads programs: its root may not (bpf(2), CAP_BPF)."""
    if item.get_closest_marker("live") and Path("/proc/self/uid_map").read_text().split()[2] != EVERY_USER:
        pytest.skip("loading eBPF programs is for the machine's own root")


@pytest.fixture(scope="session")
def ground() -> Iterator[Ground]:
    with Ground() as ground:
        yield ground


@pytest.fixture(params=["tc", "xdp"])
def duel(request: pytest.FixtureRequest, ground: Ground) -> Iterator[Duel]:
    with Duel(ground, request.param) as duel:
        yield duel


@pytest.fixture
def tc(ground: Ground) -> Iterator[Duel]:
    with Duel(ground, "tc") as duel:
        yield duel
