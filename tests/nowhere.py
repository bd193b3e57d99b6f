"""Translations that leave addresses as they are, for tests of what else happens to a packet."""

from __future__ import annotations

from nat_lb.flow import Endpoint
from nat_lb.nat import Binding, Traffic, Translation
from nat_lb.trackers import Tcp


def nowhere(virtual: Endpoint, real: Endpoint) -> tuple[Translation, Translation]:
    """Return one for each direction of TCP, for packets to `virtual` and from `real`."""
    traffic = Traffic(), Traffic()
    return Binding(Tcp, virtual, virtual, traffic).original, Binding(Tcp, real, real, traffic).reply
