"""The measurement of the programs' own cost measures what it says."""

from __future__ import annotations

import pytest

from .cost import SERVER, Meter, memory
from .duel import Duel
from .nets import IPV4


@pytest.mark.live
def test_measured_programs_redirect_every_packet(tc: Duel) -> None:
    tc.serve(IPV4.service(SERVER))
    meter = Meter(tc.path)
    meter.open(100)
    found = meter.costs(100, repeat=2000, rounds=2)
    meter.close()
    assert [(cost.front, cost.way) for cost in found] == [
        ("tc", "original"), ("tc", "reply"), ("xdp", "original"), ("xdp", "reply"),
    ]  # fmt: skip
    carried = tc.path.services.load(tc.services[0], tc.services[0].real_servers[0])
    assert (carried.opened, carried.active) == (100, 100)
    assert carried.packets == (200 + 2 * 2 * 2000, 100 + 2 * 2 * 2000)


@pytest.mark.live
def test_connection_takes_two_lines_of_memory_and_little_more(tc: Duel) -> None:
    room = tc.path.kernel.maps["connections"].entries
    assert 100 < memory(tc.path) / room < 150
