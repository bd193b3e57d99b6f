"""The tables and keys of the file: names, types, ranges, defaults, and what each means.

The law: a key exists if it is a field here, its default is the field's, and its description is what the reference page
and the JSON Schema print.  Objects are frozen; what depends on another key (a port, a name) is filled in, so a reader
of `Config` never derives a default.  `x-default` puts such a derived default into words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationInfo, WithJsonSchema, field_validator

from nat_lb.config.address import IPAddress, endpoint, parse_address
from nat_lb.service import default_lower_threshold

MAX_INT = 2**31 - 1
"""The largest weight and threshold, as in IPVS: they are C ints in the kernel."""

Address = Annotated[
    IPAddress,
    PlainValidator(parse_address),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "ipv4"}, {"type": "string", "format": "ipv6"}]}),
]
PluginName = Annotated[str, Field(min_length=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Table(BaseModel):
    """A TOML table: unknown keys are errors, types are never converted, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class DirectorConfig(Table):
    """What holds for the whole director."""

    datapath: Literal["auto", "nfqueue", "ebpf"] = Field(
        default="auto",
        description="How packets reach nat-lb. `nfqueue` takes every packet to Python, `ebpf` hands connections to the "
        "kernel, `auto` takes `ebpf` where it is installed and works, else `nfqueue`. A reload does not change it.",
    )
    xdp: tuple[str, ...] = Field(
        default=(),
        examples=[["eth0", "eth1"]],
        description="Devices on which the fast path runs in the driver (XDP), which is faster than TC. Name all that "
        "packets come in and leave by; checksum offload must be off at the other end of a veth pair.",
    )
    queue: int = Field(default=0, ge=0, le=65535, description="The netfilter queue that packets are read from.")
    control: str = Field(
        default="/run/nat-lb/control.sock",
        description="Path of the Unix socket at which `nat-lb status`, `connections` and `drain` find the director; "
        "only root and its own user may connect. Directors that run at once need different ones.",
    )
    other_ports: Literal["reject", "drop", "accept"] = Field(
        default="reject",
        description="What becomes of a packet to a virtual IP's port that no service has: `reject` answers with a TCP "
        "reset or an ICMP error, `drop` is silent, `accept` leaves it to the director's own stack.",
    )
    max_connections: int = Field(
        default=1_000_000,
        ge=1,
        description="The most connections that the table holds; a new one beyond them is dropped.",
    )
    orphan_replies: Literal["drop", "reject"] = Field(
        default="drop",
        description="What becomes of a real server's packet that belongs to no connection. It is never forwarded: it "
        "would show the real server's address.",
    )
    sloppy_tcp: bool = Field(
        default=False,
        description="Open a connection on a TCP packet that is not a SYN, so that connections survive a failover to a "
        "director that never saw them begin.",
    )
    log_connections: bool = Field(
        default=False, description="Log a line for each connection opened, each change of its state and its end."
    )

    @field_validator("control")
    @classmethod
    def _is_a_socket_path(cls, control: str) -> str:
        # sun_path is 108 bytes and ends with a NUL: unix(7).
        if not control.startswith("/") or control.endswith("/") or len(control.encode()) > 107:
            raise ValueError("must be the absolute path of a file, at most 107 bytes long")
        return control


class PluginsConfig(Table):
    """Which of the installed plugins take part."""

    disable: tuple[PluginName, ...] = Field(
        default=(),
        examples=[["lc"]],
        description="Names of installed plugins that are not loaded, as `nat-lb plugins` lists them.",
    )


class RealServerConfig(Table):
    """One real server of a virtual service."""

    address: Address = Field(
        examples=["172.16.0.2"],
        description="The real server's address, of the service's family.",
    )
    port: int = Field(
        default_factory=lambda: 0,  # ServiceConfig, which knows the service's port, fills it in
        ge=1,
        le=65535,
        examples=[8000],
        json_schema_extra={"x-default": "the service's port"},
        description="The port it listens on.",
    )
    weight: int = Field(
        default=1,
        ge=0,
        le=MAX_INT,
        description="Its share, relative to the others. 0 is quiesced: connections go on, new ones go elsewhere.",
    )
    upper_threshold: int = Field(
        default=0,
        ge=0,
        le=MAX_INT,
        description="At so many connections it is overloaded and gets no new ones. 0 is no limit.",
    )
    lower_threshold: int = Field(
        default_factory=lambda: 0,
        validate_default=True,
        ge=0,
        le=MAX_INT,
        examples=[750],
        json_schema_extra={"x-default": "upper_threshold less a quarter"},
        description="Below so many connections it is no longer overloaded. 0 is the default.",
    )

    @field_validator("lower_threshold")
    @classmethod
    def _fill_in_lower_threshold(cls, lower: int, info: ValidationInfo) -> int:
        return lower or default_lower_threshold(info.data.get("upper_threshold", 0))


