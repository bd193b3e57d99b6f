"""A hook of MkDocs: the site holds the distributions' own pages too, and every link leads to a page of it.

The law: pages are written for the repository, where a link is a path between files. Here a link to a file that the
site has becomes a link to its page, and one to any other file of the repository becomes its text. A link to nothing
stays as it is, so that the strict build fails.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#:\s]+)(#[^)\s]*)?\)")


def _outside() -> dict[str, str]:
    """Return the pages that lie outside docs/, by their path in the repository, and their path in the site."""
    readmes = [*ROOT.glob("plugins/*/README.md"), *ROOT.glob("helpers/*/README.md")]
    pages = {path.relative_to(ROOT).as_posix(): f"distributions/{path.parent.name}.md" for path in sorted(readmes)}
    return pages | {"README.md": "readme.md", "CHANGELOG.md": "changelog.md"}


OUTSIDE = _outside()
INSIDE_OUT = {page: path for path, page in OUTSIDE.items()}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside docs/."""
    for path, page in OUTSIDE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages."""
    here = page.file.src_uri
    folder = posixpath.dirname(INSIDE_OUT.get(here, f"docs/{here}"))

    def turn(found: re.Match[str]) -> str:
        text, target, anchor = found[1], found[2], found[3] or ""
        path = posixpath.normpath(posixpath.join(folder, target))
        goal = OUTSIDE.get(path, path.removeprefix("docs/") if path.startswith("docs/") else "")
        if goal and files.get_file_from_path(goal):
            return f"[{text}]({posixpath.relpath(goal, posixpath.dirname(here) or '.')}{anchor})"
        return text if (ROOT / path).exists() else found[0]

    return LINK.sub(turn, markdown)
