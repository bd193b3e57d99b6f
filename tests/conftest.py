"""Fixtures and rules for every test of the core."""

from __future__ import annotations

from pathlib import Path

import pytest

from nat_lb.testing.lab import Lab
from tests.little_plugins import Shelf

LIVE = Path(__file__).parent / "live"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the live tests be run once with each datapath."""
    parser.addoption(
        "--datapath",
        choices=("nfqueue", "ebpf"),
        default=Lab.datapath,
        help="what the labs' directors use, unless a test says it itself (nfqueue)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Tell the labs which datapath is wanted."""
    Lab.datapath = config.getoption("--datapath")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lives in tests/live as live: `pytest -m "not live"` needs no root."""
    for item in items:
        if LIVE in item.path.parents:
            item.add_marker(pytest.mark.live)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """A folder to install little plugins in."""
    return Shelf(tmp_path, monkeypatch)
