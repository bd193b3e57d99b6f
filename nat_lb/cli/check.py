"""`nat-lb check FILE`: would the director take this configuration?"""

from __future__ import annotations

from pathlib import Path

import click

from nat_lb.builder import Builder
from nat_lb.config import load
from nat_lb.plugins import Registry


@click.command("check")
@click.argument("file", type=click.Path(path_type=Path))
def command(file: Path) -> None:
    """Check a configuration with the plugins that are installed; every problem is a line."""
    config = load(file)
    registry = Registry(config.plugins.disable)
    services = Builder(config, str(file), registry).services()
    for problem in registry.problems:
        click.echo(f"warning: {problem}", err=True)
    servers = _number(sum(len(service.real_servers) for service in services), "real server")
    click.echo(f"{file}: {_number(len(services), 'service')} with {servers}. The configuration is good.")


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count != 1 else ''}"
