"""Whether a plugin is installed as its users will find it, and what is said if not."""

from __future__ import annotations

import tomllib

import pytest

from nat_lb.api import Scheduler
from nat_lb.errors import ConfigError
from nat_lb.plugins import PluginInfo, Registry
from nat_lb.testing import installed
from nat_lb.testing.installed import check_found, check_unknown_option, class_of, toml_table


class Mine(Scheduler):
    name = "mine"


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry with one plugin, which a test may misplace."""
    registry = Registry(found=())
    registry.schedulers["mine"] = Mine
    registry.plugins.append(PluginInfo("mine", "nat-lb-mine", "1.0", "nat_lb_mine", registers=["scheduler mine"]))
    monkeypatch.setattr(installed, "registry", lambda: registry)
    return registry


def test_plugin_in_its_place_is_found(found: Registry) -> None:
    check_found("scheduler", "mine", "nat-lb-mine")
    assert class_of("scheduler", "mine") is Mine


def test_missing_plugin_is_told_with_what_is_installed(found: Registry) -> None:
    with pytest.raises(AssertionError, match=r'no installed plugin registers the scheduler "yours"\n  installed: mine'):
        class_of("scheduler", "yours")


def test_plugin_of_another_distribution_is_told(found: Registry) -> None:
    with pytest.raises(AssertionError, match='comes from the distribution "nat-lb-mine", expected "nat-lb-yours"'):
        check_found("scheduler", "mine", "nat-lb-yours")


def test_entry_point_of_another_name_is_told_with_the_remedy(found: Registry) -> None:
    found.plugins[-1].name = "other"
    with pytest.raises(AssertionError, match=r'under the entry point "other", expected "mine"\n.*mine = "nat_lb_mine"'):
        check_found("scheduler", "mine", "nat-lb-mine")


def test_unknown_option_has_to_be_refused_by_name() -> None:
    def objects(words: str) -> None:
        raise ConfigError(words)

    check_unknown_option("helper", "table", lambda unknown: objects(f"unknown key {unknown}"))
    with pytest.raises(AssertionError, match="options of helper: an unknown one is refused without naming it\n  no"):
        check_unknown_option("helper", "table", lambda unknown: objects("no"))
    with pytest.raises(AssertionError, match=r"options of helper: \[table\] no_such_option_.* = 1 was accepted"):
        check_unknown_option("helper", "table", lambda unknown: None)


def test_options_become_a_table_that_reads_the_same() -> None:
    options = {
        "depth": 3,
        "fallback": True,
        "name": 'a "b"',
        "rate": 0.5,
        "sizes": [1, 2],
        "at": {"10.0.0.1": "a", "b": {"c": 1}},
    }
    assert tomllib.loads(toml_table(options)) == options