def _default_name(data: dict[str, Any]) -> str:
    """`tcp 203.0.113.1:80`; called with the keys above `name`, less those that are invalid."""
    return endpoint(data["protocol"], data["address"], data["port"]) if len(data) == 3 else ""


def _one_client(data: dict[str, Any]) -> int:
    """The netmask that holds a single client."""
    return int(data["address"].max_prefixlen) if "address" in data else 1


RealServers = tuple[RealServerConfig, ...]


class ServiceConfig(Table):
    """One virtual service: a protocol, an address and a port, and the real servers behind them."""

    protocol: PluginName = Field(
        examples=["tcp"],
        description="The protocol: `tcp`, `udp`, or one that a plugin tracks.",
    )
    address: Address = Field(
        examples=["203.0.113.1"],
        description="The virtual IP, IPv4 or IPv6: what clients connect to.",
    )
    port: int = Field(ge=1, le=65535, examples=[80], description="The port that clients connect to.")
    name: str = Field(
        default_factory=_default_name,
        min_length=1,
        max_length=64,
        examples=["web"],
        json_schema_extra={"x-default": '"PROTOCOL ADDRESS:PORT"'},
        description="What messages, logs and counters call the service. No two services share one.",
    )
    scheduler: PluginName = Field(
        default="rr", description="The plugin that chooses a real server for each new connection."
    )
    scheduler_options: Mapping[str, Any] = Field(
        default_factory=dict,
        description="The scheduler's own keys: see its page.",
    )
    fallback_scheduler: PluginName = Field(
        default="",
        examples=["rr"],
        json_schema_extra={"x-default": "none"},
        description="The plugin that decides when `scheduler` fails or is late, with its default options. With none, "
        "the packet is dropped.",
    )
    scheduler_budget: float = Field(
        default=0.01,
        ge=0,
        allow_inf_nan=False,
        description="Seconds that a decision may take. One that takes longer is used and counted; after three in a row "
        "`fallback_scheduler` decides for a minute. 0 is no limit.",
    )
    helpers: tuple[PluginName, ...] = Field(
        default=(),
        examples=[["ftp"]],
        description="The plugins that rewrite addresses inside the payload, for protocols such as FTP.",
    )
    helper_options: Mapping[str, Mapping[str, Any]] = Field(
        default_factory=dict,
        description="A table for each helper, with the helper's own keys: see its page.",
    )
    timeouts: Mapping[str, Seconds] = Field(
        default_factory=dict,
        description="Seconds, as in `[timeouts]`, for this service's connections alone.",
    )
    persistence: int = Field(
        default=0,
        ge=0,
        le=MAX_INT,
        description="Seconds for which a client keeps the real server that it was given first. 0 is off.",
    )
    persistence_netmask: int = Field(
        default_factory=_one_client,
        ge=1,
        le=128,
        examples=[24],
        json_schema_extra={"x-default": "32, for IPv6 128"},
        description="Prefix length: clients in one such network count as one client.",
    )
    real_servers: RealServers = Field(
        default=(),
        alias="real_server",
        description="The real servers, in the order in which schedulers see them. With none, clients are refused.",
    )

    @property
    def where(self) -> str:
        """Name the service as every message does."""
        return f'service "{self.name}"'

    @field_validator("name")
    @classmethod
    def _can_be_printed(cls, name: str) -> str:
        if not is_usable_name(name):
            raise ValueError("must be printable, without quotes or blanks around it")
        return name

    @field_validator("real_servers")
    @classmethod
    def _fill_in_ports(cls, servers: RealServers, info: ValidationInfo) -> RealServers:
        port = info.data.get("port", 0)
        return tuple(s if "port" in s.model_fields_set else s.model_copy(update={"port": port}) for s in servers)


def is_usable_name(name: object) -> bool:
    """Tell whether messages can call a service so: one line, distinct from the quotes around it."""
    if not isinstance(name, str) or not 0 < len(name) <= 64:
        return False
    return name.isprintable() and name == name.strip() and '"' not in name


class Config(Table):
    """The whole file."""

    director: DirectorConfig = Field(default_factory=DirectorConfig, description="What holds for the whole director.")
    timeouts: Mapping[str, Seconds] = Field(
        default_factory=dict,
        description="Seconds after which a connection without packets is forgotten, by timeout group (`syn`, "
        "`established`, `fin`, `udp`) or by single state.",
    )
    plugins: PluginsConfig = Field(
        default_factory=PluginsConfig, description="Which of the installed plugins take part."
    )
    services: tuple[ServiceConfig, ...] = Field(alias="service", min_length=1, description="The virtual services.")
