"""What an operator may set: the table [service.helper_options.ftp], and what can be wrong with it.

The law: what one table alone can show is refused when it is read; what needs the rest of the file, by `objections`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated, Any, NamedTuple, Self, TypeAlias

from pydantic import Field, PlainValidator, ValidationError, field_validator, model_validator

from nat_lb.api import Config, Options

_TWO_PORTS = re.compile(r"(\d{1,5})-(\d{1,5})", re.ASCII)


def _ports(text: object) -> range:
    """Read `FIRST-LAST`, both included; raises ValueError(what, remedy)."""
    found = _TWO_PORTS.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError("must be the first and the last port", 'Write "50000-50099".')
    first, last = int(found[1]), int(found[2])
    if first > last:
        raise ValueError("ends before it begins", f'Write "{last}-{first}".')
    if not 0 < first <= last < 0x10000:
        raise ValueError("must lie within 1 to 65535")
    return range(first, last + 1)


Ports: TypeAlias = Annotated[range, PlainValidator(_ports)]


class FtpOptions(Options):
    """The table [service.helper_options.ftp]."""

    own_addresses: tuple[IPv4Address, ...] = Field(
        default=(),
        description="Addresses that a 227 may name besides the real server's own. The real server itself is meant.",
    )
    minimum_port: int = Field(default=1024, ge=1, le=65535, description="The lowest port of a data connection.")
    passive_ports: Mapping[IPv4Address | IPv6Address, Ports] = Field(
        default_factory=dict,
        description="For encrypted sessions: the passive ports of each real server, as its own configuration has them.",
    )
    foreign_clients: bool = Field(
        default=False, description="Passive data connections may come from another address than the client's."
    )

    @field_validator("passive_ports", mode="before")
    @classmethod
    def _keys_are_addresses(cls, table: object) -> object:
        for key, value in table.items() if isinstance(table, Mapping) else ():
            if isinstance(value, Mapping):  # what TOML makes of 172.16.0.2 = "50000-50099"
                raise ValueError(f"passive_ports: {key} is a table", 'Put the address in quotes: "172.16.0.2" = …')
            try:
                ip_address(key)
            except ValueError:
                raise ValueError(
                    f'passive_ports: "{key}" is no IP address', "Write that of a real server of this service."
                ) from None
        return table

    @model_validator(mode="after")
    def _no_privileged_ports(self) -> Self:
        for address, ports in self.passive_ports.items():
            if ports[0] < self.minimum_port:
                raise ValueError(
                    f"passive_ports: the range of {address} begins with port {ports[0]}, below {self.minimum_port}",
                    "Choose higher ports, or lower minimum_port",
                )
        return self


class Passive(NamedTuple):
    """The passive ports of one real server, as one service has them at its virtual address."""

    service: str
    virtual: IPv4Address | IPv6Address
    real: IPv4Address | IPv6Address
    ports: range

    def clashes(self, other: Passive) -> bool:
        """Whether a port at the virtual address would be two real servers'."""
        common = self.ports[0] <= other.ports[-1] and other.ports[0] <= self.ports[-1]
        return common and self.virtual == other.virtual and self.real != other.real

    def __str__(self) -> str:
        return f"passive_ports: {self.ports[0]}-{self.ports[-1]} of {self.real}"


def objections(config: Config) -> Iterator[str]:
    """Yield what is wrong with the passive ports of a whole configuration, one sentence each.

    A client reaches a real server's port at the same port of the virtual address, so a port there is one real
    server's, and no service's.
    """
    seen: list[Passive] = []
    for service in config.services:
        where = f"{service.where}: [service.helper_options.ftp]"
        own = [server.address for server in service.real_servers]
        for one in _passive_ports(service):
            if one.real not in own:
                known = ", ".join(map(str, own)) or "none"
                yield f"{where}: passive_ports: {one.real} is no real server. The service has {known}."
            for other in filter(one.clashes, seen):
                of = "" if other.service == one.service else f" in {other.service}"
                yield f"{where}: {one} overlaps {other.ports[0]}-{other.ports[-1]} of {other.real}{of}. Choose others."
            for at in config.services:
                if at.protocol == "tcp" and at.address == one.virtual and at.port in one.ports:
                    yield f"{where}: {one} includes {at.port}, the port of {at.where}. Choose others."
            seen.append(one)


def _passive_ports(service: Any) -> Iterator[Passive]:
    """Yield what a service says; nothing if its table is invalid, which is told when the helper is made."""
    table = service.helper_options.get("ftp", {}) if "ftp" in service.helpers else {}
    try:
        options = FtpOptions.model_validate_json(json.dumps(table))
    except ValidationError:
        return
    for real, ports in options.passive_ports.items():
        yield Passive(service.where, service.address, real, ports)
