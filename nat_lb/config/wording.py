"""One error of the validator, as a sentence.

The law: a sentence begins with the key, says what it must be and what was found, and ends with what to write instead.
Kinds of error are pydantic's; its own wording is used only for kinds that are not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from ipaddress import AddressValueError, ip_address
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from nat_lb.config.fields import bounds, homes, is_list, table_of
from nat_lb.config.model import Config
from nat_lb.config.phrases import did_you_mean, either, nearest, shown


class Finding(NamedTuple):
    """One error of the validator, with what is needed to word it."""

    kind: str
    path: tuple[str | int, ...]
    value: Any
    context: Mapping[str, Any]
    message: str  # pydantic's
    field: FieldInfo | None  # of the key, or of the list that holds the item
    known: Mapping[str, FieldInfo]  # the keys of the table that holds it
    root: type[BaseModel]

    @property
    def key(self) -> str:
        """The key; for an item of a list the list's key and the number."""
        *_, last = ("", *self.path)
        if not isinstance(last, int):
            return str(last)
        item = " " if self.field is not None and table_of(self.field.annotation) else ": item "
        return f"{self.path[-2]}{item}{last + 1}"

    def follows(self, misspelt: Container[tuple[str | int | None, ...]]) -> bool:
        """Tell whether it only follows from another error, given the paths that unknown keys were meant to have."""
        if self.kind == "missing":
            return self.path in misspelt
        if self.kind == "too_short":  # pydantic counts the valid items
            return bool(len(self.value) >= self.context["min_length"])
        return self.kind == "default_factory_not_called"


_TYPES = {
    "bool_type": "true or false",
    "dict_type": "a table",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list",
    "mapping_type": "a table",
    "model_type": "a table",
    "string_type": "text",
    "tuple_type": "a list",
}


def _mismatch(finding: Finding, what: str, remedy: str = "") -> str:
    found = "" if isinstance(finding.value, Mapping) and not remedy else f", found {shown(finding.value)}"
    return f"{finding.key} {what}{found}.{remedy and f' {remedy}'}"


def expectation(finding: Finding) -> list[str]:
    """Return the type that the validator wanted, if that was the matter; a union wants several."""
    return [_TYPES[finding.kind]] if finding.kind in _TYPES else []


def sentence(finding: Finding, expected: Sequence[str] = ()) -> str:
    """Word a finding; `expected` are the types of all the findings that a union made of one value."""
    types = expected or expectation(finding)
    if types:
        return _mismatch(finding, f"must be {either(dict.fromkeys(types))}", _type_remedy(finding))
    return _WORDING.get(finding.kind, _other)(finding)


def _type_remedy(finding: Finding) -> str:
    """Say how to write the type that is expected."""
    kind, value, field = _TYPES.get(finding.kind), finding.value, finding.field
    if finding.root is Config and field is not None and table_of(field.annotation) and kind in ("a table", "a list"):
        header = ".".join(str(part) for part in finding.path if isinstance(part, str))
        return f"Write [[{header}]], with two brackets." if is_list(field) else f"Write [{header}], with one bracket."
    if isinstance(value, str) and kind in ("a number", "a whole number") and _is_number(value):
        return "Remove the quotes."
    if isinstance(value, str) and kind == "true or false" and value in ("true", "false"):
        return "Remove the quotes."
    if isinstance(value, float) and kind == "a whole number" and value.is_integer() and abs(value) < 1e15:
        return f"Write {int(value)}."
    if kind == "text" and not isinstance(value, Mapping | list):
        return "Put it in quotes." if isinstance(finding.path[-1], int) else f'Write {finding.key} = "{_bare(value)}".'
    if kind == "a list" and isinstance(value, str):
        return f"Write {finding.key} = [{shown(value)}]."
    return ""


def _bare(value: Any) -> str:
    return shown(value).strip('"')


def _is_number(text: str) -> bool:
    return text.removeprefix("-").replace(".", "", 1).isdecimal()


def _missing(finding: Finding) -> str:
    examples = finding.field.examples if finding.field else None
    if finding.path == ("service",):
        return "no [[service]]: nothing to balance. Add one, with protocol, address and port."
    return f"{finding.key} is missing.{f' Write {finding.key} = {shown(examples[0])}.' if examples else ''}"


