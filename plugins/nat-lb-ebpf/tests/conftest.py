"""Fixtures: the programs loaded, in a director's namespace whose neighbours are known."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .duel import Duel, Ground


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
