"""What is mutated: the dialogues that each helper is proven with.

The law: every registered helper has some. A helper's distribution keeps them where its conformance tests are, in
`helpers/NAME/tests/test_conformance.py`, as the `dialogues` of its subclasses of `HelperConformance`: there is nothing
else to register. Helpers of one distribution share its inputs: each suite has its turn.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from nat_lb.helper import Helper
from nat_lb.testing.conformance import Dialogue, HelperConformance
from nat_lb.testing.installed import registry

ROOT = Path(__file__).resolve().parents[3]


class Seeds(NamedTuple):
    """A helper with one set of options, and its dialogues."""

    helper: type[Helper]
    options: Mapping[str, Any]
    dialogues: tuple[Dialogue, ...]


def find() -> dict[str, list[Seeds]]:
    """Return the seeds of every registered helper, and of the companions of those, by distribution without `nat-lb-`.

    Raises LookupError that names the helpers without any.
    """
    found: dict[str, list[Seeds]] = {}
    have = set()
    for file in sorted(ROOT.glob("helpers/*/tests/test_conformance.py")):
        for proven in _suites(_loaded(file)):
            seeds = Seeds(proven.helper_class(), proven.options, tuple(proven.dialogues.values()))
            found.setdefault(file.parents[1].name.removeprefix("nat-lb-"), []).append(seeds)
            have.add(proven.helper)
    registered = registry().helpers.values()
    wanted = {kind.name for helper in registered for kind in (helper, *helper.companions)}
    if missing := sorted(wanted - have):
        raise LookupError(f"fuzz: no dialogues of {', '.join(missing)} in helpers/*/tests/test_conformance.py")
    return found


def _loaded(file: Path) -> ModuleType:
    name = f"fuzz_seeds_of_{file.parents[1].name.replace('-', '_')}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _suites(module: ModuleType) -> Iterator[type[HelperConformance]]:
    for thing in vars(module).values():
        if isinstance(thing, type) and issubclass(thing, HelperConformance) and thing is not HelperConformance:
            yield thing
