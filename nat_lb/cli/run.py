"""`nat-lb run FILE`: be the director."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from nat_lb.config import load
from nat_lb.director import Director
from nat_lb.io.serve import serve

log = logging.getLogger("nat_lb")


@click.command("run")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-v", "--verbose", is_flag=True, help="Log a line for each packet that is not forwarded.")
@click.option("--flush", is_flag=True, help="End the connections that an earlier director's fast path carries.")
def command(file: Path, verbose: bool, flush: bool) -> None:
    """Run the director in the foreground.

    Logs to standard error and writes the line "ready" when packets flow. SIGHUP reloads FILE, SIGTERM ends the
    director and leaves no netfilter rule behind; what a fast path carries is carried on.
    """
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    director = Director(load(file), str(file))
    for problem in director.registry.problems:
        log.warning("%s", problem)
    serve(director, lambda: load(file), flush=flush)
