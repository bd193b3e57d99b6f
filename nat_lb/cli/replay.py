"""`nat-lb replay`: what would the director make of these recorded packets?"""

from __future__ import annotations

import json
from pathlib import Path

import click

from nat_lb import report
from nat_lb.config import load
from nat_lb.director import Director
from nat_lb.explain import Explainer, trace_hooks
from nat_lb.io.pcap import replay
from nat_lb.plugins import Registry


@click.command("replay")
@click.option("--config", type=click.Path(path_type=Path), required=True, help="The configuration (TOML).")
@click.option("--connections", type=click.Path(path_type=Path), help="Write the connection table at the end as JSON.")
@click.option("--explain", is_flag=True, help="Say for each connection why it got its real server.")
@click.option("--hooks", is_flag=True, help="Say for each call of a hook who was asked, and the answer.")
@click.argument("source", metavar="IN.pcap", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUT.pcap", type=click.Path(path_type=Path))
def command(config: Path, connections: Path | None, explain: bool, hooks: bool, source: Path, target: Path) -> None:
    """Send recorded packets through the director and record what it would send.

    IN.pcap holds packets as the director would see them, in both directions; time is the capture's.  No root is needed.
    """
    wanted = load(config)
    registry = Registry(wanted.plugins.disable)
    if explain:
        Explainer(registry, click.echo)
    if hooks:
        trace_hooks(registry, click.echo)
    director = Director(wanted, str(config), registry)
    for problem in director.registry.problems:
        click.echo(f"warning: {problem}", err=True)
    summary = replay(source, target, director.pipeline.process, director.tick)
    if connections is not None:
        table = report.connections(director.lifecycle, summary.end)
        connections.write_text(json.dumps(table, indent=2) + "\n")
    click.echo(str(summary))
