"""What the commands that talk to a running director share: how they find it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from nat_lb.config import DirectorConfig, load
from nat_lb.io.ask import Inquiry

F = TypeVar("F", bound=Callable[..., Any])


def director_options(command: F) -> F:
    """Add `--control` and `--config`."""
    config = click.option("--config", metavar="FILE", type=click.Path(path_type=Path), help="Its configuration.")
    control = click.option(
        "--control", metavar="PATH", type=click.Path(path_type=Path), help="The director's control socket."
    )
    return control(config(command))


def inquire(control: Path | None, config: Path | None) -> Inquiry:
    """Reach the director that the options name, or the one at the default path.

    Raises ConfigError for a bad configuration, `SystemFault` when nobody is there.
    """
    if control is not None and config is not None:
        raise click.UsageError("--control and --config both say where the director is. Leave one out.")
    settings = DirectorConfig() if config is None else load(config).director
    return Inquiry(control or Path(settings.control))
