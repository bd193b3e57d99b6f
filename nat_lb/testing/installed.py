"""Whether an installed plugin is found, and its options are read, as by a user's director.

The law: what is checked is the installed distribution and its entry point, never the source tree.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

from nat_lb.errors import ConfigError
from nat_lb.plugins import GROUP, Registry
from nat_lb.testing.claims import fail

VIRTUAL, REALS = "203.0.113.100", ("10.77.0.11", "10.77.0.12")


@functools.cache
def registry() -> Registry:
    """Return the plugins that are installed here, found once."""
    return Registry()


def class_of(kind: str, name: str) -> type[Any]:
    """Return the class registered as `kind` (scheduler, helper, tracker) under `name`; fails if there is none."""
    offered: dict[str, type[Any]] = getattr(registry(), f"{kind}s")
    if name not in offered:
        fail(
            f'no installed plugin registers the {kind} "{name}"',
            f"installed: {', '.join(sorted(offered)) or 'none'}",
            *registry().problems,
            f"expected: an entry point in the group {GROUP} whose module returns the class from "
            f"nat_lb_register_{kind}s(). Is the distribution installed (pip install --editable .)?",
        )
    return offered[name]


def check_found(kind: str, name: str, distribution: str) -> None:
    """Fail unless the distribution's plugin is loaded and registers `kind` `name`.

    Its entry point is called so, or as the distribution, for one that registers several things.
    """
    class_of(kind, name)
    offer = f"{kind} {name}"
    plugin = next(plugin for plugin in registry().plugins if offer in plugin.registers)
    if plugin.distribution != distribution:
        fail(
            f'{offer} comes from the distribution "{plugin.distribution}", expected "{distribution}"',
            "Name the distribution so in pyproject.toml, or set `distribution` in the test's class.",
        )
    if plugin.name not in (name, distribution, distribution.removeprefix("nat-lb-")):
        fail(
            f'{offer} is found under the entry point "{plugin.name}", expected "{name}"',
            f'Write {name} = "{plugin.origin}" under [project.entry-points.{GROUP}].',
        )


def check_unknown_option(whose: str, table: str, configure: Callable[[str], object]) -> None:
    """Fail unless `configure` raises a ConfigError that names the option it is given, which nobody declares.

    `whose` options they are, and in which `table` of the configuration, is for the message.
    """
    unknown = "no_such_option_of_anybody"
    try:
        configure(unknown)
    except ConfigError as objection:
        if unknown not in str(objection):
            fail(f"options of {whose}: an unknown one is refused without naming it", str(objection))
        return
    fail(
        f"options of {whose}: [{table}] {unknown} = 1 was accepted",
        "expected: a ConfigError. Let `options` be a subclass of nat_lb.api.Options, which refuses unknown keys.",
    )


def toml_table(options: Mapping[str, Any]) -> str:
    """Return plain options (numbers, texts, booleans, lists and tables of them) as the lines of a TOML table."""
    return "".join(f"{key} = {_toml(value)}\n" for key, value in options.items())


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{json.dumps(key)} = {_toml(inner)}' for key, inner in value.items())} }}"
    return json.dumps(value)
