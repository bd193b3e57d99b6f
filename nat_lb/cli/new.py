"""`nat-lb new`: from nothing to a plugin that is found, tested and ready to be changed."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from nat_lb import __version__, skeleton
from nat_lb.plugins import Registry


@click.command("new")
@click.argument("kind", type=click.Choice(skeleton.KINDS))
@click.argument("name")
@click.option(
    "--into",
    type=click.Path(path_type=Path, exists=True, file_okay=False, writable=True),
    default=".",
    help="The folder to write it into.",
)
def command(kind: str, name: str, into: Path) -> None:
    """Write a new plugin: a complete distribution that passes its own tests as it stands.

    NAME is what TOML will call it. The distribution is nat-lb-NAME, in a new folder of that name.
    """
    _check_name(kind, name)
    target = into / skeleton.distribution(name)
    api = ".".join(__version__.split(".")[:2])
    rendered = skeleton.render(kind, name, api)
    try:
        skeleton.write(rendered, target)
    except FileExistsError:
        raise click.ClickException(
            f"{target} exists already. Choose another name, or another folder (--into)."
        ) from None
    except OSError as error:
        raise click.ClickException(f"{target}: {error.strerror}. Nothing was written.") from None
    for path in sorted(rendered):
        click.echo(f"wrote {target / path}")
    click.echo(f"Next: cd {shlex.quote(str(target))} && pip install --editable '.[dev]' && pytest && nat-lb plugins")


def _check_name(kind: str, name: str) -> None:
    if not skeleton.is_name(name):
        short = name.lower().replace("_", "-").removeprefix("nat-lb-")
        hint = f' Did you mean "{short}"?' if skeleton.is_name(short) else ""
        raise click.BadParameter(
            f'"{name}" is no plugin\'s name: lower-case letters, digits and single hyphens, a letter first.{hint}',
            param_hint="NAME",
        )
    if name.startswith("nat-lb-"):
        raise click.BadParameter(
            f'"{name}": the distribution is called nat-lb-NAME already. Write "{name.removeprefix("nat-lb-")}".',
            param_hint="NAME",
        )
    registry = Registry()
    offered: dict[str, type] = getattr(registry, f"{kind}s")
    holders = [plugin.distribution for plugin in registry.plugins if plugin.name == name]
    if name in offered:
        holders = [registry.owner_of(offered[name])]
    if holders:
        raise click.BadParameter(
            f'"{name}" is taken: {holders[0]} is installed here and provides it. Choose another name.',
            param_hint="NAME",
        )
