"""The tutorials and guides for plugin authors, walked through: every file, every command, every line that is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.walk import Walk


@pytest.mark.parametrize("page", ["tutorial/first-scheduler.md", "tutorial/first-helper.md"])
def test_tutorial_leads_from_nothing_to_a_proven_plugin(page: str, tmp_path: Path) -> None:
    walk = Walk(tmp_path)
    walk.read(page)
    assert sum(" passed" in said for said in walk.said) == 2
    for command in ("ruff check --no-cache .", "ruff format --check --no-cache ."):
        walk.run(f"-m {command}")


@pytest.mark.parametrize("page", ["explain-a-decision", "override-a-decision", "disable-a-plugin", "publish-a-plugin"])
def test_guide_happens_as_it_is_told(page: str, tmp_path: Path) -> None:
    walk = Walk(tmp_path)
    walk.read(f"how-to/{page}.md")
    assert walk.said


def test_service_that_asks_for_a_disabled_plugin_is_told_so(tmp_path: Path) -> None:
    walk = Walk(tmp_path)
    walk.read("how-to/disable-a-plugin.md")
    file = tmp_path / "web.toml"
    file.write_text(file.read_text().replace('"rr"', '"lc"'))
    assert 'scheduler "lc" is disabled. Remove it from disable in [plugins].' in walk.run("nat-lb check web.toml", 2)
