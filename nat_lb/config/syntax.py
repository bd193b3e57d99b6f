"""What the TOML parser objected to, in the words of somebody who writes the file.

The law: an operator never reads the parser's own wording.  A line of the file is shown as it stands, in backticks.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from nat_lb.config.phrases import cut

_HEADER = re.compile(r"\s*(\[\[?)\s*([^][#]*?)\s*\]")
_REPEATABLE = ("service", "real_server")  # the last part of a header in double brackets
_WORDS = {"true": "true", "yes": "true", "on": "true", "false": "false", "no": "false", "off": "false"}


class Fault(NamedTuple):
    """What the parser objected to: its wording, the text, and the line (from 1; 0 if unknown)."""

    wording: str
    text: str
    line: int

    @property
    def found(self) -> str:
        """The line as written, without blanks around it."""
        return self.text.split("\n")[self.line - 1].strip() if self.line else ""

    @property
    def assignment(self) -> tuple[str, str]:
        """The line's key and value, without a comment behind the value."""
        key, _, value = self.found.partition("=")
        return cut(key.strip().strip('"')), value.partition("#")[0].strip()

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Bracket and name of every table header down to the line."""
        lines = self.text.split("\n")[: self.line]
        return [(header[1], header[2]) for header in map(_HEADER.match, lines) if header]


def explain(fault: Fault) -> str:
    """Say what was found and what to do about it, in one or two sentences."""
    for wording, words in _SENTENCES:
        if re.match(wording, fault.wording):
            return words.format(found=f"`{cut(fault.found)}`") if isinstance(words, str) else words(fault)
    found = f"`{cut(fault.found)}`" if fault.line else "it"
    return f"{found} cannot be read. Check its quotes, brackets and commas."


def _repeated_key(fault: Fault) -> str:
    """A key twice in a table, often because the table itself stands there twice in single brackets."""
    key, _ = fault.assignment
    bracket, table = fault.headers[-1] if fault.headers else ("", "")
    if bracket == "[" and table.split(".")[-1] in _REPEATABLE and fault.headers.count((bracket, table)) > 1:
        return f'"{key}" is written twice in [{table}]. Write [[{table}]], with two brackets, each time.'
    return f'"{key}" is written twice in one table. Remove one.'


def _repeated_table(fault: Fault) -> str:
    _, table = fault.headers[-1] if fault.headers else ("", "a table")
    if table.split(".")[-1] in _REPEATABLE:
        return f"[{table}] is written twice. Write [[{table}]], with two brackets, each time."
    return f"[{table}] is written twice. Put its keys into one."


def _orphan_table(fault: Fault) -> str:
    _, table = fault.headers[-1] if fault.headers else ("", "service")
    return f"[[{table}]] stands below tables that belong to it. Write [[{table}]] first."


def _bad_value(fault: Fault) -> str:
    """A value that is no TOML value: almost always text without quotes."""
    key, value = fault.assignment
    if not value:
        return f'"{key}" has no value. Write one after the equals sign.'
    if value.casefold() in _WORDS:
        return f"{key} = {value} is not a value. Write {_WORDS[value.casefold()]}."
    if value[0] in "[{" or value[-1] in "]}":
        return f"the value of {key} cannot be read. Check its commas, quotes and brackets."
    if value[-1] in ",;":
        return f"`{cut(fault.found)}` has a {'comma' if value[-1] == ',' else 'semicolon'} at its end. Remove it."
    return _bad_number(value) or (
        f'the value of {key} is neither a number nor in quotes. Write {key} = "{cut(value).strip(chr(34) + chr(39))}".'
    )


def _bad_number(value: str) -> str:
    """Say what is wrong with a value that was meant as a number, or nothing if it was not."""
    number = f"{cut(value)} is not a number"
    if re.fullmatch(r"[+-]?[\d_]+", value):
        return f"{number}. Write it without leading zeros, and underscores only between digits."
    if re.fullmatch(r"[+-]?[\d_]*\.[\d_]*", value):
        return f"{number}. Write digits on both sides of the point."
    if re.fullmatch(r"0[xob][0-9A-Fa-f_]+", value):
        return f"{cut(value)} cannot be read. Write it as a decimal number."
    if re.fullmatch(r"[\d._]+(\s+[\d._]+)+", value):
        return f"{number}. Write one."
    return ""


def _open_list_or_tokens(fault: Fault) -> str:
    """Something behind a string: in a list that goes on, that is what stands on the next lines."""
    _, value = fault.assignment
    if value[:1] == "[" and "]" not in value:
        return f"`{cut(fault.found)}` opens a list that lacks a comma or its closing bracket. Write it."
    return f"`{cut(fault.found)}` goes on after its closing quote. Check its quotes and commas."


def _mixed_list(fault: Fault) -> str:
    return f"the list {fault.assignment[0]} mixes values of different types. Write them all alike."


def _impossible_key(fault: Fault) -> str:
    """A line that should begin with a key: is it another format's?"""
    found = fault.found
    shown = f"`{cut(found)}`"
    if re.match(r'["\w-]+\s*:', found):
        name, _, value = found.partition(":")
        name, value = name.strip().strip('"'), value.strip().rstrip(",")
        return f"{shown} is not TOML. Write {cut(name)} = {cut(value) or '...'}."
    if found.startswith(("//", ";", "--")):
        return f"{shown} is not a comment. Comments begin with #."
    return f"{shown} is not a key and a value. Write it as: key = value."


_HEADER_ALONE = "{found} is not a table header. Write it alone on its line: [name] or [[name]]."
_NO_VALUE = "Empty val|invalid literal|could not convert|This float|Only all lowercase|Weirdness|Invalid (date|inline)"

_SENTENCES: tuple[tuple[str, str | Callable[[Fault], str]], ...] = (
    ("Duplicate keys", _repeated_key),
    (r"What\? .* already exists|AttributeError", _repeated_table),
    ("An implicitly defined table", _orphan_table),
    ("Unbalanced quotes|Unterminated string", "{found} opens a quote that is not closed. Close it on the same line."),
    ("Found tokens after a closed string", _open_list_or_tokens),
    ("Key group not on a line|Opening key group|Invalid group name|Can't have a keygroup", _HEADER_ALONE),
    ("Reserved escape|Invalid escape|OverflowError", "{found} has a stray backslash. Write two for one."),
    ("Found invalid character in key name|Key name found without value|Line breaks are not", _impossible_key),
    ("Found empty keyname", "{found} has no key before the equals sign. Write one."),
    ("Not a homogeneous array", _mixed_list),
    ("Exceeds the limit", "the number on this line is too long."),
    ("(hour|minute|second) must be", "no such time of day as in {found}. Write another."),
    (_NO_VALUE, _bad_value),
)
