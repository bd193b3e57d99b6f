"""The TCP tracker: what a segment is, what each table entry means to an operator; IPVS's table is in tests/property."""

from __future__ import annotations

import pytest

from nat_lb.testing.packets import ACK, FIN, PSH, RST, SYN, URG
from nat_lb.trackers import Tcp


@pytest.mark.parametrize(
    ("flags", "event"),
    [
        (SYN, "syn"), (SYN | ACK, "syn"), (SYN | FIN, "syn"), (FIN, "fin"), (FIN | ACK | PSH, "fin"), (ACK, "ack"),
        (ACK | PSH | URG, "ack"), (RST, "rst"), (RST | ACK, "rst"), (0xFF, "rst"), (0, "none"), (PSH | URG, "none"),
        (0xC0, "none"), (SYN | 0xC0, "syn"),
    ],
)  # fmt: skip
def test_flags_make_one_event_with_reset_before_all(flags: int, event: str) -> None:
    assert Tcp.event(flags) == event


def test_default_timeouts_are_those_of_the_documentation() -> None:
    seconds = dict(zip(Tcp.states, Tcp.seconds(), strict=True))
    assert {seconds[state] for state in Tcp.groups["syn"]} == {60}
    assert {seconds[state] for state in Tcp.groups["established"]} == {900}
    assert {seconds[state] for state in Tcp.groups["fin"]} == {60}
    assert seconds["CLOSE"] == 10


def test_load_is_what_is_opening_or_open() -> None:
    assert Tcp.active == {"ESTABLISHED", "SYN_SENT", "SYN_RECV", "SYNACK"}


def test_only_a_syn_opens_and_a_reset_never_does() -> None:
    assert Tcp.opening == {"syn"}
    assert Tcp.sterile == {"rst"}
