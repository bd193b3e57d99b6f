"""The results as a terminal table and as the page docs/explanation/performance.md."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby

from rich.table import Table

from tests.bench.sample import Row, Scale

_BEGIN, _END = "<!-- generated: make bench ARGS=--write -->", "<!-- end -->"


def rich_table(rows: Sequence[Row]) -> Table:
    """Return the terminal's table."""
    table = Table(title="nat-lb bench: ratios of one run, medians of turns", title_justify="left")
    for heading in _HEADINGS:
        table.add_column(heading, justify="left" if heading in _LEFT else "right", overflow="fold")
    for section, group in groupby(rows, lambda row: row.section):
        table.add_section()
        table.add_row(f"[bold]{section}[/]")
        for row in group:
            table.add_row(*_cells(row))
    return table


def rewritten(page: str, rows: Sequence[Row], scale: Scale) -> str:
    """Return the page with these results in place of the old ones; raises ValueError if it has no place for them."""
    if _BEGIN not in page or _END not in page:
        raise ValueError(f'the page has no "{_BEGIN}" followed by "{_END}"')
    text = "\n".join([_BEGIN, "", *_markdown(rows, scale), _END])
    return re.sub(f"{re.escape(_BEGIN)}.*?{re.escape(_END)}", lambda _: text, page, count=1, flags=re.DOTALL)


def conditions(scale: Scale) -> str:
    """Return when and on what these results were measured, and how often."""
    release = platform.release().partition("-")[0]  # without the suffix of whoever built it
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, Linux {release} {platform.machine()}, {os.cpu_count()} processors, "
        f"{platform.python_implementation()} {platform.python_version()}; medians of {scale.turns} turns, "
        f"{scale.loads} of load generators."
    )


def _markdown(rows: Sequence[Row], scale: Scale) -> Iterator[str]:
    yield conditions(scale)
    yield ""
    for section, group in groupby(rows, lambda row: row.section):
        yield from (f"### {section}", "", f"| {' | '.join(_HEADINGS)} |")
        yield f"|{'|'.join(' --- ' if heading in _LEFT else ' ---: ' for heading in _HEADINGS)}|"
        yield from (f"| {' | '.join(_cells(row))} |" for row in group)
        yield ""


_HEADINGS = ("Measure", "Here", "Compared with", "There", "Ratio", "Aim")
_LEFT = ("Measure", "Compared with")


def _cells(row: Row) -> list[str]:
    other = "" if row.other is None else _number(row.other, row.unit)
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    return [row.what, _number(row.value, row.unit), row.against, other, ratio, row.aim]


def _number(value: float, unit: str) -> str:
    size = abs(value)
    return f"{value:,.0f} {unit}" if size >= 100 else f"{value:.2g} {unit}" if size < 1 else f"{value:.1f} {unit}"
