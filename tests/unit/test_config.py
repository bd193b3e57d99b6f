"""What a valid configuration becomes: frozen objects in which nothing is left to derive."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field, ValidationError, field_validator, model_validator

from nat_lb.config import Config, Options, check_names, json_schema, load, parse, parse_options
from nat_lb.config.document import read_document
from nat_lb.errors import ConfigError

LEAST = """
[[service]]
protocol = "tcp"
address = "203.0.113.1"
port = 80
"""
LEAST_SERVER = """
[[service.real_server]]
address = "172.16.0.2"
"""


def read(text: str) -> Config:
    return parse(text, "nat-lb.toml")


def test_service_needs_only_protocol_address_and_port() -> None:
    (service,) = read(LEAST).services
    assert (service.protocol, service.address, service.port) == ("tcp", ip_address("203.0.113.1"), 80)
    assert service.scheduler == "rr"
    assert service.real_servers == ()
    assert (service.helpers, service.timeouts, service.persistence) == ((), {}, 0)


def test_director_that_is_not_written_has_defaults() -> None:
    director = read(LEAST).director
    assert director.model_dump() == {
        "datapath": "auto",
        "xdp": (),
        "queue": 0,
        "control": "/run/nat-lb/control.sock",
        "other_ports": "reject",
        "max_connections": 1_000_000,
        "orphan_replies": "drop",
        "sloppy_tcp": False,
        "log_connections": False,
    }


def test_unnamed_service_is_named_by_its_endpoint() -> None:
    services = read(LEAST + LEAST.replace("203.0.113.1", "2001:DB8::1")).services
    assert [service.name for service in services] == ["tcp 203.0.113.1:80", "tcp [2001:db8::1]:80"]
    assert services[0].where == 'service "tcp 203.0.113.1:80"'


def test_real_server_takes_the_port_of_its_service() -> None:
    (service,) = read(LEAST + LEAST_SERVER + LEAST_SERVER + "port = 8000").services
    assert [server.port for server in service.real_servers] == [80, 8000]
    assert [server.weight for server in service.real_servers] == [1, 1]


def test_real_servers_keep_the_order_of_the_file() -> None:
    addresses = [f"172.16.0.{number}" for number in (9, 3, 7, 1)]
    text = LEAST + "".join(LEAST_SERVER.replace("172.16.0.2", address) for address in addresses)
    assert [str(server.address) for server in read(text).services[0].real_servers] == addresses


@pytest.mark.parametrize(
    ("keys", "lower"),
    [
        ("", 0),
        ("upper_threshold = 1", 1),
        ("upper_threshold = 10", 8),
        ("upper_threshold = 1000", 750),
        ("upper_threshold = 10\nlower_threshold = 0", 8),
        ("upper_threshold = 10\nlower_threshold = 10", 10),
        ("lower_threshold = 3\nupper_threshold = 10", 3),
    ],
)
def test_lower_threshold_is_three_quarters_unless_written(keys: str, lower: int) -> None:
    (server,) = read(LEAST + LEAST_SERVER + keys).services[0].real_servers
    assert server.lower_threshold == lower


@pytest.mark.parametrize(("address", "length"), [("203.0.113.1", 32), ("2001:db8::1", 128)])
def test_persistence_netmask_holds_one_client_unless_written(address: str, length: int) -> None:
    text = LEAST.replace("203.0.113.1", address)
    assert read(text).services[0].persistence_netmask == length
    assert read(text + "persistence_netmask = 24").services[0].persistence_netmask == 24


def test_weights_may_be_nought_or_very_large() -> None:
    text = LEAST + LEAST_SERVER + "weight = 0" + LEAST_SERVER.replace("0.2", "0.3") + "weight = 70000"
    assert [server.weight for server in read(text).services[0].real_servers] == [0, 70000]


def test_timeouts_are_seconds_whole_or_not() -> None:
    config = read("[timeouts]\nsyn = 60\nudp = 0.5\n" + LEAST + "[service.timeouts]\nsyn = 5")
    assert config.timeouts == {"syn": 60.0, "udp": 0.5}
    assert config.services[0].timeouts == {"syn": 5.0}


def test_options_of_plugins_are_handed_on_as_written() -> None:
    text = (
        LEAST + 'helpers = ["ftp"]\nscheduler_options = { slots = 8 }\n[service.helper_options.ftp]\nports = [21, 2121]'
    )
    (service,) = read(text).services
    assert service.scheduler_options == {"slots": 8}
    assert service.helper_options == {"ftp": {"ports": [21, 2121]}}


def test_one_real_server_may_stand_in_two_services() -> None:
    config = read(LEAST + LEAST_SERVER + LEAST.replace("203.0.113.1", "203.0.113.2") + LEAST_SERVER)
    assert [service.real_servers[0].port for service in config.services] == [80, 80]


def test_one_endpoint_may_serve_two_protocols() -> None:
    assert len(read(LEAST + LEAST.replace("tcp", "udp")).services) == 2


def test_configuration_cannot_be_changed() -> None:
    config = read(LEAST + LEAST_SERVER)
    for table in (config, config.director, config.plugins, config.services[0], config.services[0].real_servers[0]):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(table, next(iter(type(table).model_fields)), None)


def test_equal_files_make_equal_configurations() -> None:
    assert read(LEAST + LEAST_SERVER) == read("# again\n" + LEAST + LEAST_SERVER)
    assert read(LEAST + LEAST_SERVER) != read(LEAST + LEAST_SERVER + "weight = 2")


def test_file_with_byte_order_mark_and_carriage_returns_loads(tmp_path: Path) -> None:
    path = tmp_path / "nat-lb.toml"
    path.write_bytes(("\ufeff" + LEAST + LEAST_SERVER).replace("\n", "\r\n").encode())
    assert load(path) == load(str(path)) == read(LEAST + LEAST_SERVER)


@pytest.mark.parametrize(
    "text",
    [
        'helpers = [ # two\n  "ftp", # it\'s [old]\n  "irc",\n]\nx = 1\n',
        'real_server = [\n  {address = "172.16.0.2", weight = 1},\n  {address = "172.16.0.3", port = 8000},\n]\n',
        'options = {slots = 3, name = "a,b", deep = {x = [1, 2]}}\n',
        "director.queue = 3\ndirector.datapath = 'auto'\n",
        'name = "a # b" # c = "d"\n',
        "max = 1_000_000\nhex = 0x50\nfloat = 1e3\nnegative = -1\n",
        'text = """\nx\ny"""\nliteral = \'C:\\x\'\nescaped = "\\u00e9\\t\\\\"\n',
        "  [[service]]\n\tport = 1\n [service.timeouts]\nsyn = 1\n  [[service.real_server]]\n  port = 2\n[[service]]\n",
        '[service."a.b"]\n"c d" = true\n',
        "[[service]] # [not] a ]] table\nport = 1",
    ],
)
def test_toml_means_what_another_parser_says(text: str) -> None:
    assert read_document(text, "nat-lb.toml") == tomllib.loads(text)


def objections(text: str, plugins: Sequence[str] | None = None) -> list[str]:
    return check_names(
        read(text),
        "nat-lb.toml",
        schedulers={"wrr": object(), "rr": object(), "lc": object(), "sh": object()},
        helpers=("ftp",),
        protocols=("tcp", "udp"),
        timeout_names={"tcp": {"syn", "established", "fin", "syn_recv"}, "udp": {"udp"}},
        plugins=plugins,
    )


NAMED = LEAST + 'name = "web"\n'


def test_names_that_are_installed_meet_no_objection() -> None:
    text = NAMED + 'scheduler = "wrr"\nhelpers = ["ftp"]\n[service.timeouts]\nsyn_recv = 1\n[timeouts]\nudp = 9'
    assert objections(text, plugins=["wrr", "ftp"]) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            NAMED + 'scheduler = "wrrr"',
            'service "web": no installed plugin provides scheduler "wrrr". '
            'Installed: lc, rr, sh, wrr. Did you mean "wrr"?',
        ),
        (
            NAMED + 'scheduler = "maglev"',
            'service "web": no installed plugin provides scheduler "maglev". Installed: lc, rr, sh, wrr.',
        ),
        (
            NAMED + 'helpers = ["ftp", "irc"]',
            'service "web": no installed plugin provides helper "irc". Installed: ftp.',
        ),
        (
            NAMED.replace('"tcp"', '"TCP"'),
            'service "web": no installed plugin provides protocol "TCP". Installed: tcp, udp. Did you mean "tcp"?',
        ),
        (
            NAMED + "[timeouts]\nestablised = 900",
            '[timeouts]: unknown timeout "establised". Known: established, fin, syn, syn_recv, udp. '
            'Did you mean "established"?',
        ),
        (
            NAMED + "[service.timeouts]\nudp = 300",
            'service "web": [service.timeouts]: unknown timeout "udp". Known: established, fin, syn, syn_recv.',
        ),
        (
            LEAST + 'scheduler = "dh"',
            'service "tcp 203.0.113.1:80": no installed plugin provides scheduler "dh". Installed: lc, rr, sh, wrr.',
        ),
        (
            NAMED + 'helpers = ["irc"]\n[plugins]\ndisable = ["irc"]',
            'service "web": helper "irc" is disabled. Remove it from disable in [plugins].',
        ),
        (
            NAMED + '[plugins]\ndisable = ["ircc"]',
            '[plugins]: disable names "ircc", which is not installed. Installed: ftp, irc. Did you mean "irc"?',
        ),
    ],
)
def test_name_that_no_plugin_provides_is_told(text: str, message: str) -> None:
    assert objections(text, plugins=["ftp", "irc"]) == [f"nat-lb.toml: {message}"]


def test_every_unknown_name_is_told_in_file_order() -> None:
    text = LEAST + 'scheduler = "a"\nhelpers = ["b"]\n' + LEAST.replace("80", "81").replace("tcp", "sctp")
    kinds = [objection.split("provides ")[1].split(".")[0] for objection in objections(text)]
    assert kinds == ['scheduler "a"', 'helper "b"', 'protocol "sctp"']


class Inner(Options):
    size: int = Field(default=1, ge=0)


class Slots(Options):
    """A plugin's options, with one of each kind of constraint."""

    slots: int = Field(default=256, ge=2, le=4096)
    key: Literal["source", "destination"] = "source"
    share: float = Field(default=0.5, gt=0, lt=1)
    either: int | str = 1
    salt: str | None = Field(default=None, pattern="^[a-z]+$")
    ports: tuple[int, ...] = Field(default=(21,), min_length=1)
    names: tuple[Literal["a", "b"], ...] = Field(default=("a", "b"), min_length=2, max_length=3)
    hosts: tuple[IPv4Address | IPv6Address, ...] = ()
    old_hosts: tuple[IPv4Address, ...] = ()
    ratio: Decimal = Decimal(1)
    inner: Inner = Inner()
    inners: tuple[Inner, ...] = ()

    @field_validator("slots")
    @classmethod
    def _is_a_power_of_two(cls, slots: int) -> int:
        if slots & (slots - 1):
            raise ValueError("must be a power of two", "Write 256.")
        return slots

    @model_validator(mode="after")
    def _agree(self) -> Slots:
        if self.key == "destination" and self.salt:
            raise ValueError('salt is for key = "source" alone', "Remove one")
        return self


