"""Little plugins, installed for one test: a module and its distribution's metadata in a folder of the test's own."""

from __future__ import annotations

import itertools
import sys
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from nat_lb.plugins import GROUP, Registry

_number = itertools.count()
IMPORTS = "from __future__ import annotations\nfrom nat_lb.api import *\nfrom nat_lb.api import hookimpl\n"
# Remembers in `seen` what it is told of connections.
RECORDER = """
seen = []

@hookimpl
def nat_lb_connection_opened(connection):
    seen.append(("opened", connection.state_name, str(connection)))

@hookimpl
def nat_lb_connection_state_changed(connection, old_state, new_state):
    seen.append((old_state, new_state))

@hookimpl
def nat_lb_connection_closed(connection, reason):
    seen.append(("closed", reason))
"""


class Shelf:
    """A folder of installed plugins; make one with the fixture `shelf`."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        monkeypatch.syspath_prepend(str(folder))

    def install(
        self,
        name: str,
        source: str,
        entries: tuple[str, ...] = (),
        imports: str = IMPORTS,
        requires: tuple[str, ...] = (),
    ) -> str:
        """Install the distribution `acme-NAME` with a plugin NAME; returns its module's name.

        `entries` are the lines of its entry points if they are not just NAME for the module, which MODULE stands for;
        `requires` is what the distribution says it needs.
        """
        module = f"acme_{name}_{next(_number)}"
        (self.folder / f"{module}.py").write_text(imports + dedent(source))
        info = self.folder / f"acme_{name}-1.0.dist-info"
        info.mkdir()
        needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-{name}\nVersion: 1.0\n{needs}")
        lines = "\n".join(entries or (f"{name} = MODULE",)).replace("MODULE", module)
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{lines}\n")
        return module

    def entry_points(self) -> list[EntryPoint]:
        """Return what is installed on the shelf, and the four schedulers that come with the product."""
        found = distributions(path=[str(self.folder)])
        own = [entry for dist in found for entry in dist.entry_points if entry.group == GROUP]
        return own + [EntryPoint(name, f"nat_lb_{name}", GROUP) for name in ("lc", "rr", "sh", "wrr")]

    def registry(self, *disabled: str) -> Registry:
        """Return a registry of the plugins on the shelf."""
        return Registry(disabled, self.entry_points())

    def attribute(self, module: str, name: str) -> Any:
        """Return what a plugin's module calls by this name."""
        return getattr(sys.modules[module], name)
