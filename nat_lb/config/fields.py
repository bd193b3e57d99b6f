"""What the models say about their own fields: keys, tables, limits.

The law: messages, the reference page and its test all ask here, so they agree with what is validated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

_LIMITS = {
    "gt": "more than {}",
    "ge": "{} or more",
    "lt": "less than {}",
    "le": "{} or less",
    "multiple_of": "a multiple of {}",
}


def fields_by_key(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return a table's fields by the key that TOML has for them."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def model_at(model: type[BaseModel] | None, path: tuple[str | int, ...]) -> type[BaseModel] | None:
    """Return the model of the table that `path` leads to, or None where the table is free-form."""
    for part in path:
        if model is None or isinstance(part, int):
            continue
        field = fields_by_key(model).get(part)
        model = None if field is None else table_of(field.annotation)
    return model


def table_of(annotation: Any) -> type[BaseModel] | None:
    """Return the model that a field's type is or is a list of."""
    candidates = (annotation, *get_args(annotation))
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)


def is_list(field: FieldInfo) -> bool:
    """Tell whether a field is a list: of values, or of tables in double brackets."""
    return getattr(field.annotation, "__origin__", None) in (tuple, list)


def homes(model: type[BaseModel], header: str = "") -> Iterator[tuple[str, Mapping[str, FieldInfo]]]:
    """Yield every table below `model` as `[header]` with its keys, to tell where a misplaced key belongs."""
    for key, field in fields_by_key(model).items():
        table = table_of(field.annotation)
        if table is not None:
            name = f"{header}.{key}" if header else key
            yield (f"[[{name}]]" if is_list(field) else f"[{name}]"), fields_by_key(table)
            yield from homes(table, name)


def bounds(field: FieldInfo | None, context: Mapping[str, Any] | None = None) -> str:
    """Put a number's limits into words, e.g. `1 to 65535` or `more than 0`; nothing if it has none."""
    limits = dict(context or {})
    for constraint in field.metadata if field else ():
        limits.update({name: getattr(constraint, name) for name in _LIMITS if hasattr(constraint, name)})
    if "ge" in limits and "le" in limits:
        return f"{limits['ge']:g} to {limits['le']}" if limits["ge"] == 0 else f"{limits['ge']} to {limits['le']}"
    words = (_LIMITS[name].format(_number(limits[name])) for name in _LIMITS if name in limits)
    return " and ".join(words)


def _number(limit: Any) -> Any:
    """Print a float that is whole as an integer: limits of float fields come as floats."""
    return int(limit) if isinstance(limit, float) and limit.is_integer() else limit