WHERE = 'nat-lb.toml: service "web": [service.scheduler_options]'


def test_options_become_a_frozen_object_of_the_declared_class() -> None:
    options = parse_options(Slots, {"slots": 8, "ports": [21, 2121], "inner": {"size": 3}}, WHERE)
    assert (options.slots, options.ports, options.inner.size) == (8, (21, 2121), 3)
    with pytest.raises(ValidationError, match="frozen"):
        options.slots = 9


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"slots": 3}, "slots must be a power of two, found 3. Write 256."),
        ({"slots": 1}, "slots must be 2 to 4096, found 1."),
        ({"slots": "8"}, 'slots must be a whole number, found "8". Remove the quotes.'),
        ({"slot": 8}, 'unknown key "slot". Did you mean "slots"?'),
        ({"key": "src"}, 'key must be "source" or "destination", found "src". Did you mean "source"?'),
        ({"share": 1}, "share must be more than 0 and less than 1, found 1."),
        ({"either": [1]}, "either must be a whole number or text, found [1]."),
        ({"salt": "A"}, 'salt must match ^[a-z]+$, found "A".'),
        ({"ports": []}, "ports must not be empty."),
        ({"ports": [21, "x"]}, 'ports: item 2 must be a whole number, found "x".'),
        ({"names": ["a", "c"]}, 'names: item 2 must be "a" or "b", found "c".'),
        ({"names": ["a"]}, 'names must have at least 2 items, found ["a"].'),
        ({"names": ["a", "a", "a", "a"]}, 'names must have at most 3 items, found ["a", "a", "a", "a"].'),
        ({"hosts": ["::1", "10.0.0.300"]}, 'hosts: item 2 must be an IP address, found "10.0.0.300".'),
        ({"old_hosts": ["::1"]}, 'old_hosts: item 1 must be an IPv4 address, found "::1".'),
        ({"ratio": "x"}, 'ratio is not acceptable (Input should be a valid decimal), found "x".'),
        ({"inner": {"size": -1}}, "inner: size must be 0 or more, found -1."),
        ({"inner": 3}, "inner must be a table, found 3."),
        ({"inners": [{}, {"siez": 1}]}, 'inners 2: unknown key "siez". Did you mean "size"?'),
        ({"inners": [{}, 3]}, "inners 2 must be a table, found 3."),
        ({"key": "destination", "salt": "a"}, 'salt is for key = "source" alone. Remove one.'),
    ],
)
def test_bad_option_is_told_in_the_style_of_the_file(table: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_options(Slots, table, WHERE)
    assert caught.value.problems == (f"{WHERE}: {message}",)


def test_all_bad_options_are_told_in_the_order_of_the_table() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_options(Slots, {"x": 1, "share": 2, "slots": 3}, WHERE)
    assert [problem.removeprefix(f"{WHERE}: ").split(" ")[0] for problem in caught.value.problems] == [
        "unknown",
        "share",
        "slots",
    ]


def test_json_schema_asks_for_what_the_parser_requires() -> None:
    schema = json_schema()
    service = schema["$defs"]["ServiceConfig"]
    assert schema["required"] == ["service"]
    assert service["required"] == ["protocol", "address", "port"]
    assert service["additionalProperties"] is False
    assert service["properties"]["port"]["maximum"] == 65535
    assert "title" not in service
