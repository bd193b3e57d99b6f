"""Loading of plugins: what is found, what is refused and why, and who is blamed."""

from __future__ import annotations

import pytest

from nat_lb import __version__ as VERSION
from nat_lb.config import parse
from nat_lb.director import Director
from nat_lb.errors import ConfigError
from nat_lb.plugins import CORE, PluginInfo, Registry
from tests.little_plugins import Shelf

SCHEDULER = """
class Mine(Scheduler):
    name = "{name}"
    def schedule(self, flow):
        return self.service.real_servers[0]

@hookimpl
def nat_lb_register_schedulers():
    return [Mine]
"""


def info(registry: Registry, name: str) -> PluginInfo:
    (found,) = [plugin for plugin in registry.plugins if plugin.name == name]
    return found


def test_installed_plugins_are_found_by_their_entry_points() -> None:
    registry = Registry()
    assert {"lc", "rr", "sh", "wrr"} <= registry.schedulers.keys()
    assert {"tcp", "udp"} <= registry.trackers.keys()
    assert (info(registry, "rr").distribution, info(registry, "rr").registers) == ("nat-lb-rr", ["scheduler rr"])
    assert registry.problems == []


def test_core_is_a_plugin_like_any_other() -> None:
    core = info(Registry(found=[]), CORE)
    hooks = ["hook nat_lb_bind_helper", "hook nat_lb_check_config", "hook nat_lb_schedule"]
    assert (core.state, core.registers) == ("loaded", ["tracker tcp", "tracker udp", *hooks])


def test_loaded_plugin_tells_where_it_comes_from(shelf: Shelf) -> None:
    module = shelf.install("mine", SCHEDULER.format(name="mine"))
    registry = shelf.registry()
    file = str(shelf.folder / f"{module}.py")
    assert info(registry, "mine") == PluginInfo("mine", "acme-mine", "1.0", module, file, registers=["scheduler mine"])
    assert registry.owner_of(registry.schedulers["mine"]) == "acme-mine"


def test_two_plugins_with_one_name_are_an_error_that_names_both(shelf: Shelf) -> None:
    shelf.install("one", SCHEDULER.format(name="same"))
    shelf.install("two", SCHEDULER.format(name="same"))
    registry = shelf.registry()
    assert info(registry, "one").state == "loaded"
    (problem,) = registry.problems
    assert problem.startswith('acme-two 1.0: plugin "two" (acme_two_')
    assert problem.endswith(
        'cannot be used: scheduler "same" is registered by acme-one already. '
        "Uninstall one of the two, or name one in [plugins] disable."
    )


def test_name_of_a_scheduler_that_comes_with_the_product_is_taken(shelf: Shelf) -> None:
    shelf.install("aaa", SCHEDULER.format(name="rr"))
    registry = shelf.registry()
    assert 'scheduler "rr" is registered by acme-aaa already' in registry.problems[0]
    assert info(registry, "rr").state == "failed"


def test_disabled_plugin_is_not_even_imported(shelf: Shelf) -> None:
    shelf.install("bomb", "raise SystemExit('imported')")
    registry = shelf.registry("bomb", "rr")
    assert (info(registry, "bomb").state, info(registry, "rr").state) == ("disabled", "disabled")
    assert "rr" not in registry.schedulers
    assert registry.problems == []


