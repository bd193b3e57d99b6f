"""The table [service.helper_options.ftp] in a whole configuration: what is accepted, and what is said of the rest."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from nat_lb.testing.helper_play import registry_with
from nat_lb.testing.scenario import Scenario
from nat_lb_ftp import FtpOptions

SERVICE = """\
[[service]]
name = "{name}"
protocol = "tcp"
address = "{virtual}"
port = {port}
scheduler = "conformance"
helpers = ["ftp"]
real_server = [{{ address = "10.77.0.11" }}, {{ address = "10.77.0.12" }}]
  [service.helper_options.ftp]
{options}
"""
RANGES = '  [service.helper_options.ftp.passive_ports]\n  "10.77.0.11" = "{}"\n  "10.77.0.12" = "{}"'
WHERE = 'scenario.toml: service "files": [service.helper_options.ftp]: '


def service(options: str, name: str = "files", virtual: str = "203.0.113.100", port: int = 21) -> str:
    return SERVICE.format(options=options, name=name, virtual=virtual, port=port)


def read(toml: str) -> None:
    """Put a configuration in place."""
    Scenario(toml, registry_with())


def said(toml: str) -> list[str]:
    """Return what is said of a configuration that is refused."""
    with pytest.raises(Exception, match="scenario") as caught:
        read(toml)
    return str(caught.value).splitlines()


def test_options_are_all_off_unless_they_are_set() -> None:
    options = FtpOptions()
    assert (options.own_addresses, options.minimum_port) == ((), 1024)
    assert (options.foreign_clients, options.passive_ports) == (False, {})


def test_each_real_server_has_a_range_of_its_own() -> None:
    read(service(RANGES.format("50000-50099", "50100-50199")))
    table = '{"passive_ports": {"10.77.0.11": "50000-50099", "FD00::11": "1024-65535"}}'
    assert FtpOptions.model_validate_json(table).passive_ports == {
        ip_address("10.77.0.11"): range(50000, 50100),
        ip_address("fd00::11"): range(1024, 65536),
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("50099-50000", '10.77.0.11 ends before it begins, found "50099-50000". Write "50000-50099".'),
        ("50000", '10.77.0.11 must be the first and the last port, found "50000". Write "50000-50099".'),
        ("50000:50099", '10.77.0.11 must be the first and the last port, found "50000:50099". Write "50000-50099".'),
        ("65000-65536", '10.77.0.11 must lie within 1 to 65535, found "65000-65536".'),
        ("0-70", '10.77.0.11 must lie within 1 to 65535, found "0-70".'),
    ],
)
def test_range_that_is_none_is_refused(text: str, problem: str) -> None:
    assert said(service(RANGES.format(text, "50100-50199"))) == [f"{WHERE}passive_ports: {problem}"]


def test_every_range_that_is_none_is_told_at_once() -> None:
    assert len(said(service(RANGES.format("2-1", "any")))) == 2


def test_range_of_privileged_ports_is_refused() -> None:
    ranges = RANGES.format("50000-50099", "1000-1100")
    assert said(service(ranges)) == [
        f"{WHERE}passive_ports: the range of 10.77.0.12 begins with port 1000, below 1024. "
        "Choose higher ports, or lower minimum_port."
    ]
    read(service("minimum_port = 1000\n" + ranges))


def test_name_in_place_of_an_address_is_refused() -> None:
    assert said(service('passive_ports = { "ftp.example.org" = "50000-50099" }')) == [
        f'{WHERE}passive_ports: "ftp.example.org" is no IP address. Write that of a real server of this service.'
    ]


def test_address_without_quotes_is_refused_with_the_remedy() -> None:
    assert said(service("[service.helper_options.ftp.passive_ports]\n10.77.0.11 = '50000-50099'")) == [
        f'{WHERE}passive_ports: 10 is a table. Put the address in quotes: "172.16.0.2" = ….'
    ]


def test_range_of_no_real_server_is_refused() -> None:
    assert said(service('passive_ports = { "10.77.0.13" = "50000-50099" }')) == [
        f"{WHERE}passive_ports: 10.77.0.13 is no real server. The service has 10.77.0.11, 10.77.0.12."
    ]


@pytest.mark.parametrize(("first", "second"), [("50000-50099", "50099-50199"), ("50050-50060", "50000-50099")])
def test_ranges_of_two_real_servers_may_not_overlap(first: str, second: str) -> None:
    assert said(service(RANGES.format(first, second))) == [
        f"{WHERE}passive_ports: {second} of 10.77.0.12 overlaps {first} of 10.77.0.11. Choose others."
    ]


def test_ranges_of_two_services_at_one_address_may_not_overlap() -> None:
    one = service('passive_ports = { "10.77.0.11" = "50000-50099" }', "others", port=2121)
    two = 'passive_ports = { "10.77.0.12" = "50050-50059" }'
    assert said(one + service(two)) == [
        f"{WHERE}passive_ports: 50050-50059 of 10.77.0.12 overlaps 50000-50099 of 10.77.0.11 "
        'in service "others". Choose others.'
    ]
    read(one + service(two, virtual="203.0.113.101"))


def test_one_real_server_may_have_the_same_range_in_two_services() -> None:
    options = 'passive_ports = { "10.77.0.11" = "50000-50099" }'
    read(service(options) + service(options, "implicit", port=990))


def test_range_may_not_include_a_service() -> None:
    web = service("", "web", port=8080)
    options = 'passive_ports = { "10.77.0.11" = "8000-8099" }'
    assert said(service(options) + web) == [
        f'{WHERE}passive_ports: 8000-8099 of 10.77.0.11 includes 8080, the port of service "web". Choose others.'
    ]


def test_service_without_the_helper_is_no_concern_of_its() -> None:
    read(
        '[[service]]\nprotocol = "tcp"\naddress = "203.0.113.100"\nport = 80\nscheduler = "conformance"\nhelpers = []\n'
    )


@pytest.mark.parametrize(
    "table",
    [
        '{"minimum_port": 0}',
        '{"minimum_port": 70000}',
        '{"own_addresses": ["here"]}',
        '{"foreign_clients": 1}',
        '{"passive_ports": ["50000-50099"]}',
        '{"passive_ports": {"10.77.0.11": 50000}}',
        '{"loose": true}',
    ],
)
def test_options_that_make_no_sense_are_refused(table: str) -> None:
    with pytest.raises(ValueError, match="validation error"):
        FtpOptions.model_validate_json(table)
