"""The UDP tracker: one state."""

from __future__ import annotations

from nat_lb.trackers import Udp


def test_every_datagram_may_open_and_counts_as_load() -> None:
    assert {Udp.event(octet) for octet in range(256)} <= Udp.opening
    assert Udp.active == set(Udp.states)


def test_timeout_is_five_minutes_and_has_one_name() -> None:
    assert Udp.seconds() == (300.0,)
    assert Udp.timeout_names() == {"udp"}
