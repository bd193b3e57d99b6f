"""Wheels without an index: ours built from copies of their folders, all others taken from this environment.

The law: no network, and nothing is written into the source tree.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
CORE_PARTS = ("nat_lb", "pyproject.toml", "README.md", "LICENSE")
BUILD = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
UNWANTED = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", ".*_cache")


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    """Run a program to its end and return its output; fails with it if the exit status is not 0."""
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} if env is None else env
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=plain, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def build(folder: Path, work: Path, wheels: Path) -> None:
    """Build a distribution's wheel with the setuptools that is installed here, from a copy in `work`."""
    copy = work / folder.name
    if folder == ROOT:
        copy.mkdir()
        for part in CORE_PARTS:
            source = folder / part
            if source.is_dir():
                shutil.copytree(source, copy / part, ignore=UNWANTED)
            else:
                shutil.copy(source, copy)
    else:
        shutil.copytree(folder, copy, ignore=UNWANTED)
    run(sys.executable, "-c", BUILD, wheels, cwd=copy)


def needed(*names: str) -> dict[str, Distribution]:
    """Return what is installed here and needed by these distributions (`nat-lb[testing]`), without nat-lb's own."""
    found: dict[str, Distribution] = {}
    todo, seen = [Requirement(name) for name in names], set()
    while todo:
        wanted = todo.pop()
        name = canonicalize_name(wanted.name)
        dist = distribution(name)
        if not name.startswith("nat-lb"):
            found[name] = dist
        for extra in ("", *wanted.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            for text in dist.requires or ():
                other = Requirement(text)
                if other.marker is None or other.marker.evaluate({"extra": extra}):
                    todo.append(other)
    return found


def repack(dist: Distribution, wheels: Path) -> None:
    """Write the wheel again that an installed distribution came from."""
    tags = [line.split(": ")[1] for line in (dist.read_text("WHEEL") or "").splitlines() if line.startswith("Tag:")]
    parts = zip(*(tag.split("-") for tag in tags), strict=True)
    pythons, abis, platforms = (".".join(dict.fromkeys(part)) for part in parts)
    name = canonicalize_name(dist.name).replace("-", "_")
    with zipfile.ZipFile(wheels / f"{name}-{dist.version}-{pythons}-{abis}-{platforms}.whl", "w") as wheel:
        for file in dist.files or ():
            beside = file.parts[0] != ".." and file.suffix != ".pyc"
            if beside and file.name not in ("INSTALLER", "REQUESTED", "direct_url.json"):
                wheel.write(str(file.locate()), str(file))


def link(dist: Distribution, folder: Path) -> None:
    """Put an installed distribution into a folder without copying it; some are large."""
    for top in {file.parts[0] for file in dist.files or ()} - {".."}:
        (folder / top).symlink_to(str(dist.locate_file(top)))


def environment(folder: Path, wheels: Path, requirements: Iterable[str]) -> Path:
    """Make a virtual environment with these distributions, from these wheels alone; return its Python."""
    venv.create(folder)  # without pip: this environment's own installs into it
    python = folder / "bin" / "python"
    install(python, wheels, requirements)
    return python


def install(python: Path, wheels: Path, requirements: Iterable[str], *more: str) -> None:
    """Install distributions from wheels, with what they need, into the environment of `python`."""
    quiet = ("--quiet", "--no-index", "--no-compile", "--disable-pip-version-check", "--root-user-action=ignore")
    pip = (sys.executable, "-m", "pip", "--python", python, "install", *quiet, "--find-links", wheels)
    run(*pip, *more, *requirements, cwd=wheels)


def beside(wheels: Path, folder: Path, *names: str) -> dict[str, str]:
    """Install distributions alone into a folder; return the environment variables of a process that sees them."""
    install(Path(sys.executable), wheels, names, "--no-deps", "--target", str(folder))
    return os.environ | {"PYTHONPATH": str(folder)}
