"""docs/explanation/connections-and-timeouts.md prints the trackers' own tables.

`python -m tests.docs.test_timeouts` writes them anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from nat_lb.config import parse
from nat_lb.director import Director
from nat_lb.flow import Direction
from nat_lb.tracker import Tracker
from nat_lb.trackers import Tcp, Udp

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "connections-and-timeouts.md"
MARKED = re.compile(r"(?<=<!-- generated: )([a-z ]+) -->\n(.*?)(?=<!-- end -->)", re.DOTALL)

# Seconds that Linux 6.12 keeps each state.
IPVS = {
    "NONE": 2, "ESTABLISHED": 900, "SYN_SENT": 120, "SYN_RECV": 60, "FIN_WAIT": 120, "TIME_WAIT": 120, "CLOSE": 10,
    "CLOSE_WAIT": 60, "LAST_ACK": 30, "LISTEN": 120, "SYNACK": 120,
}  # fmt: skip


def markdown(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def states(tracker: type[Tracker]) -> str:
    """A row for each state: its time, its group, and what else it means."""
    groups = {state: f"`{group}`" for group, members in tracker.groups.items() for state in members}
    rows = [
        (
            state,
            f"{tracker.timeouts[state]:g}",
            groups.get(state, f"`{state.lower()}`"),
            "yes" if state in tracker.active else "",
            "yes" if state in tracker.reopened else "",
        )
        for state in tracker.states
    ]
    return markdown(("State", "Default, s", "Key", "Load", "Begins anew"), rows)


def steps(tracker: type[Tracker], direction: Direction) -> str:
    """A row for each state: where each event leads."""
    table = tracker.transitions[direction]
    rows = []
    for number, state in enumerate(tracker.states):
        following = (table[event][number] for event in tracker.events)
        rows.append([state, *("–" if step == state else step for step in following)])  # noqa: RUF001
    return markdown(("State", *(f"`{event}`" for event in tracker.events)), rows)


TABLES = {
    "tcp states": states(Tcp),
    "tcp original": steps(Tcp, Direction.ORIGINAL),
    "tcp reply": steps(Tcp, Direction.REPLY),
    "udp states": states(Udp),
}


def written_anew(page: str) -> str:
    return MARKED.sub(lambda found: f"{found[1]} -->\n{TABLES[found[1]]}", page)


@pytest.mark.parametrize("name", TABLES)
def test_table_on_the_page_is_that_of_the_tracker(name: str) -> None:
    printed = dict(MARKED.findall(PAGE.read_text()))
    assert printed[name] == TABLES[name], "Write it anew: python -m tests.docs.test_timeouts"


def test_tables_show_the_defaults_that_the_design_asks_for() -> None:
    seconds = {state: time for tracker in (Tcp, Udp) for state, time in tracker.timeouts.items()}
    assert [seconds[state] for state in ("SYN_RECV", "ESTABLISHED", "FIN_WAIT", "UDP")] == [60, 900, 60, 300]


def test_example_gives_the_times_that_the_page_states() -> None:
    text = PAGE.read_text()
    example = text.partition("```toml\n")[2].partition("```")[0]
    services = {service.name: service for service in Director(parse(example, "page"), "page").lifecycle.services}
    claims = re.findall(r"`(\w+)` forgets (.*?)[;,]", text, re.DOTALL)
    found = [
        (name, services[name].tracking.timeouts[Tcp.states.index(state)], float(seconds))
        for name, sentence in claims
        for state, seconds in re.findall(r"([A-Z_]+)\s+after (\d+) s", sentence)
    ]
    assert [claimed for _, _, claimed in found] == [5, 7200, 90]
    assert all(actual == claimed for _, actual, claimed in found), found


def test_timeouts_of_ipvs_are_what_the_comparison_tells_to_write() -> None:
    page = PAGE.with_name("comparison-with-ipvs.md").read_text()
    (example,) = re.findall(r"^```toml\n(\[timeouts\].*?)^```", page, re.MULTILINE | re.DOTALL)
    service = '[[service]]\nprotocol = "tcp"\naddress = "202.103.106.5"\nport = 80\n'
    (web,) = Director(parse(example + service, "page"), "page").lifecycle.services
    assert dict(zip(Tcp.states, web.tracking.timeouts, strict=True)) == IPVS


if __name__ == "__main__":
    PAGE.write_text(written_anew(PAGE.read_text()))
