"""Plugins: found by entry point, checked, and turned into registries of what they offer.

The law: the manager is an object that the director owns, and one plugin's failure is reported by its distribution's
name and takes nothing else with it. The core's own parts come in through the same hooks.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass, field
from importlib.metadata import Distribution, EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any

import pluggy
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from nat_lb import core, hookspecs
from nat_lb.config import Options
from nat_lb.errors import PluginError
from nat_lb.helper import Helper
from nat_lb.scheduler import Scheduler
from nat_lb.tracker import Tracker

GROUP = "nat_lb"
CORE = "nat-lb"


@dataclass
class PluginInfo:
    """One installed plugin: where it comes from, what it registers, and why it is not used if it is not."""

    name: str
    distribution: str
    version: str
    origin: str  # what the entry point names
    location: str = ""  # the file of the module, empty if there is none
    state: str = "loaded"  # loaded | disabled | failed
    problem: str = ""
    registers: list[str] = field(default_factory=list)


class Registry:
    """The loaded plugins and what they offer by name."""

    def __init__(self, disabled: Collection[str] = (), found: Iterable[EntryPoint] | None = None) -> None:
        self.manager = pluggy.PluginManager("nat_lb")
        self.manager.add_hookspecs(hookspecs)
        self.plugins: list[PluginInfo] = []
        self.schedulers: dict[str, type[Scheduler]] = {}
        self.trackers: dict[str, type[Tracker]] = {}
        self.helpers: dict[str, type[Helper]] = {}
        self._owners: dict[str, str] = {"nat_lb": CORE}  # top-level package -> distribution
        self.manager.register(core, CORE)
        self._collect(PluginInfo(CORE, CORE, core.VERSION, "nat_lb.core", _location("nat_lb.core")), core)
        for entry in sorted(entry_points(group=GROUP) if found is None else found, key=lambda entry: entry.name):
            self._load(entry, disabled)

    @property
    def problems(self) -> list[str]:
        """What went wrong with the plugins that could not be loaded, one line each."""
        return [plugin.problem for plugin in self.plugins if plugin.state == "failed"]

    def owner(self, error: BaseException) -> str:
        """Name the distribution whose code raised: the innermost frame that belongs to a plugin, else the core."""
        traceback, owner = error.__traceback__, CORE
        while traceback is not None:
            package = str(traceback.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
            found = self._owners.get(package, CORE)
            owner = owner if found == CORE else found
            traceback = traceback.tb_next
        return owner

    def owner_of(self, offered: type) -> str:
        """Name the distribution that a registered class comes from."""
        return self._owners.get(offered.__module__.partition(".")[0], CORE)

    def listeners(self, hook: str) -> list[pluggy.HookCaller]:
        """Return a caller for each plugin that implements a hook: what one raises is not in the way of the others."""
        everybody: pluggy.HookCaller = getattr(self.manager.hook, hook)
        plugins = [implementation.plugin for implementation in reversed(everybody.get_hookimpls())]
        if not all(isinstance(plugin, Hashable) and hasattr(plugin, hook) for plugin in plugins):
            return [everybody]  # pluggy cannot leave such a plugin out
        each = dict.fromkeys(plugins)
        return [self.manager.subset_hook_caller(hook, each.keys() - {plugin}) for plugin in each]

    def _load(self, entry: EntryPoint, disabled: Collection[str]) -> None:
        distribution, version = (entry.dist.name, entry.dist.version) if entry.dist else (entry.value, "?")
        info = PluginInfo(entry.name, distribution, version, entry.value, _location(entry.module))
        self._owners[entry.module.partition(".")[0]] = distribution
        if entry.name in disabled:
            info.state = "disabled"
            self.plugins.append(info)
            return
        registered = f"{distribution}: {entry.name}"
        try:
            _check_version(entry.dist)
            plugin = _imported(entry)
            info.location = _location(entry.module)
            self.manager.register(plugin, registered)
            self.manager.check_pending()
            self._collect(info, plugin)
        except (Exception, SystemExit) as error:  # a module that exits when it is imported takes nobody with it
            info.state = "failed"
            info.problem = _explain(info, error)
            info.registers.clear()
            if self.manager.has_plugin(registered):
                self.manager.unregister(name=registered)
            self.plugins.append(info)

    def _collect(self, info: PluginInfo, plugin: object) -> None:
        """Take what one plugin registers; nothing of it if any of it is not sound."""
        offers: tuple[tuple[str, type[Any], dict[str, Any]], ...] = (
            ("schedulers", Scheduler, self.schedulers),
            ("trackers", Tracker, self.trackers),
            ("helpers", Helper, self.helpers),
        )
        taken: list[tuple[dict[str, Any], type[Any]]] = []
        for kind, base, registry in offers:
            implementation = getattr(plugin, f"nat_lb_register_{kind}", None)
            for offered in self._ask(implementation, kind):
                self._check(offered, base, kind, registry)
                if any(other is registry and earlier.name == offered.name for other, earlier in taken):
                    raise PluginError(f'nat_lb_register_{kind}() returns two classes named "{offered.name}".')
                taken.append((registry, offered))
                info.registers.append(f"{kind[:-1]} {offered.name}")
        hooks = {caller.name for caller in self.manager.get_hookcallers(plugin) or ()}
        info.registers += sorted(f"hook {hook}" for hook in hooks if not hook.startswith("nat_lb_register_"))
        for registry, offered in taken:
            registry[offered.name] = offered
            self._owners.setdefault(offered.__module__.partition(".")[0], info.distribution)
        self.plugins.append(info)

    def _ask(self, implementation: Callable[[], Iterable[Any]] | None, kind: str) -> list[Any]:
        if implementation is None:
            return []
        answer = implementation()
        if answer is None or isinstance(answer, (str, type)):
            raise PluginError(f"nat_lb_register_{kind}() must return a list of classes, found {answer!r}")
        return list(answer)

    def _check(self, offered: Any, base: type[Any], kind: str, registry: dict[str, Any]) -> None:
        hook = f"nat_lb_register_{kind}()"
        if not (isinstance(offered, type) and issubclass(offered, base)):
            raise PluginError(f"{hook} must return subclasses of nat_lb.api.{base.__name__}, found {offered!r}")
        name = getattr(offered, "name", None)
        if not isinstance(name, str) or not name:
            raise PluginError(f"{hook}: {offered.__name__} has no name. Set the class attribute `name`.")
        if inspect.isabstract(offered):
            missing = ", ".join(sorted(offered.__abstractmethods__))  # type: ignore[attr-defined]
            raise PluginError(f"{hook}: {offered.__name__} does not implement {missing}.")
        options = getattr(offered, "options", None)
        if options is not None and not (isinstance(options, type) and issubclass(options, Options)):
            raise PluginError(
                f"{hook}: {offered.__name__}.options must be a subclass of nat_lb.api.Options, found {options!r}"
            )
        if issubclass(offered, Tracker):
            offered.check()
        if issubclass(offered, Helper) and offered.protocol not in ("tcp", "udp"):
            raise PluginError(
                f'{hook}: helper "{name}" is for {offered.protocol}; payloads of tcp and udp only are rewritten.'
            )
        if name in registry:
            raise PluginError(
                f'{kind[:-1]} "{name}" is registered by {self.owner_of(registry[name])} already. '
                "Uninstall one of the two, or name one in [plugins] disable."
            )


def _explain(info: PluginInfo, error: BaseException) -> str:
    text = str(error) or type(error).__name__
    if not isinstance(error, PluginError):
        text = f"{type(error).__name__}: {text}"
    return f'{info.distribution} {info.version}: plugin "{info.name}" ({info.origin}) cannot be used: {text}'


def _location(module: str) -> str:
    """Return the file of a module that is loaded, or whose top-level package can be found without importing it."""
    loaded = sys.modules.get(module)
    if loaded is not None:
        return getattr(loaded, "__file__", None) or ""
    try:
        found = find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        return ""
    return (found.origin or "") if found is not None else ""


def _imported(entry: EntryPoint) -> object:
    """Return what an entry point names; raises PluginError if there is nothing, and what the import raises."""
    try:
        return entry.load()
    except ModuleNotFoundError as error:
        if error.name is None or not f"{entry.module}.".startswith(f"{error.name}."):
            raise
        raise PluginError(
            f"its entry point names the module {entry.module}, and there is no {error.name}. "
            "Reinstall the distribution, or ask its author to correct the entry point."
        ) from error
    except AttributeError as error:
        module = sys.modules.get(entry.module)
        if module is None or hasattr(module, entry.attr.partition(".")[0]):
            raise
        raise PluginError(
            f"its entry point names {entry.value}, and the module has no {entry.attr}. "
            "Ask its author to correct the entry point."
        ) from error


def _check_version(distribution: Distribution | None) -> None:
    """Raise PluginError if a distribution requires another version of the core than this one."""
    for text in (distribution.requires or ()) if distribution is not None else ():
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            continue  # what an installer would have made of it is not ours to judge
        if canonicalize_name(wanted.name) != CORE or (wanted.marker is not None and not wanted.marker.evaluate()):
            continue
        if not wanted.specifier.contains(core.VERSION, prereleases=True):
            raise PluginError(
                f"it is built for nat-lb {wanted.specifier}, this is nat-lb {core.VERSION}. "
                "Install a release of it that is made for this version."
            )