FAILING = {
    "at import": ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
    "at import, by syntax": ("def :", "SyntaxError: "),
    "with an unknown hook": ("@hookimpl\ndef nat_lb_packet(data):\n    pass", "PluginValidationError: unknown hook"),
    "with an unknown argument": (
        "@hookimpl\ndef nat_lb_schedule(service, packet):\n    pass", "PluginValidationError: Plugin "
    ),
    "when asked": (
        "@hookimpl\ndef nat_lb_register_helpers():\n    raise KeyError('x')", "KeyError: 'x'"
    ),
    "with nothing": (
        "@hookimpl\ndef nat_lb_register_helpers():\n    pass",
        "nat_lb_register_helpers() must return a list of classes, found None",
    ),
    "with one class": (
        "@hookimpl\ndef nat_lb_register_schedulers():\n    return Scheduler",
        "nat_lb_register_schedulers() must return a list of classes, found <class 'nat_lb.scheduler.Scheduler'>",
    ),
    "with an object": (
        "@hookimpl\ndef nat_lb_register_schedulers():\n    return ['rr']",
        "nat_lb_register_schedulers() must return subclasses of nat_lb.api.Scheduler, found 'rr'",
    ),
    "with a class of another kind": (
        "class H(Helper):\n    name = 'h'\n@hookimpl\ndef nat_lb_register_schedulers():\n    return [H]",
        "nat_lb_register_schedulers() must return subclasses of nat_lb.api.Scheduler, found ",
    ),
    "with options that are a table": (
        "class S(Scheduler):\n    name = 's'\n    options = {'size': 8}\n@hookimpl\n"
        "def nat_lb_register_schedulers():\n    return [S]",
        "nat_lb_register_schedulers(): S.options must be a subclass of nat_lb.api.Options, found {'size': 8}",
    ),
    "with options of a class of its own": (
        "class O:\n    size = 8\nclass H(Helper):\n    name = 'h'\n    options = O\n    def rewrite(self, message):\n"
        "        return ()\n@hookimpl\ndef nat_lb_register_helpers():\n    return [H]",
        "nat_lb_register_helpers(): H.options must be a subclass of nat_lb.api.Options, found <class 'acme_",
    ),
    "without a name": (
        "class S(Scheduler):\n    pass\n@hookimpl\ndef nat_lb_register_schedulers():\n    return [S]",
        "nat_lb_register_schedulers(): S has no name. Set the class attribute `name`.",
    ),
    "with an abstract class": (
        "class H(Helper):\n    name = 'h'\n@hookimpl\ndef nat_lb_register_helpers():\n    return [H]",
        "nat_lb_register_helpers(): H does not implement rewrite.",
    ),
    "with a helper of SCTP": (
        "class H(Helper):\n    name = 'h'\n    protocol = 'sctp'\n    def rewrite(self, message):\n        return ()\n"
        "@hookimpl\ndef nat_lb_register_helpers():\n    return [H]",
        'nat_lb_register_helpers(): helper "h" is for sctp; payloads of tcp and udp only are rewritten.',
    ),
    "with a tracker that is not total": (
        "class T(Tracker):\n    name = 't'\n    states = ('A',)\n    events = ('x',)\n    transitions = {}\n"
        "    timeouts = {'A': 1}\n@hookimpl\ndef nat_lb_register_trackers():\n    return [T]",
        'tracker "t": transitions[ORIGINAL]["x"] must name one known state for each of 1 states, found 0: .',
    ),
    "with one name twice": (
        "class S(Scheduler):\n    name = 's'\n@hookimpl\ndef nat_lb_register_schedulers():\n    return [S, S]",
        'nat_lb_register_schedulers() returns two classes named "s".',
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", sorted(FAILING))
def test_plugin_that_fails_is_left_out_and_says_why(shelf: Shelf, how: str) -> None:
    source, message = FAILING[how]
    module = shelf.install("bad", source)
    registry = shelf.registry()
    (problem,) = registry.problems
    assert problem.startswith(f'acme-bad 1.0: plugin "bad" ({module}) cannot be used: {message}')
    assert (info(registry, "bad").state, info(registry, "bad").registers) == ("failed", [])
    assert set(registry.schedulers) == {"lc", "rr", "sh", "wrr"}
    assert not [plugin for plugin in registry.manager.get_plugins() if getattr(plugin, "__name__", "") == module]


def test_entry_point_that_names_nothing_is_a_problem_of_its_plugin(shelf: Shelf) -> None:
    shelf.install("gone", "", entries=("gone = acme_not_there",))
    shelf.install("half", SCHEDULER.format(name="half"), entries=("half = MODULE:missing",))
    module = shelf.install("part", "", entries=("part = MODULE.inner",))
    problems = shelf.registry().problems
    assert problems[0] == (
        'acme-gone 1.0: plugin "gone" (acme_not_there) cannot be used: its entry point names the module '
        "acme_not_there, and there is no acme_not_there. Reinstall the "
        "distribution, or ask its author to correct the entry point."
    )
    assert ":missing, and the module has no missing. Ask its author to correct the entry point." in problems[1]
    assert f"names the module {module}.inner, and there is no {module}.inner." in problems[2]


def test_module_that_a_plugin_misses_itself_is_named_as_it_was_raised(shelf: Shelf) -> None:
    shelf.install("needy", "import acme_not_installed")
    (problem,) = shelf.registry().problems
    assert problem.endswith("cannot be used: ModuleNotFoundError: No module named 'acme_not_installed'")


def test_attribute_that_a_plugin_misses_itself_is_named_as_it_was_raised(shelf: Shelf) -> None:
    shelf.install("needy", "import json\njson.nothing\nobject = 1", entries=("needy = MODULE:object",))
    (problem,) = shelf.registry().problems
    assert problem.endswith("cannot be used: AttributeError: module 'json' has no attribute 'nothing'")


def test_plugin_that_exits_when_it_is_imported_ends_nothing_else(shelf: Shelf) -> None:
    shelf.install("quitter", "raise SystemExit('no display')")
    registry = shelf.registry()
    (problem,) = registry.problems
    assert problem.endswith("cannot be used: SystemExit: no display")
    assert "rr" in registry.schedulers


@pytest.mark.parametrize(
    "requirement", ["nat-lb ~= 0.2", "NAT_LB>=1", "nat-lb[testing]<0.1", "nat-lb==0.0.9; python_version>'3'"]
)
def test_plugin_built_for_another_version_is_not_even_imported(shelf: Shelf, requirement: str) -> None:
    module = shelf.install("old", "raise SystemExit('imported')", requires=(requirement,))
    (problem,) = shelf.registry().problems
    wanted = requirement.partition(";")[0][len("nat-lb") :].removeprefix("[testing]").strip().replace(" ", "")
    assert problem == (
        f'acme-old 1.0: plugin "old" ({module}) cannot be used: it is built for nat-lb {wanted}, this is nat-lb '
        f"{VERSION}. Install a release of it that is made for this version."
    )


@pytest.mark.parametrize(
    "requirement", ["nat-lb ~= 0.1", "nat-lb", "other>9", "nat-lb>9; extra=='x'", "nat-lb>9; python_version<'3'", "?"]
)
def test_plugin_that_admits_this_version_is_loaded(shelf: Shelf, requirement: str) -> None:
    shelf.install("good", SCHEDULER.format(name="good"), requires=(requirement,))
    registry = shelf.registry()
    assert registry.problems == []
    assert "good" in registry.schedulers


def test_plugin_lists_the_hooks_that_it_implements(shelf: Shelf) -> None:
    source = (
        "@hookimpl\ndef nat_lb_schedule(service):\n    pass\n@hookimpl\ndef nat_lb_connection_opened():\n    pass\n"
    )
    shelf.install("watch", SCHEDULER.format(name="watch") + source)
    listed = info(shelf.registry(), "watch").registers
    assert listed == ["scheduler watch", "hook nat_lb_connection_opened", "hook nat_lb_schedule"]


def test_plugin_that_is_not_loaded_tells_its_file_without_being_imported(shelf: Shelf) -> None:
    module = shelf.install("off", "raise SystemExit('imported')")
    shelf.install("gone", "", entries=("gone = acme_not_there.inner",))
    registry = shelf.registry("off", "gone")
    assert info(registry, "off").location == str(shelf.folder / f"{module}.py")
    assert info(registry, "gone").location == ""


SERVICE = """
[[service]]
protocol = "tcp"
address = "202.103.106.5"
port = 80
scheduler = "{scheduler}"
real_server = [{{ address = "172.16.0.2" }}]
"""


def test_service_that_needs_a_failed_plugin_is_refused_with_the_reason(shelf: Shelf) -> None:
    shelf.install("bad", "raise RuntimeError('no licence')")
    with pytest.raises(ConfigError) as refused:
        Director(parse(SERVICE.format(scheduler="bad"), "web.toml"), "web.toml", shelf.registry())
    first, *rest = refused.value.problems
    assert 'no installed plugin provides scheduler "bad"' in first
    assert [line for line in rest if line.startswith("web.toml: acme-bad 1.0: ") and line.endswith(": no licence")]


def test_service_that_needs_it_not_starts_without_a_failed_plugin(shelf: Shelf) -> None:
    shelf.install("bad", "raise RuntimeError('no licence')")
    director = Director(parse(SERVICE.format(scheduler="rr"), "web.toml"), "web.toml", shelf.registry())
    assert len(director.registry.problems) == 1


def test_plugin_that_fails_half_way_registers_nothing_of_it(shelf: Shelf) -> None:
    shelf.install(
        "half", SCHEDULER.format(name="half") + "\n@hookimpl\ndef nat_lb_register_helpers():\n    return [3]\n"
    )
    registry = shelf.registry()
    assert "half" not in registry.schedulers
    assert len(registry.problems) == 1


def test_one_distribution_may_bring_several_plugins_and_one_may_fail(shelf: Shelf) -> None:
    source = SCHEDULER.format(name="good") + "\nclass other:\n    name = 'x'\n"
    shelf.install("pair", source, entries=("bad = MODULE:missing", "good = MODULE", "same = MODULE:other"))
    registry = shelf.registry()
    assert [(plugin.name, plugin.state) for plugin in registry.plugins if plugin.distribution == "acme-pair"] == [
        ("bad", "failed"),
        ("good", "loaded"),
        ("same", "loaded"),
    ]
    assert "good" in registry.schedulers


def test_error_is_blamed_on_the_innermost_plugin_it_came_through(shelf: Shelf) -> None:
    module = shelf.install("culprit", "def fail():\n    raise ValueError('mine')\n")
    registry = shelf.registry()
    with pytest.raises(ValueError, match="mine") as caught:
        shelf.attribute(module, "fail")()
    assert registry.owner(caught.value) == "acme-culprit"
    assert registry.owner(ValueError("never raised")) == CORE


HEARS = """
heard = []

@hookimpl
def nat_lb_service_changed(change):
    heard.append(change)
"""
UNHASHABLE = """
class Plugin:
    __hash__ = None

    @hookimpl
    def nat_lb_service_changed(self, change):
        heard.append(change)

plugin, heard = Plugin(), []
"""


def test_each_plugin_is_told_by_itself_the_last_one_first(shelf: Shelf) -> None:
    modules = [shelf.install(name, HEARS) for name in ("a", "b")]
    listeners = shelf.registry().listeners("nat_lb_service_changed")
    listeners[0](service=None, change="added")
    assert [shelf.attribute(module, "heard") for module in modules] == [[], ["added"]]
    listeners[1](service=None, change="changed")
    assert [shelf.attribute(module, "heard") for module in modules] == [["changed"], ["added"]]
    assert len(listeners) == 2


def test_plugins_that_cannot_be_told_apart_are_told_together(shelf: Shelf) -> None:
    modules = [shelf.install("a", HEARS), shelf.install("b", UNHASHABLE, entries=("b = MODULE:plugin",))]
    (listener,) = shelf.registry().listeners("nat_lb_service_changed")
    listener(service=None, change="added")
    assert [shelf.attribute(module, "heard") for module in modules] == [["added"], ["added"]]
