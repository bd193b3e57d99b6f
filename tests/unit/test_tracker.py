"""Trackers as tables: what makes a table sound, and which timeout wins."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from nat_lb.errors import PluginError
from nat_lb.flow import Direction
from nat_lb.tracker import Tracker, table
from nat_lb.trackers import Tcp, Udp


def good() -> dict[str, Any]:
    return {
        "name": "toy", "protocol": 200, "header": 4, "checksum_at": 2,
        "states": ("NEW", "OLD"), "events": ("packet",),
        "transitions": {direction: {"packet": ("OLD", "OLD")} for direction in Direction},
        "timeouts": {"NEW": 1, "OLD": 2}, "active": frozenset({"OLD"}), "opening": frozenset({"packet"}),
    }  # fmt: skip


def toy(**change: Any) -> type[Tracker]:
    made: type[Tracker] = type("Toy", (Tracker,), good() | change)
    return made


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no timeout": ({"timeouts": {"NEW": 1}}, 'tracker "toy": state OLD has no timeout. Add it to `timeouts`.'),
    "short row": (
        {"transitions": {direction: {"packet": ("OLD",)} for direction in Direction}},
        'tracker "toy": transitions[ORIGINAL]["packet"] must name one known state for each of 2 states, found 1: OLD.',
    ),
    "unknown state": (
        {"transitions": {direction: {"packet": ("OLD", "ODD")} for direction in Direction}},
        'tracker "toy": transitions[ORIGINAL]["packet"] must name one known state '
        "for each of 2 states, found 2: OLD ODD.",
    ),
    "one direction only": (
        {"transitions": {Direction.ORIGINAL: {"packet": ("OLD", "OLD")}}},
        'tracker "toy": transitions[REPLY]["packet"] must name one known state for each of 2 states, found 0: .',
    ),
    "unknown event": ({"event": classmethod(lambda cls, octet: "x")}, 'tracker "toy": event() names x. Known: packet.'),
    "unknown opening": (
        {"opening": frozenset({"syn"})}, 'tracker "toy": opening or sterile names syn. Known: packet.'
    ),
    "unknown active": (
        {"active": frozenset({"ES"})}, 'tracker "toy": active, reopened or groups names ES. Known: NEW, OLD.'
    ),
    "unknown in a group": (
        {"groups": {"all": ("NEW", "DEAD")}}, 'tracker "toy": active, reopened or groups names DEAD. Known: NEW, OLD.'
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(FAULTS))
def test_unsound_table_is_refused_in_words(what: str) -> None:
    change, message = FAULTS[what]
    with pytest.raises(PluginError) as caught:
        toy(**change).check()
    assert str(caught.value) == message


def test_sound_table_is_accepted() -> None:
    toy().check()
    Tcp.check()
    Udp.check()


def test_rows_are_shared_between_octets_of_one_event() -> None:
    rows = Tcp.rows(Direction.ORIGINAL)
    assert rows[0x10] is rows[0x18]
    assert len({id(row) for row in rows}) == len(Tcp.events)


class Grouped(Tracker):
    """Two states with a group over both."""

    name = "grouped"
    states = ("A", "B")
    timeouts: ClassVar[dict[str, float]] = {"A": 1, "B": 2}
    groups: ClassVar[dict[str, tuple[str, ...]]] = {"both": ("A", "B")}


@pytest.mark.parametrize(
    ("tables", "seconds"),
    [
        ((), (1, 2)),
        (({"both": 9},), (9, 9)),
        (({"both": 9, "b": 5},), (9, 5)),
        (({"b": 5}, {"both": 9}), (9, 9)),
        (({"both": 9}, {"a": 3}), (3, 9)),
        (({"established": 7},), (1, 2)),
    ],
)
def test_timeouts_of_later_tables_and_of_single_states_win(tables: Any, seconds: tuple[float, float]) -> None:
    assert Grouped.seconds(*tables) == seconds


def test_timeout_names_are_groups_and_states_in_lower_case() -> None:
    assert Grouped.timeout_names() == {"both", "a", "b"}


def test_rows_of_text_become_names_of_states() -> None:
    assert table({"A": "ALPHA", "B": "BETA"}, "\n  go A B\n  stop B B\n") == {
        "go": ("ALPHA", "BETA"),
        "stop": ("BETA", "BETA"),
    }
