"""A flood of opening segments against a director with a fast path: those who are connected do not notice."""

from __future__ import annotations

import pytest

from nat_lb.testing.lab import Lab
from tests.live.flooded import bound, flood

pytestmark = pytest.mark.live

SEGMENTS, CONNECTIONS, ROOM = 100_000, 100, 8_000


def test_flood_of_opening_segments_breaks_no_connection(lab: Lab) -> None:
    outcome = flood(lab, SEGMENTS, CONNECTIONS, ROOM, pause=0.02)
    assert outcome.counters["new_connections"] > SEGMENTS / 2, "the flood got through to the table"
    assert outcome.counters["evictions"] > 0
    most = bound(ROOM, CONNECTIONS)
    assert CONNECTIONS < outcome.most <= most, "half-open connections have a quarter of the table"
    assert outcome.growth < 16 << 20
