"""docs/reference/configuration.md and the JSON Schema say what the code does.

The law: the page's tables are exactly the model's fields, so neither can change alone.
"""

from __future__ import annotations

import json
import re
import types
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from nat_lb.config import Config, check_names, json_schema, parse
from nat_lb.config.fields import bounds, fields_by_key, is_list, table_of
from nat_lb.config.model import DirectorConfig, PluginsConfig, RealServerConfig, ServiceConfig
from nat_lb.config.phrases import either, shown
from nat_lb.errors import ConfigError
from nat_lb.trackers import Tcp, Udp

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
PAGE = (REFERENCE / "configuration.md").read_text()
TABLES: dict[str, type[BaseModel]] = {
    "[director]": DirectorConfig,
    "[plugins]": PluginsConfig,
    "[[service]]": ServiceConfig,
    "[[service.real_server]]": RealServerConfig,
}


def section(heading: str) -> str:
    """The text below a heading of the second level."""
    (text,) = re.findall(rf"^## `{re.escape(heading)}`\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return str(text)


def table_rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("| `")]


def code_blocks(text: str) -> list[str]:
    return re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def type_in_words(field: FieldInfo) -> str:
    annotation: Any = field.annotation
    if is_list(field):
        return "tables" if table_of(annotation) else "list of texts"
    if get_origin(annotation) is Literal:
        return either(f"`{shown(choice)}`" for choice in get_args(annotation))
    if isinstance(annotation, types.UnionType) and IPv4Address in get_args(annotation):
        return "IPv4 or IPv6 address"
    words = {bool: "true or false", int: "whole number", float: "number", str: "text"}.get(annotation, "table")
    return f"{words}, {bounds(field)}" if bounds(field) else words


def default_in_words(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if isinstance(field.json_schema_extra, dict):
        return str(field.json_schema_extra["x-default"])
    default = field.get_default(call_default_factory=True, validated_data={})
    assert default is not PydanticUndefined
    return "none" if default in ((), {}) else f"`{shown(default)}`"


def documented(model: type[BaseModel]) -> list[str]:
    return [
        f"| `{key}` | {type_in_words(field)} | {default_in_words(field)} | {field.description} |"
        for key, field in fields_by_key(model).items()
    ]


@pytest.mark.parametrize("heading", TABLES)
def test_table_of_keys_is_that_of_the_model(heading: str) -> None:
    assert table_rows(section(heading)) == documented(TABLES[heading])


def test_table_of_timeouts_is_that_of_the_trackers() -> None:
    rows = []
    for tracker in (Tcp, Udp):
        groups = {state: group for group, states in tracker.groups.items() for state in states}
        for group, states in tracker.groups.items():
            defaults = {f"{tracker.timeouts[state]:g}" for state in states}
            rows.append(f"| `{group}` | {tracker.name} | {' / '.join(defaults)} | {', '.join(states)} |")
        for state in tracker.states:
            if state.lower() not in tracker.groups:
                of_group = f"{state}, of `{groups[state]}`" if state in groups else state
                rows.append(f"| `{state.lower()}` | {tracker.name} | {tracker.timeouts[state]:g} | {of_group} |")
    assert table_rows(section("[timeouts]")) == rows


def test_page_has_a_section_for_every_table() -> None:
    headings = re.findall(r"^## `(.*)`$", PAGE, re.MULTILINE)
    assert headings == ["[director]", "[timeouts]", *list(TABLES)[1:]]


@pytest.mark.parametrize("heading", TABLES)
def test_example_shows_every_key_of_its_section(heading: str) -> None:
    (example,) = code_blocks(section(heading))
    for key in fields_by_key(TABLES[heading]):
        assert re.search(rf"^\s*(\[+service\.)?{key}\b", example, re.MULTILINE), key


SERVICE = '[[service]]\nprotocol = "tcp"\naddress = "203.0.113.9"\nport = 9\n'


def example_config(example: str) -> Config:
    return parse(example if "[[service]]" in example else example + SERVICE, "configuration.md")


@pytest.mark.parametrize("number", range(len(code_blocks(PAGE))))
def test_example_is_a_configuration_that_loads(number: int) -> None:
    config = example_config(code_blocks(PAGE)[number])
    assert not check_names(
        config,
        "configuration.md",
        schedulers=("lc", "rr", "sh", "wrr"),
        helpers=("ftp",),
        protocols=("tcp", "udp"),
        timeout_names={"tcp": Tcp.timeout_names(), "udp": Udp.timeout_names()},
    )


def test_first_example_is_read_as_it_is_described() -> None:
    config = example_config(code_blocks(PAGE)[0])
    assert config.director == DirectorConfig()
    assert config.timeouts == {"syn": 60, "established": 900, "fin": 60, "udp": 300}
    assert [
        (service.name, str(service.address), service.port, service.scheduler, service.helpers)
        for service in config.services
    ] == [("web", "202.103.106.5", 80, "wrr", ()), ("files", "202.103.106.5", 21, "rr", ("ftp",))]
    assert [
        [(str(server.address), server.port, server.weight) for server in service.real_servers]
        for service in config.services
    ] == [[("172.16.0.2", 80, 1), ("172.16.0.3", 8000, 2)], [("172.16.0.3", 21, 1)]]


def test_messages_on_the_page_are_those_of_the_code() -> None:
    web = '[[service]]\nname = "web"\nprotocol = "tcp"\naddress = "203.0.113.1"\nport = 80\n'
    servers = '[[service.real_server]]\naddress = "172.16.0.2"\n[[service.real_server]]\naddress = "172.16.0.3"\n'
    unknown = check_names(
        parse(web + 'scheduler = "wrrr"', "nat-lb.toml"),
        "nat-lb.toml",
        schedulers=("lc", "rr", "sh", "wrr"),
        helpers=(),
        protocols=("tcp",),
        timeout_names={},
    )
    said = list(unknown)
    for text in (web + 'schedular = "rr"', f"{web}{servers}port = 80000", 11 * "\n" + 'name = "web'):
        with pytest.raises(ConfigError) as caught:
            parse(text, "nat-lb.toml")
        said += caught.value.problems
    (block,) = re.findall(r"^```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert block.splitlines() == said


def test_published_json_schema_is_that_of_the_code() -> None:
    published = (REFERENCE / "nat-lb.schema.json").read_text()
    assert published == json.dumps(json_schema(), indent=2) + "\n", (
        "Write it anew: python -m nat_lb.config.schema > docs/reference/nat-lb.schema.json"
    )
