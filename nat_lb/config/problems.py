"""What is wrong with a table, as sentences an operator can act on.

The law: every problem of a table is found in one run, and one cause makes one problem.  A problem knows its path in the
document, so that those of a file can be told in the file's order and each says where it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from nat_lb.config.fields import fields_by_key, model_at
from nat_lb.config.model import is_usable_name
from nat_lb.config.phrases import nearest
from nat_lb.config.wording import Finding, expectation, sentence

Path = tuple[str | int, ...]


class Problem(NamedTuple):
    """One objection: `path` is where in the document, `sentence` what and the remedy."""

    path: Path
    sentence: str


def validation_problems(model: type[BaseModel], document: Mapping[str, Any]) -> list[Problem]:
    """Validate `document` against `model` and return every objection, in no particular order."""
    try:
        validate(model, document)
    except ValidationError as error:
        return [Problem(path, sentence) for path, sentence in _translate(model, document, error).items()]
    return []


def validate(model: type[BaseModel], document: Mapping[str, Any]) -> Any:
    """Validate as JSON: strict on scalars, yet a list may fill a tuple and a text an address."""
    # JSON has the types of TOML: the validator's strict mode for Python objects would refuse a list for a tuple.
    return model.model_validate_json(json.dumps(document))


def in_file_order(problems: Iterable[Problem], document: Mapping[str, Any]) -> list[Problem]:
    """Sort problems by where their keys stand; a missing key counts as the first of its table."""
    return sorted(problems, key=lambda problem: _position(problem.path, document))


def place(path: Path, document: Mapping[str, Any]) -> str:
    """Name the table that `path` leads into, e.g. `service "web": real_server 2`, or nothing for the file itself."""
    match path:
        case ("service", int(number), "real_server", int(server), _, *_):
            return f"{service_label(document, number)}: real_server {server + 1}"
        case ("service", int(number), str(table), *between, str()):
            header = ".".join(str(part) for part in ("service", table, *between))
            return f"{service_label(document, number)}: [{header}]"
        case ("service", int(number), _, *_):
            return service_label(document, number)
        case (str(table), str(), *_):
            return f"[{table}]"
    return ""


def service_label(document: Mapping[str, Any], number: int) -> str:
    """Call a service by the name that is written, or by its number (here from 0, in the label from 1)."""
    service = document["service"][number]
    name = service.get("name") if isinstance(service, Mapping) else None
    return f'service "{name}"' if is_usable_name(name) else f"service {number + 1}"


def _position(path: Path, document: Any) -> tuple[int, ...]:
    position: list[int] = []
    for part in path:
        if isinstance(document, Mapping) and part in document:
            position.append(list(document).index(part))
        elif isinstance(document, Sequence) and isinstance(part, int) and part < len(document):
            position.append(part)
        else:
            return (*position, -1)
        document = document[part]
    return tuple(position)


def _translate(model: type[BaseModel], document: Any, error: ValidationError) -> dict[Path, str]:
    """Word each error once; several for one path (a union's members) become one sentence."""
    findings = list(_findings(model, document, error))
    typos = {(*f.path[:-1], nearest(f.key, f.known)) for f in findings if f.kind == "extra_forbidden"}
    sentences: dict[Path, str] = {}
    expected: dict[Path, list[str]] = {}
    for finding in findings:
        if finding.follows(typos):
            continue
        expected.setdefault(finding.path, []).extend(expectation(finding))
        sentences[finding.path] = sentences.get(finding.path) or sentence(finding)
        if len(expected[finding.path]) > 1:
            sentences[finding.path] = sentence(finding, expected[finding.path])
    return sentences


def _findings(model: type[BaseModel], document: Any, error: ValidationError) -> Iterator[Finding]:
    for entry in error.errors(include_url=False, include_input=False):
        path, value = _resolve(entry["loc"], document, entry["type"] == "missing")
        *_, at = (-1, *(number for number, part in enumerate(path) if isinstance(part, str)))
        table = model_at(model, path[: max(at, 0)])
        known = fields_by_key(table) if table else {}
        field = known.get(str(path[at])) if path else None
        yield Finding(entry["type"], path, value, entry.get("ctx", {}), entry["msg"], field, known, model)


def _resolve(loc: tuple[str | int, ...], document: Any, missing: bool) -> tuple[Path, Any]:
    """Keep the part of the validator's location that is in the document: the rest names members of a union."""
    path: list[str | int] = []
    for part in loc:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            return ((*path, part) if missing else tuple(path)), document
        path.append(part)
    return tuple(path), document
