"""`nat-lb drain SERVICE REAL`: no new connections for a real server, and how many old ones it still has."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from nat_lb.cli.director import director_options, inquire
from nat_lb.io.ask import Inquiry

POLL = 0.5
"""Seconds between two looks while waiting."""


@click.command("drain")
@click.argument("service")
@click.argument("real")
@click.option("--wait", metavar="SECONDS", type=click.FloatRange(min=0), help="Wait until no connection is left.")
@click.option("--restore", is_flag=True, help="Give it the weight of the configuration back.")
@director_options
def command(
    service: str, real: str, wait: float | None, restore: bool, control: Path | None, config: Path | None
) -> int:
    """Quiesce a real server of a running director: its connections go on, new ones go elsewhere.

    REAL is an endpoint, or an address if that is enough. It holds until `--restore` or the next reload.
    """
    if restore and wait is not None:
        raise click.UsageError("--restore ends the draining that --wait would wait for. Leave one out.")
    with inquire(control, config) as director:
        server = director.ask("restore" if restore else "drain", service=service, real=real)
        click.echo(f"{_name(server)}: weight {server['weight']}, {_left(server)}")
        return 0 if wait is None else _wait(director, server, wait)


def _wait(director: Inquiry, server: dict[str, Any], seconds: float) -> int:
    """Return 0 when no connection is left, 1 when the time is over or the weight is no longer 0."""
    end = time.monotonic() + seconds
    while server["active"] + server["inactive"]:
        remaining = end - time.monotonic()
        if remaining <= 0:
            click.echo(f"{_name(server)}: after {seconds:g} s {_left(server)}", err=True)
            return 1
        time.sleep(min(POLL, remaining))
        server = director.ask("real_server", service=server["service"], real=server["real"])
        if server["weight"]:
            click.echo(f"{_name(server)}: has weight {server['weight']} again, {_left(server)}", err=True)
            return 1
    click.echo(f"{_name(server)}: no connection is left")
    return 0


def _name(server: dict[str, Any]) -> str:
    return f"{server['service']}: {server['real']}"


def _left(server: dict[str, Any]) -> str:
    """Say how many connections there are."""
    total = server["active"] + server["inactive"]
    return f"{total} connection{'s' * (total != 1)} ({server['active']} active, {server['inactive']} winding down)"
