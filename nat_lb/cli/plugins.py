"""`nat-lb plugins`: what is installed, what it offers, and why it is not used if it is not."""

from __future__ import annotations

import dataclasses
import json
import os

import click
from rich.console import Console
from rich.table import Table

from nat_lb.plugins import PluginInfo, Registry

PIPE_WIDTH = 240  # columns: nobody's window is too narrow if nobody looks


@click.command("plugins")
@click.option("--json", "as_json", is_flag=True, help="Write a JSON list, one object for each plugin.")
def command(as_json: bool) -> int:
    """List the installed plugins; exit code 1 if one cannot be loaded."""
    registry = Registry()
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(plugin) for plugin in registry.plugins], indent=2))
    else:
        _print(registry.plugins)
    for problem in registry.problems:
        click.echo(problem, err=True)
    return 1 if registry.problems else 0


def _print(plugins: list[PluginInfo]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("name", "distribution", "version", "from", "registers", "state"):
        table.add_column(heading, overflow="fold")
    for plugin in plugins:
        origin = "\n".join(filter(None, (plugin.origin, plugin.location)))
        offers = "\n".join(plugin.registers)
        table.add_row(plugin.name, plugin.distribution, plugin.version, origin, offers, plugin.state)
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPE_WIDTH
    console.print(table)
