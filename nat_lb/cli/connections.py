"""`nat-lb connections`: who is connected to what, right now?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from nat_lb.cli.director import director_options, inquire

_COLUMNS = {"service": 8, "protocol": 8, "client": 21, "virtual": 21, "real": 21, "state": 11, "expires": 9, "path": 4}


@click.command("connections")
@click.option("--json", "as_json", is_flag=True, help="Write a JSON list, an object for each connection.")
@click.option("--service", metavar="NAME", help="Only those of one service.")
@click.option("--client", metavar="ADDR", help="Only those of one client's address.")
@director_options
def command(as_json: bool, service: str | None, client: str | None, control: Path | None, config: Path | None) -> None:
    """List the connections of a running director.

    Those of the slow path come first, oldest first. The list is made while packets flow: a connection that closes
    meanwhile may be missing, and one that opens is.
    """
    show = _Json() if as_json else _Columns()
    with inquire(control, config) as director:
        director.ask("connections", show.part, service=service, client=client)
    show.end()


class _Json:
    """A JSON list, written as it comes."""

    def __init__(self) -> None:
        self._before = "[\n  "

    def part(self, entries: list[dict[str, Any]]) -> None:
        click.echo(self._before + ",\n  ".join(map(json.dumps, entries)), nl=False)
        self._before = ",\n  "

    def end(self) -> None:
        click.echo("[]" if self._before[0] == "[" else "\n]")


class _Columns:
    """Lines for people, written as they come; a column is as wide as what it has held so far."""

    def __init__(self) -> None:
        self._widths = list(_COLUMNS.values())
        self._headings = [[*_COLUMNS, "announced by"]]

    def part(self, entries: list[dict[str, Any]]) -> None:
        rows = [*self._headings, *map(_row, entries)]
        self._headings.clear()
        for row in rows:
            self._widths = [max(width, len(cell)) for width, cell in zip(self._widths, row, strict=False)]
        click.echo("\n".join(map(self._line, rows)))

    def end(self) -> None:
        if self._headings:
            click.echo("no connections")

    def _line(self, row: list[str]) -> str:
        *columns, last = row
        padded = (cell.ljust(width) for cell, width in zip(columns, self._widths, strict=True))
        return "  ".join([*padded, last]).rstrip()


def _row(entry: dict[str, Any]) -> list[str]:
    announced = entry.get("announced_by")
    by = f"{announced['client']} > {announced['virtual']}" if announced is not None else ""
    told = entry | {"expires": f"{entry['expires_in']:.1f} s"}
    return [*(str(told[key]) for key in _COLUMNS), by]
