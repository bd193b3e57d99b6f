"""A file or a text to a `Config`, or to every objection at once.

The law: nothing but `ConfigError` leaves here, whatever the file holds.
"""

from __future__ import annotations

import os
from pathlib import Path

from nat_lb.config.document import read_document
from nat_lb.config.model import Config
from nat_lb.config.problems import in_file_order, place, validate, validation_problems
from nat_lb.config.relations import contradictions
from nat_lb.errors import ConfigError


def load(path: str | os.PathLike[str]) -> Config:
    """Read a configuration file.

    Checks all that can be told from the file alone; `check_names` checks the names that plugins provide.  Raises
    ConfigError with every problem found, one line each, in the file's order; each begins with `path` as given.
    """
    source = os.fspath(path)
    return parse(_read(source), source)


def parse(text: str, source: str) -> Config:
    """Read a configuration from TOML text; `source` names it in messages.  Raises ConfigError as `load` does."""
    document = read_document(text, source)
    problems = [*validation_problems(Config, document), *contradictions(document)]
    if problems:
        lines = (_line(source, place(p.path, document), p.sentence) for p in in_file_order(problems, document))
        raise ConfigError(*dict.fromkeys(lines))
    config: Config = validate(Config, document)
    return config


def _line(*parts: str) -> str:
    return ": ".join(part for part in parts if part)


def _read(source: str) -> str:
    try:
        content = Path(source).read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{source}: no such file. Check the path.") from None
    except IsADirectoryError:
        raise ConfigError(f"{source}: is a directory. Name the file in it.") from None
    except PermissionError:
        raise ConfigError(f"{source}: may not be read. Check the permissions of the file and its folders.") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{source}: cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line, byte = content.count(b"\n", 0, error.start) + 1, content[error.start]
        raise ConfigError(f"{source}:{line}: not UTF-8: found byte 0x{byte:02x}. Save the file as UTF-8.") from None
