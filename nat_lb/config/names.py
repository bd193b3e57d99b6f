"""Names in the configuration that only the installed plugins can vouch for.

The law: this is asked after the plugins are loaded, and every name that none of them provides is an objection that
lists those they do provide.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain

from nat_lb.config.model import Config, ServiceConfig
from nat_lb.config.phrases import did_you_mean


def check_names(
    config: Config,
    source: str,
    *,
    schedulers: Collection[str],
    helpers: Collection[str],
    protocols: Collection[str],
    timeout_names: Mapping[str, Collection[str]],
    plugins: Collection[str] | None = None,
) -> list[str]:
    """Return an objection, one line each and in the file's order, for every name that no installed plugin provides.

    `schedulers`, `helpers` and `protocols` are the registered names (a registry will do).  `timeout_names` has, by
    protocol, what its tracker's `timeout_names()` returns.  `plugins`, if given, are the names that `disable` may hold.
    """
    every_timeout = sorted(set(chain.from_iterable(timeout_names.values())))
    objections = [*_unknown_timeouts("[timeouts]", config.timeouts, every_timeout)]
    if plugins is not None:
        objections += [_not_installed(name, plugins) for name in config.plugins.disable if name not in plugins]
    for service in config.services:
        disabled = config.plugins.disable
        found = chain(
            _not_provided("protocol", [service.protocol], protocols, disabled),
            _not_provided("scheduler", _schedulers(service), schedulers, disabled),
            _not_provided("helper", service.helpers, helpers, disabled),
            _service_timeouts(service, timeout_names),
        )
        objections += [f"{service.where}: {objection}" for objection in found]
    return [f"{source}: {objection}" for objection in objections]


def _schedulers(service: ServiceConfig) -> list[str]:
    return [service.scheduler, *([service.fallback_scheduler] if service.fallback_scheduler else [])]


def _not_provided(kind: str, names: Iterable[str], known: Collection[str], disabled: Collection[str]) -> Iterator[str]:
    for name in names:
        if name in known:
            continue
        if name in disabled:
            yield f'{kind} "{name}" is disabled. Remove it from disable in [plugins].'
        else:
            installed = ", ".join(sorted(known)) or "none"
            hint = did_you_mean(name, known)
            yield f'no installed plugin provides {kind} "{name}". Installed: {installed}.{hint}'


def _not_installed(name: str, plugins: Collection[str]) -> str:
    return (
        f'[plugins]: disable names "{name}", which is not installed. '
        f"Installed: {', '.join(sorted(plugins)) or 'none'}.{did_you_mean(name, plugins)}"
    )


def _service_timeouts(service: ServiceConfig, timeout_names: Mapping[str, Collection[str]]) -> Iterator[str]:
    """A service has connections of its own protocol, and of others if a helper expects them."""
    if service.protocol not in timeout_names:
        return  # the protocol itself is the objection
    known = chain.from_iterable(timeout_names.values()) if service.helpers else timeout_names[service.protocol]
    yield from _unknown_timeouts("[service.timeouts]", service.timeouts, sorted(set(known)))


def _unknown_timeouts(where: str, timeouts: Iterable[str], known: Collection[str]) -> Iterator[str]:
    for name in timeouts:
        if name not in known:
            yield f'{where}: unknown timeout "{name}". Known: {", ".join(known) or "none"}.{did_you_mean(name, known)}'
