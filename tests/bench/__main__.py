"""`make bench`: measures nat-lb and prints ratios; `ARGS=--write` puts table and picture into docs/explanation.

The law: each part runs in a process of its own, so that no part pays for another's memory. Nothing leaves network
namespaces that the bench itself made, but the size of the kernel's table of connections, which is put back.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click
from rich.console import Console

from nat_lb.testing.lab import Lab
from tests.bench import collector, flood, forward, packet, queue, routes, table
from tests.bench.page import conditions, rewritten, rich_table
from tests.bench.picture import drawn
from tests.bench.sample import FULL, TINY, Row, Scale

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/explanation/performance.md"
PICTURE = PAGE.with_suffix(".svg")
SCALES = {"full": FULL, "tiny": TINY}
_TIMEOUT = 900.0
Run = Callable[[Sequence[str]], str]


def _here(command: Sequence[str]) -> str:
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=_TIMEOUT).stdout


def _in_a_namespace(command: Sequence[str]) -> str:
    with Lab(clients=0, servers=0) as lab:
        return lab.director.run(command, cwd=ROOT, check=True, timeout=_TIMEOUT, stderr=None).stdout


PARTS: dict[str, tuple[Callable[[Scale], list[Row]], Run]] = {
    "forward": (forward.measure, _here),
    "flood": (flood.measure, _here),
    "queue": (queue.measure, _in_a_namespace),
    "routes": (routes.measure, _here),
    "packet": (packet.measure, _here),
    "table": (table.measure, _here),
    "collector": (collector.measure, _here),
}


def measure(part: str, scale: str) -> list[Row]:
    """Return a part's rows, measured in another process."""
    _, run = PARTS[part]
    said = run([sys.executable, "-m", "tests.bench", "--scale", scale, "--json", part])
    return [Row(*fields) for fields in json.loads(said)]


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--write", is_flag=True, help=f"Put the results into {PAGE.relative_to(ROOT)}; needs all parts.")
@click.option(
    "--scale", type=click.Choice(list(SCALES)), default="full", show_default=True, help="tiny: only to see it work."
)
@click.option("--json", "as_json", is_flag=True, help="Measure here and now and print JSON.")
def main(parts: Sequence[str], write: bool, scale: str, as_json: bool) -> None:
    """Measure all PARTS, or those named."""
    if as_json:
        print(json.dumps([row for part in parts for row in PARTS[part][0](SCALES[scale])]))
        return
    if write and (parts or scale != "full"):
        raise click.UsageError("--write needs all parts at full scale.")
    console = Console() if sys.stdout.isatty() else Console(width=140)
    rows: list[Row] = []
    for part in parts or PARTS:
        with console.status(f"measuring: {part}"):
            rows += measure(part, scale)
    console.print(rich_table(rows))
    if write:
        PAGE.write_text(rewritten(PAGE.read_text(), rows, SCALES[scale]))
        PICTURE.write_text(drawn(rows, conditions(SCALES[scale])))


if __name__ == "__main__":
    main()
