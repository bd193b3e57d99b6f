"""The measurement of the programs' own cost measures what it says."""

from __future__ import annotations

import pytest

from .cost import costs
from .duel import Duel


@pytest.mark.live
def test_measured_programs_redirect_every_packet(tc: Duel) -> None:
    found = costs(tc, repeat=2000, rounds=2)
    assert [(cost.front, cost.way) for cost in found] == [
        ("tc", "original"), ("tc", "reply"), ("xdp", "original"), ("xdp", "reply"),
    ]  # fmt: skip
    carried = tc.path.services.load(tc.services[0], tc.services[0].real_servers[0])
    assert carried.packets == (2 + 2 * 2 * 2000, 1 + 2 * 2 * 2000)
