"""What the suite for helpers plays of a dialogue."""

from __future__ import annotations

import pytest

from nat_lb.testing.dialogue import Dialogue, client_connects, client_says, server_says
from nat_lb.testing.helper_conformance import MOST_CUTS, cuts

ANNOUNCED = (
    server_says(b"AT 10.77.0.11 4000\n", arrives=b"AT 203.0.113.100 4000\n"),
    client_connects("203.0.113.100:4000", reaches="10.77.0.11:4000"),
)


@pytest.mark.parametrize("talk", [0, 30, MOST_CUTS])
def test_each_step_of_any_dialogue_is_cut_before_each_octet(talk: int) -> None:
    dialogue = Dialogue(client_says(b"WHERE\n"), *ANNOUNCED, client_says(b"x" * talk + b"\n"), server_says(b"bye\n"))
    played = set(cuts(dialogue))
    for number, step in dialogue.says:
        for at in range(1, len(step.data)):
            assert (number, at) in played or (0, at) in played
    assert all((2, at) in played for at in range(1, len(ANNOUNCED[0].data)))  # what is edited, one by one
    assert len(played) <= 2 * MOST_CUTS
