"""The TCP tracker against IPVS's own table, written down once more, as text, by its source's layout."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nat_lb.flow import Direction
from nat_lb.testing.packets import ACK, FIN, RST, SYN
from nat_lb.trackers import Tcp, Udp

SHORT = {
    "NO": "NONE", "ES": "ESTABLISHED", "SS": "SYN_SENT", "SR": "SYN_RECV", "FW": "FIN_WAIT", "TW": "TIME_WAIT",
    "CL": "CLOSE", "CW": "CLOSE_WAIT", "LA": "LAST_ACK", "LI": "LISTEN", "SA": "SYNACK",
}  # fmt: skip
COLUMNS = list(SHORT.values())
IPVS = {
    Direction.ORIGINAL: """
        syn SR ES ES SR SR SR SR SR SR SR SR
        fin CL CW SS TW TW TW CL CW LA LI TW
        ack ES ES SS ES FW TW CL CW CL LI ES
        rst CL CL CL SR CL CL CL CL LA LI SR
    """,
    Direction.REPLY: """
        syn SS ES SS SR SS SS SS SS SS LI SR
        fin TW FW SS TW FW TW CL TW LA LI TW
        ack ES ES SS ES FW TW CL CW LA ES ES
        rst CL CL SS CL CL TW CL CL CL CL CL
    """,
}


def oracle(direction: Direction, state: str, flags: int) -> str:
    """Return the next state as IPVS finds it: reset first, then SYN, FIN, ACK; without any of them, closed."""
    for flag, name in ((RST, "rst"), (SYN, "syn"), (FIN, "fin"), (ACK, "ack")):
        if flags & flag:
            (row,) = [line.split() for line in IPVS[direction].strip().splitlines() if line.split()[0] == name]
            return SHORT[row[1 + COLUMNS.index(state)]]
    return "CLOSE"


@pytest.mark.parametrize("direction", list(Direction), ids=lambda direction: direction.name)
@pytest.mark.parametrize("state", COLUMNS)
def test_each_state_and_each_flags_octet_lead_where_ipvs_goes(direction: Direction, state: str) -> None:
    rows = Tcp.rows(direction)
    assert len(rows) == 256
    number = Tcp.states.index(state)
    for flags in range(256):
        assert Tcp.states[rows[flags][number]] == oracle(direction, state, flags), f"flags {flags:#04x}"


def test_tracker_has_the_states_of_ipvs_and_no_others() -> None:
    assert list(Tcp.states) == COLUMNS


@given(st.lists(st.tuples(st.sampled_from(Direction), st.integers(0, 255)), max_size=30))
def test_no_sequence_of_segments_leaves_the_states_that_ipvs_can_reach(steps: list[tuple[Direction, int]]) -> None:
    state = "NONE"
    for direction, flags in steps:
        state = Tcp.states[Tcp.rows(direction)[flags][Tcp.states.index(state)]]
        assert state in set(COLUMNS) - {"LAST_ACK", "LISTEN", "SYNACK"}


@given(st.integers(0, 255))
def test_udp_stays_in_its_one_state_whatever_the_octet(octet: int) -> None:
    for direction in Direction:
        assert Udp.states[Udp.rows(direction)[octet][0]] == "UDP"