def _unknown(finding: Finding) -> str:
    """An unknown key: it belongs elsewhere, or is misspelt, or is none of those that are known."""
    key = finding.key
    if len(finding.path) == 1 and finding.root is Config and _is_table(finding.value):
        return _unknown_table(finding)
    start = f"unknown key {shown(key)}."
    headers = [header for header, known in homes(finding.root) if key in known]
    if headers:
        return f"{start} It is a key of {either(headers, 'and')}{_above(finding, headers)}."
    return start + (did_you_mean(key, finding.known) or f" Known: {', '.join(finding.known) or 'none'}.")


def _is_table(value: Any) -> bool:
    items = value if isinstance(value, list) and value else [value]
    return all(isinstance(item, Mapping) for item in items)


def _unknown_table(finding: Finding) -> str:
    brackets = "[{}]" if isinstance(finding.value, Mapping) else "[[{}]]"
    start = f"unknown table {brackets.format(finding.key)}."
    headers = {key: "[[{}]]" if is_list(field) else "[{}]" for key, field in finding.known.items()}
    near = nearest(finding.key, headers)
    if near:
        return f"{start} Did you mean {headers[near].format(near)}?"
    return f"{start} Known: {', '.join(header.format(key) for key, header in headers.items())}."


def _above(finding: Finding, headers: Sequence[str]) -> str:
    """A key below a sub-table belongs to the sub-table: say so if that is how it came to the wrong one."""
    *outer, inner = [str(part) for part in finding.path[:-1] if isinstance(part, str)] or [""]
    parent = ".".join(outer)
    return f": write it above the first [[{parent}.{inner}]]" if f"[[{parent}]]" in headers else ""


def _out_of_range(finding: Finding) -> str:
    return _mismatch(finding, f"must be {bounds(finding.field, finding.context)}")


def _one_of(finding: Finding) -> str:
    choices = (
        [str(choice) for choice in get_args(finding.field.annotation)]
        if finding.field and isinstance(finding.path[-1], str)
        else []
    )
    if not choices:
        return _mismatch(finding, f"must be {finding.context['expected']}".replace("'", '"'))
    hint = did_you_mean(finding.value, choices) if isinstance(finding.value, str) else ""
    return _mismatch(finding, f"must be {either(shown(choice) for choice in choices)}", hint.strip())


def _too_short(finding: Finding) -> str:
    least = finding.context["min_length"]
    if finding.path == ("service",):
        return _missing(finding)
    if least == 1:
        return f"{finding.key} must not be empty."
    return _mismatch(finding, f"must have at least {least} {_unit(finding)}")


def _too_long(finding: Finding) -> str:
    return _mismatch(finding, f"must have at most {finding.context['max_length']} {_unit(finding)}")


def _unit(finding: Finding) -> str:
    return "characters" if isinstance(finding.value, str) else "items"


def _other_version(text: str) -> str:
    """Return the version of IP that is wanted where an address is refused: not that which it has."""
    try:
        return {4: "v6", 6: "v4"}[ip_address(text).version]
    except ValueError:
        return ""


def _refused(finding: Finding) -> str:
    """A validator's own `ValueError(what, remedy)`; `what` continues the sentence that begins with the key."""
    if isinstance(finding.context["error"], AddressValueError):
        return _mismatch(finding, f"must be an IP{_other_version(str(finding.value))} address")
    what, *remedies = (str(argument).rstrip(".") for argument in finding.context["error"].args or ("is refused",))
    remedy = " ".join(f"{remedy}." for remedy in remedies)
    if not finding.path or isinstance(finding.value, Mapping):
        return f"{what}.{remedy and f' {remedy}'}"
    return _mismatch(finding, what, remedy)


def _other(finding: Finding) -> str:
    return _mismatch(finding, f"is not acceptable ({finding.message})")


_WORDING: Mapping[str, Callable[[Finding], str]] = {
    "assertion_error": _refused,
    "enum": _one_of,
    "extra_forbidden": _unknown,
    "finite_number": lambda finding: _mismatch(finding, "must be a finite number"),
    "greater_than": _out_of_range,
    "greater_than_equal": _out_of_range,
    "less_than": _out_of_range,
    "less_than_equal": _out_of_range,
    "literal_error": _one_of,
    "missing": _missing,
    "multiple_of": _out_of_range,
    "string_pattern_mismatch": lambda finding: _mismatch(finding, f"must match {finding.context['pattern']}"),
    "string_too_long": _too_long,
    "string_too_short": _too_short,
    "too_long": _too_long,
    "too_short": _too_short,
    "value_error": _refused,
}
