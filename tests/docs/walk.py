"""Walks through a page as a reader does: saves its files, types its commands, compares what they print.

A block after a line that ends with "`PATH`:" is that file. A `console` block has commands after `$`, each followed by
what it prints; nothing is expected of a command that is followed by nothing. `pip install` of a folder does what pip
does, without pip: metadata beside the code.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"(?:`([^`\n]+)`:\n\n)?^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Walk:
    """One reader: a folder, and what is installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = self.start = folder
        self.said: list[str] = []
        self._installed = folder / "installed"
        self._installed.mkdir()
        self._paths = [str(self._installed)]

    def read(self, page: str) -> None:
        """Do everything that a page says."""
        for path, language, text in BLOCK.findall((DOCS / page).read_text()):
            if language == "console":
                self._type(text)
            elif path:
                file = self.folder / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)

    def _type(self, block: str) -> None:
        for command in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, printed = command.partition("\n")
            said = self.run(line)
            self.said.append(said)
            if printed:
                assert said == printed, f"$ {line}\n{said}"

    def run(self, line: str, status: int = 0) -> str:
        """Type one command; return what it prints on standard output."""
        program, *arguments = shlex.split(line)
        if program == "cd":
            self.folder /= arguments[0]
            return ""
        if (program, arguments[:1]) == ("pip", ["install"]):
            self._install()
            return ""
        module = {"nat-lb": ["-m", "nat_lb"], "pytest": ["-m", "pytest", "-q", "-p", "no:cacheprovider"]}
        command = [sys.executable, *module.get(program, [program] if program != "python" else []), *arguments]
        here = os.environ | {"PYTHONPATH": os.pathsep.join(self._paths), "COLUMNS": "200"}
        done = subprocess.run(command, cwd=self.folder, env=here, capture_output=True, text=True, timeout=100)
        assert done.returncode == status, f"$ {line}\n{done.stdout}{done.stderr}"
        return done.stdout if status == 0 else done.stderr

    def _install(self) -> None:
        project = tomllib.loads((self.folder / "pyproject.toml").read_text())["project"]
        info = self._installed / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        info.mkdir()
        needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in project["dependencies"])
        head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        (info / "METADATA").write_text(head + needs)
        entries = "".join(f"{name} = {value}\n" for name, value in project["entry-points"]["nat_lb"].items())
        (info / "entry_points.txt").write_text(f"[nat_lb]\n{entries}")
        self._paths.append(str(self.folder / "src"))
