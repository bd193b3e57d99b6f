"""A plugin's own table: declared as a class, validated in the same style as the rest of the file.

The law: a plugin never reads a raw table.  It gets a frozen object of the class it declared, or the operator gets a
message that names the file, the service, the table and the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, TypeVar

from nat_lb.config.model import Table
from nat_lb.config.problems import Path, in_file_order, validate, validation_problems
from nat_lb.errors import ConfigError


class Options(Table):
    """Base of a plugin's options: annotated attributes are the keys, their values the defaults.

    Unknown keys are errors, values are never converted to another type, objects are frozen.  A pydantic validator may
    raise `ValueError(what)` or `ValueError(what, remedy)`: `what` continues the sentence that begins with the key, as
    in `ValueError("must be a power of two", "Write 256.")`.
    """


OptionsT = TypeVar("OptionsT", bound=Options)


def parse_options(model: type[OptionsT], table: Mapping[str, Any], where: str) -> OptionsT:
    """Validate a plugin's table, such as a service's `scheduler_options`, against the class that the plugin declares.

    `where` begins each message: `nat-lb.toml: service "web": [service.scheduler_options]`.  Raises ConfigError with
    every problem found, one line each, in the table's order.
    """
    problems = validation_problems(model, table)
    if problems:
        raise ConfigError(*(f"{where}: {_within(p.path)}{p.sentence}" for p in in_file_order(problems, table)))
    options: OptionsT = validate(model, table)
    return options


def _within(path: Path) -> str:
    """Name the inner tables that lead to the key: `inner: `, or for the second of a list `inner 2: `."""
    keys = [at for at, part in enumerate(path) if isinstance(part, str)]
    return "".join(f"{' '.join(_counted(part) for part in path[start:end])}: " for start, end in pairwise(keys))


def _counted(part: str | int) -> str:
    return part if isinstance(part, str) else str(part + 1)
