"""Writes docs/reference/api.md from `nat_lb.api`: `python -m tests.docs.api_page`."""

from __future__ import annotations

import enum
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nat_lb import api

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "api.md"
HEAD = """# nat_lb.api

Everything a plugin may import of nat-lb, and nothing else; tests may import [nat_lb.testing](../how-to/\
test-a-plugin-in-the-lab.md) too. While the version is 0.x, a release that changes what is on this page raises the \
second number, so a plugin that depends on `nat-lb ~= 0.1` is not surprised. [Hooks](hooks.md) says when each function \
that a plugin defines is called.

This page is generated from the code by `python -m tests.docs.api_page`.
"""


class _Verbatim(str):
    """An annotation that is shown as it is written."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def first_paragraph(thing: object) -> str:
    """Return the first paragraph of a docstring as one line, nothing if there is none."""
    return " ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split())


def signature(function: Any, *, bound: bool) -> str:
    """Return a function's parameters and result as its author wrote them; `bound` leaves the first one out."""
    written = inspect.signature(function)

    def shown(parameter: inspect.Parameter) -> inspect.Parameter:
        default = parameter.default
        if isinstance(default, enum.Enum):
            default = _Verbatim(default)
        return parameter.replace(annotation=as_written(parameter.annotation), default=default)

    parameters = list(map(shown, written.parameters.values()))[1 if bound else 0 :]
    return str(written.replace(parameters=parameters, return_annotation=as_written(written.return_annotation)))


def as_written(annotation: Any) -> Any:
    """Return an annotation that shows itself as its author wrote it."""
    text = getattr(annotation, "__forward_arg__", annotation)
    return _Verbatim(text) if isinstance(text, str) else annotation


def attributes(cls: type) -> Iterator[tuple[str, str]]:
    """Return the class's own public attributes: name with its type if one is written, and the comment beside it."""
    source = inspect.getsource(cls)
    for name, kind in vars(cls).get("__annotations__", {}).items():
        if not name.startswith("_") and name != "model_config":
            text = inspect.formatannotation(as_written(kind))
            of_class = re.fullmatch(r"ClassVar\[(.*)\]", text)
            comment = re.search(rf"^    {name}: .*?  # (.*)$", source, re.MULTILINE)
            yield f"{name}: {of_class[1] if of_class else text}", comment[1] if comment else ""
    seen = {name for name, member in vars(cls).items() if isinstance(member, property)}
    for name, kind, comment in re.findall(
        r"^        self\.([a-z]\w*)(: [^=]+)? = .*?(?:  # (.*))?$", source, re.MULTILINE
    ):
        if name not in seen:
            seen.add(name)
            yield f"{name}{kind}", comment


def methods(cls: type) -> Iterator[tuple[str, str, str]]:
    """Return the class's own public methods and properties: name, signature, first paragraph."""
    for name, member in vars(cls).items():
        if name.startswith("_"):
            continue
        if isinstance(member, property):
            written = signature(member.fget, bound=True).partition(" -> ")[2]
            yield name, f": {written}", first_paragraph(member)
        elif isinstance(member, classmethod):
            yield name, signature(member.__func__, bound=True), first_paragraph(member)
        elif inspect.isfunction(member):
            yield name, signature(member, bound=True), first_paragraph(member)


def rows(cls: type) -> Iterator[str]:
    """Return the table rows of a class."""
    if issubclass(cls, enum.Enum):
        yield from (f"| `{member.name} = {member.value!r}` | |" for member in cls)
    else:
        yield from (row(written, told) for written, told in attributes(cls))
    yield from (row(name + written, told) for name, written, told in methods(cls))


def row(written: str, told: str) -> str:
    """Return a table row; a type's bar must not end the cell."""
    return f"| `{written.replace('|', chr(92) + '|')}` | {told} |".replace("|  |", "| |")


def constructor(name: str, cls: type) -> str:
    """Return how an object is made, the bare name where plugins make none."""
    own = vars(cls).get("__init__") or vars(cls).get("__new__")
    if own is None or issubclass(cls, enum.Enum) or getattr(cls, "_is_protocol", False):
        return name
    return name + signature(own, bound=True).partition(" -> ")[0]


def section(name: str) -> str:
    """Return the section of one public name."""
    thing = getattr(api, name)
    if not inspect.isclass(thing):
        what = "Marks a function as the implementation of the hook of its name." if name == "hookimpl" else f"`{thing}`"
        return f"## {name}\n\n{what}\n"
    bases = ", ".join(base.__name__ for base in thing.__bases__ if base.__name__ in api.__all__)
    head = f"## {name}\n\n```python\nclass {constructor(name, thing)}{f'  # a {bases}' if bases else ''}\n```\n"
    table = "\n".join(rows(thing))
    text = f"{head}\n{inspect.getdoc(thing)}\n"
    return f"{text}\n| Member | |\n|---|---|\n{table}\n" if table else text


def page() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *(section(name) for name in api.__all__)])


if __name__ == "__main__":
    PAGE.write_text(page())
