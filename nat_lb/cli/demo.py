"""`nat-lb demo`: see it work, on this machine, with real programs."""

from __future__ import annotations

import click

from nat_lb.demo.play import perform
from nat_lb.demo.scene import remove_kept
from nat_lb.demo.stage import Stage, make_console


@click.command("demo")
@click.option("--requests", type=click.IntRange(1, 3000), default=30, show_default=True, help="How many HTTP requests.")
@click.option("--keep", is_flag=True, help="Leave the lab up and say how to enter it.")
@click.option("--remove", metavar="NAME", help="Remove a lab that was kept, and do nothing else.")
def command(requests: int, keep: bool, remove: str | None) -> int:
    """Balance real traffic in a lab of network namespaces and show what happens to the packets.

    A client, a director, and real servers that run nginx and vsftpd.  Needs root, or root of a user namespace;
    nothing leaves this machine, and nothing stays on it.
    """
    if remove is None:
        return perform(Stage(make_console()), requests=requests, keep=keep)
    if not remove_kept(remove):
        click.echo(
            f'nat-lb demo: no kept lab is called "{remove}". `ip netns list` shows natlb-demo-... if one is.', err=True
        )
        return 1
    click.echo(f"{remove}: removed.")
    return 0
