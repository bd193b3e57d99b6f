"""Contradictions between keys that are each valid.

The law: these checks read the document, not the validated objects, and skip what they cannot read; so a file that has a
mistake elsewhere still hears about them in the same run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from nat_lb.config.address import IPAddress, endpoint, format_endpoint, parse_address
from nat_lb.config.problems import Path, Problem, service_label


class _Service(NamedTuple):
    """One `[[service]]` as far as it can be read."""

    path: Path
    label: str
    table: Mapping[str, Any]
    address: IPAddress | None
    port: int | None

    @property
    def number(self) -> int:
        """Its place in the file, from 1."""
        return int(self.path[1]) + 1

    @property
    def endpoint(self) -> str | None:
        """What makes the service distinct, and its name if it has none: `tcp 203.0.113.1:80`."""
        protocol = self.table.get("protocol")
        if not isinstance(protocol, str) or self.address is None or self.port is None:
            return None
        return endpoint(protocol, self.address, self.port)

    @property
    def name(self) -> str | None:
        """The name that is written, or else the default."""
        name = self.table.get("name")
        return name if isinstance(name, str) and name else self.endpoint


def contradictions(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Find everything that two or more keys get wrong together."""
    services = list(_services(document))
    yield from _same_endpoint(services)
    yield from _same_name(services)
    for service in services:
        yield from _fallback(service)
        yield from _helper_tables(service)
        yield from _netmask(service)
        yield from _real_servers(service)


def _tables(parent: Mapping[str, Any], key: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the tables of `[[key]]` with their numbers, leaving out what is none."""
    tables = parent.get(key)
    for number, table in enumerate(tables if isinstance(tables, list) else ()):
        if isinstance(table, Mapping):
            yield number, table


def _services(document: Mapping[str, Any]) -> Iterator[_Service]:
    for number, table in _tables(document, "service"):
        label = service_label(document, number)
        yield _Service(("service", number), label, table, _address(table), _integer(table, "port"))


def _address(table: Mapping[str, Any]) -> IPAddress | None:
    try:
        return parse_address(table.get("address"))
    except ValueError:
        return None


def _integer(table: Mapping[str, Any], key: str, default: int | None = None) -> int | None:
    value = table.get(key, default)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else None


def _same_endpoint(services: Sequence[_Service]) -> Iterator[Problem]:
    first: dict[str, _Service] = {}
    for service in services:
        if service.endpoint is None:
            continue
        other = first.setdefault(service.endpoint, service)
        if other is not service:
            yield Problem(
                (*service.path, "address"),
                f"{service.endpoint} is {_called(other, service)} already. "
                "Put all its real servers into one of the two, or change one's protocol, address or port.",
            )


def _called(other: _Service, service: _Service) -> str:
    """Name another service; by its number if the name would not tell the two apart."""
    return other.label if other.label != service.label else f"service {other.number}"


def _same_name(services: Sequence[_Service]) -> Iterator[Problem]:
    first: dict[str, _Service] = {}
    for service in services:
        if service.name is None:
            continue
        other = first.setdefault(service.name, service)
        if other is not service and other.endpoint != service.endpoint:
            yield Problem(
                (*service.path, "name"),
                f"the name is that of service {other.number} too. Give service {service.number} another.",
            )


def _fallback(service: _Service) -> Iterator[Problem]:
    name = service.table.get("fallback_scheduler")
    if name and name == service.table.get("scheduler", "rr"):
        yield Problem(
            (*service.path, "fallback_scheduler"),
            f'fallback_scheduler must be another than scheduler, found "{name}" for both. Remove it, or write another.',
        )


def _helper_tables(service: _Service) -> Iterator[Problem]:
    helpers, options = service.table.get("helpers", []), service.table.get("helper_options")
    if not isinstance(helpers, list):
        return
    for number, name in enumerate(helpers):
        if name in helpers[:number]:
            yield Problem((*service.path, "helpers"), f'helpers names "{name}" twice. Remove one.')
    for name in options if isinstance(options, Mapping) else ():
        if name not in helpers:
            yield Problem(
                (*service.path, "helper_options"),
                f"[service.helper_options.{name}] is for a helper that is not enabled. "
                f'Add "{name}" to helpers, or remove the table.',
            )


def _netmask(service: _Service) -> Iterator[Problem]:
    length = _integer(service.table, "persistence_netmask")
    if service.address and length and service.address.max_prefixlen < length <= 128:
        yield Problem(
            (*service.path, "persistence_netmask"),
            f"persistence_netmask must be 1 to 32 for an IPv4 service, found {length}.",
        )


def _real_servers(service: _Service) -> Iterator[Problem]:
    first: dict[tuple[IPAddress, int], int] = {}
    for number, table in _tables(service.table, "real_server"):
        path = (*service.path, "real_server", number)
        yield from _thresholds(path, table)
        address, port = _address(table), _integer(table, "port", service.port)
        if address is None:
            continue
        yield from _addresses(path, address, service)
        if port is None:
            continue
        other = first.setdefault((address, port), number)
        if other != number:
            yield Problem(
                (*path, "address"),
                f"{format_endpoint(address, port)} is real_server {other + 1} already. "
                "Remove one; to give it a larger share, raise its weight.",
            )


def _addresses(path: Path, address: IPAddress, service: _Service) -> Iterator[Problem]:
    if service.address is None:
        return
    if address.version != service.address.version:
        yield Problem(
            (*path, "address"),
            f"address must be IPv{service.address.version} as the service's is, found {address}. "
            "A connection keeps its family.",
        )
    elif address == service.address:
        yield Problem(
            (*path, "address"),
            f"address must not be the service's own, found {address}. Write that of a machine behind the director.",
        )


def _thresholds(path: Path, table: Mapping[str, Any]) -> Iterator[Problem]:
    upper, lower = _integer(table, "upper_threshold", 0), _integer(table, "lower_threshold", 0)
    if upper is None or lower is None or lower <= upper:
        return
    if upper == 0:
        sentence = f"lower_threshold needs an upper_threshold. Write upper_threshold = {lower} or more."
    else:
        sentence = f"lower_threshold must be at most upper_threshold, which is {upper}, found {lower}."
    yield Problem((*path, "lower_threshold"), sentence)
