"""`nat-lb cleanup`: nothing of a director that is gone is left, in netfilter or in the kernel's fast path."""

from __future__ import annotations

import click

from nat_lb.config import Config
from nat_lb.director import remove_fastpath
from nat_lb.io import system
from nat_lb.io.steering import Steering
from nat_lb.plugins import Registry


@click.command("cleanup")
def command() -> None:
    """Remove what directors left in this network namespace: netfilter rules, and what a fast path carries.

    Connections that were carried on end. A director that is running is left alone, and the exit code is 1.
    """
    system.require_root()
    Steering((), (), 0).remove_leftovers()
    click.echo("netfilter rules: none left")
    registry = Registry()
    for problem in registry.problems:
        click.echo(f"warning: {problem}", err=True)
    # A fast path is made for a configuration; that of no services is as good as any to remove it.
    removed = remove_fastpath(registry, Config.model_construct(services=()))
    click.echo("fast path: no installed plugin has one" if removed is None else f"fast path: {removed}: nothing left")
