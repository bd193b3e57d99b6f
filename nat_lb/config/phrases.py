"""The words that messages are made of.

The law: a value is shown as it would be written in TOML, shortened to fit a line, and showing it never fails.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping

_LONGEST = 60
_LONGEST_INTEGER = 128  # bits

# What other load balancers and everyday speech call our keys.
_SYNONYMS = {
    "algorithm": "scheduler",
    "backend": "real_server",
    "balance": "scheduler",
    "destination": "real_server",
    "host": "address",
    "ip": "address",
    "lb_algo": "scheduler",
    "rip": "address",
    "server": "real_server",
    "upstream": "real_server",
    "vip": "address",
    "virtual_server": "service",
}


def shown(value: object) -> str:
    """Show a value as TOML writes it; a long one is cut, a table only named."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return cut(f"[{', '.join(shown(item) for item in value)}]")
    if isinstance(value, str):
        return cut(json.dumps(value, ensure_ascii=False)) if value.isprintable() else cut(json.dumps(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > _LONGEST_INTEGER:
        return "a number of many digits"  # Python refuses to print one that is long enough
    return cut(str(value))


def either(words: Iterable[str], conjunction: str = "or") -> str:
    """Join `a`, `b` and `c` as `a, b or c`."""
    *others, last = list(words)
    return f"{', '.join(others)} {conjunction} {last}" if others else last


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Find the known word that `word` was probably meant to be."""
    by_plain = {_plain(name): name for name in known}
    plain = _plain(word)
    synonym = _SYNONYMS.get(plain) or _SYNONYMS.get(plain.removesuffix("s"))
    if synonym in by_plain:
        return by_plain[synonym]
    found = difflib.get_close_matches(plain[:_LONGEST], by_plain, n=1)
    return by_plain[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` Did you mean "rr"?`, or nothing if no known word is near."""
    near = nearest(word, known)
    return "" if near is None else f' Did you mean "{near}"?'


def _plain(word: str) -> str:
    return word.casefold().replace("-", "_")


def cut(text: str) -> str:
    """Shorten a text so that the message around it still fits a line or two."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
