"""The documentation is a site whose links all lead somewhere; its navigation holds every page."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(ROOT.glob("docs/**/*.md"))


def build(target: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(target), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    done = build(target)
    assert done.returncode == 0, done.stderr
    return target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_page_of_the_documentation_is_in_the_site(site: Path, page: Path) -> None:
    path = page.relative_to(ROOT / "docs").with_suffix("")
    folder = path.parent if path.name in ("index", "README") else path
    assert (site / folder / "index.html").is_file()


def test_distributions_and_changes_are_pages_too(site: Path) -> None:
    for page in ("distributions/nat-lb-rr", "distributions/nat-lb-ftp", "changelog"):
        assert (site / page / "index.html").is_file()


def test_dead_link_fails_the_build(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("[nowhere](missing.md)\n")
    settings = (ROOT / "mkdocs.yml").read_text().partition("nav:")[0]
    settings = settings.replace("scripts/site.py", str(ROOT / "scripts" / "site.py"))
    (tmp_path / "mkdocs.yml").write_text(settings)
    done = build(tmp_path / "site", "--config-file", str(tmp_path / "mkdocs.yml"))
    assert done.returncode != 0
    assert "missing.md" in done.stderr
