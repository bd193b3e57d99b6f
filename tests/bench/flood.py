"""A million opening segments of as many clients, beside a thousand connections that transfer: none of those breaks."""

from __future__ import annotations

from nat_lb.testing.lab import Lab
from tests.bench.sample import Row, Scale
from tests.live.flooded import bound, flood

SECTION = "Fast path: a flood"
_ROOM = 100_000
_PAUSE = 0.5  # seconds between two rounds of a connection


def measure(scale: Scale) -> list[Row]:
    """Return the rows; fails if a connection breaks, or the table does not become what it was."""
    segments, connections = scale.connections[-1], scale.connections[0]
    with Lab() as lab:
        outcome = flood(lab, segments, connections, _ROOM, _PAUSE)
    opened = outcome.counters["new_connections"]
    return [
        Row(
            SECTION, f"{segments:,} opening segments, each of another client", segments / outcome.seconds, "segments/s"
        ),
        Row(SECTION, f"connections opened, with {connections:,} that transfer", opened, "connections"),
        Row(
            SECTION,
            f"connections at once, with room for {_ROOM:,}",
            outcome.most,
            "connections",
            aim=f"<= {bound(_ROOM, connections):,}",
        ),
        Row(SECTION, "growth of the director's process", outcome.growth / 1e6, "MB"),
        Row(SECTION, "until the table is as it was; `syn = 2`", outcome.until_normal, "s", aim="<= 3"),
    ]
