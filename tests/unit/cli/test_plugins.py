"""`nat-lb plugins`: the table, the JSON, and the exit code."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from nat_lb.cli import cli, plugins
from nat_lb.plugins import Registry
from tests.little_plugins import Shelf


@pytest.fixture
def shelved(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """A shelf whose plugins are the only ones that the command sees."""
    monkeypatch.setattr(plugins, "Registry", lambda: Registry(found=shelf.entry_points()))
    return shelf


def test_table_shows_where_each_plugin_comes_from_and_what_it_is_for(shelved: Shelf) -> None:
    module = shelved.install("watch", "@hookimpl\ndef nat_lb_connection_opened():\n    pass\n")
    done = CliRunner(env={"COLUMNS": "250"}).invoke(cli, ["plugins"], standalone_mode=False)
    lines = [line.split() for line in done.output.splitlines()]
    assert lines[0] == ["name", "distribution", "version", "from", "registers", "state"]
    at = lines.index(["watch", "acme-watch", "1.0", module, "hook", "nat_lb_connection_opened", "loaded"])
    assert lines[at + 1] == [str(shelved.folder / f"{module}.py")]
    assert done.return_value == 0


def test_plugin_that_cannot_be_used_is_told_and_fails_the_command(shelved: Shelf) -> None:
    shelved.install("bad", "raise RuntimeError('no licence')")
    done = CliRunner(env={"COLUMNS": "250"}).invoke(cli, ["plugins"], standalone_mode=False)
    assert done.return_value == 1
    assert done.stderr.startswith('acme-bad 1.0: plugin "bad" (acme_bad_')
    assert done.stderr.endswith("cannot be used: RuntimeError: no licence\n")


def test_json_has_everything_that_is_known(shelved: Shelf) -> None:
    module = shelved.install("old", "", requires=("nat-lb>9",))
    done = CliRunner().invoke(cli, ["plugins", "--json"], standalone_mode=False)
    (old,) = [plugin for plugin in json.loads(done.stdout) if plugin["name"] == "old"]
    assert old.pop("problem").endswith("Install a release of it that is made for this version.")
    assert old == {
        "name": "old", "distribution": "acme-old", "version": "1.0", "origin": module, "registers": [],
        "location": str(shelved.folder / f"{module}.py"), "state": "failed",
    }  # fmt: skip
