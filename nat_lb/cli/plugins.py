"""`nat-lb plugins`: what is installed, what it offers, and why it is not used if it is not."""

from __future__ import annotations

import dataclasses
import json

import click

from nat_lb.cli.console import make_console, make_table
from nat_lb.plugins import PluginInfo, Registry


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
    table = make_table(("name", "distribution", "version", "from", "registers", "state"))
    for plugin in plugins:
        origin = "\n".join(filter(None, (plugin.origin, plugin.location)))
        offers = "\n".join(plugin.registers)
        table.add_row(plugin.name, plugin.distribution, plugin.version, origin, offers, plugin.state)
    make_console().print(table)
