"""TOML text to plain dicts: the only use of the TOML parser.

The law: whatever the text is, the result is a document of plain values or one `ConfigError` that names the line.  The
parser (`toml` 0.10) raises more than its own error on odd input, and lets some of it through: here both end.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Mapping
from datetime import date, time
from typing import Any

import toml

from nat_lb.config.phrases import shown
from nat_lb.config.syntax import Fault, explain
from nat_lb.errors import ConfigError

_DEEPEST = 16  # no table of ours is deeper than 5, and the validator has its limit far above
_TOO_DEEP = f"nested too deeply. Tables and lists may be at most {_DEEPEST} deep."
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def read_document(text: str, source: str) -> dict[str, Any]:
    """Parse TOML; `source` names the file in errors.  Raises ConfigError."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    _refuse_unprintable(text, source)
    try:
        document: dict[str, Any] = _plain(toml.loads(text))
        return document
    except _UnusableError as error:
        raise ConfigError(f"{source}: {error}") from None
    except toml.TomlDecodeError as error:
        # A message about the end of the file carries the position behind it.
        line = min(error.lineno, text.rstrip("\n").count("\n") + 1)
        fault = Fault(error.msg, text, line)
    except RecursionError:
        raise ConfigError(f"{source}: {_TOO_DEEP}") from None
    except Exception as error:  # a defect of the parser: AttributeError, IndexError, OverflowError ...
        fault = Fault(f"{type(error).__name__}: {error}", text, _line_of(type(error), text))
    where = f"{source}:{fault.line}" if fault.line else source
    raise ConfigError(f"{where}: not valid TOML: {explain(fault)}")


class _UnusableError(Exception):
    """The document is TOML, but not one that a configuration can be."""


def _plain(value: Any, depth: int = 0) -> Any:
    """Replace the parser's table classes by dict; refuse what no message or validator could carry."""
    if depth > _DEEPEST:
        raise _UnusableError(_TOO_DEEP)
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, str) and _FORBIDDEN.search(value):
        raise _UnusableError(f"{shown(value)} contains a control character. Remove it.")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise _UnusableError(f"{shown(value)} does not fit into 64 bits. Write a smaller one.")
    if isinstance(value, date | time):
        raise _UnusableError("a date or time stands where no key takes one. Put it in quotes.")
    return value


def _refuse_unprintable(text: str, source: str) -> None:
    """The parser lets control characters and lone surrogates through; TOML does not."""
    found = _FORBIDDEN.search(text)
    if found:
        line = text.count("\n", 0, found.start()) + 1
        raise ConfigError(f"{source}:{line}: not valid TOML: contains the character U+{ord(found[0]):04X}. Remove it.")


def _line_of(error: type[Exception], text: str) -> int:
    """Find the line at which the parser breaks down: the shortest beginning of the text that raises the same error."""
    lines = text.split("\n")

    def breaks_down(count: int) -> bool:
        try:
            toml.loads("\n".join(lines[:count]) + "\n")
        except error:
            return True
        except Exception:
            return False
        return False

    line = bisect.bisect_left(range(len(lines) + 1), True, key=breaks_down)
    return line if breaks_down(line) else 0
