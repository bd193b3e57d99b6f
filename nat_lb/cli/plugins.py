"""`nat-lb plugins`: what is installed, what it offers, and why it is not used if it is not."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table

from nat_lb.plugins import Registry


@click.command("plugins")
def command() -> int:
    """List the installed plugins; exit code 1 if one cannot be loaded."""
    registry = Registry()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("name", "distribution", "version", "from", "registers", "state"):
        table.add_column(heading, overflow="fold")
    for plugin in registry.plugins:
        offers = ", ".join(plugin.registers)
        table.add_row(plugin.name, plugin.distribution, plugin.version, plugin.origin, offers, plugin.state)
    Console().print(table)
    for problem in registry.problems:
        click.echo(problem, err=True)
    return 1 if registry.problems else 0
