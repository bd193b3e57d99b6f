"""The skeleton of a plugin: template files, and what turns them into a distribution.

The law: what is written is complete and passes its own tests as it stands, and it is written whole or not at all.
Templates are `string.Template` texts, package data beside this file.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from importlib.resources import files
from pathlib import Path
from string import Template

KINDS = ("scheduler", "helper", "tracker")
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

# where a file goes -> its template; $package is the import package's name
_COMMON = {
    "pyproject.toml": "common/pyproject.toml",
    "LICENSE": "common/LICENSE",
    ".gitignore": "common/gitignore",
    ".github/workflows/test.yml": "common/test.yml",
    "src/$package/py.typed": "common/py.typed",
}
_OWN = {
    "README.md": "README.md",
    "src/$package/__init__.py": "plugin.py",
    "tests/test_$module.py": "test_plugin.py",
}


def is_name(name: str) -> bool:
    """Whether a plugin may have this name: what an index would call it (PEP 503), beginning with a letter."""
    return _NAME.fullmatch(name) is not None


def distribution(name: str) -> str:
    """Return the name of the distribution, which is its folder's, too."""
    return f"nat-lb-{name}"


def render(kind: str, name: str, api: str) -> dict[str, str]:
    """Return every file of a new distribution by its path; `api` is the nat-lb version it is made for, as in 0.1."""
    module = name.replace("-", "_")
    words = {
        "api": api,
        "class_name": "".join(part.capitalize() for part in name.split("-")),
        "distribution": distribution(name),
        "kind": kind,
        "module": module,
        "name": name,
        "package": f"nat_lb_{module}",
        "tested_with": "" if kind != "tracker" else f'"nat-lb-rr ~= {api}", ',
    }
    templates = _COMMON | {path: f"{kind}/{template}" for path, template in _OWN.items()}
    folder = files(__name__)
    return {
        Template(path).substitute(words): Template((folder / f"{template}.tmpl").read_text("utf-8")).substitute(words)
        for path, template in templates.items()
    }


def write(rendered: dict[str, str], target: Path) -> None:
    """Write files into a folder that does not exist yet, all of them or nothing.

    Raises FileExistsError if it exists, and OSError.
    """
    if target.exists():
        raise FileExistsError(str(target))
    unfinished = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        for path, text in rendered.items():
            file = unfinished / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
        umask = os.umask(0)
        os.umask(umask)
        unfinished.chmod(0o777 & ~umask)  # a temporary folder is nobody else's, the finished one is an ordinary one
        unfinished.rename(target)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
