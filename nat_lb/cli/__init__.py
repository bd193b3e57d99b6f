"""The command line: `nat-lb COMMAND`.

The law: exit code 0 is done, 1 failed, 2 bad usage or configuration; what went wrong is told on standard error, a
line a problem. Each command is a module of this package, imported when it is called.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from nat_lb import __version__
from nat_lb.errors import ConfigError, NatLbError

_COMMANDS = ("run", "check", "plugins", "new", "replay", "demo", "status", "connections", "drain", "cleanup")


class _Commands(click.Group):
    """Finds a command in the module of its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the order in which a newcomer needs them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"nat_lb.cli.{cmd_name}").command
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nat-lb")
def cli() -> None:
    """A load balancer by network address translation, programmable in Python."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    try:
        code = cli.main(arguments, prog_name="nat-lb", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = 2
    except ConfigError as error:
        click.echo(str(error), err=True)
        code = 2
    except NatLbError as error:
        click.echo(f"nat-lb: {error}", err=True)
        code = 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what the interpreter flushes at its end
        code = 1
    except (click.Abort, KeyboardInterrupt):
        code = 130
    sys.exit(code if isinstance(code, int) else 0)
