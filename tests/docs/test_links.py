"""Every link in the documentation leads somewhere, and every page is reached from the README or docs/index.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SKIPPED = {".venv", ".git", "build", "node_modules", ".pytest_cache", ".hypothesis"}
FENCE = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(<?([^()\s>]+)>?\)")


def pages() -> list[Path]:
    return sorted(page for page in ROOT.rglob("*.md") if not SKIPPED & set(page.relative_to(ROOT).parts))


PAGES = pages()


def prose(page: Path) -> str:
    """A page without code."""
    return re.sub(r"`[^`\n]*`", lambda code: code[0] if "](" not in code[0] else "", FENCE.sub("", page.read_text()))


def links(page: Path) -> list[str]:
    """The relative links of a page."""
    return [target for target in LINK.findall(prose(page)) if not re.match(r"[a-z]+:", target)]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as Git forges make them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def targets(page: Path) -> Iterator[tuple[str, Path, str]]:
    """Each relative link, the file it means, and the anchor in it."""
    for link in links(page):
        path, _, anchor = link.partition("#")
        yield link, (page.parent / path).resolve() if path else page, anchor


def test_documentation_has_pages_and_links_to_check() -> None:
    assert ROOT / "docs" / "index.md" in PAGES
    assert len(links(ROOT / "docs" / "index.md")) > 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_of_a_page_resolve(page: Path) -> None:
    broken = []
    for link, target, anchor in targets(page):
        if not target.exists() or not target.is_relative_to(ROOT):
            broken.append(f"{link}: no such file")
        elif anchor and anchor not in anchors(target):
            broken.append(f"{link}: no such heading")
    assert broken == []


def test_every_page_is_reached_from_readme_or_index() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "README.md", ROOT / "docs" / "index.md"]
    while waiting:
        page = waiting.pop()
        if page not in seen:
            seen.add(page)
            waiting += [target for _, target, _ in targets(page) if target.suffix == ".md" and target.exists()]
    assert [str(page.relative_to(ROOT)) for page in PAGES if page not in seen] == []
