"""The builder: which configurations it refuses, and what it makes of the others."""

from __future__ import annotations

import pytest

from nat_lb.builder import Builder, check
from nat_lb.config import parse
from nat_lb.errors import ConfigError
from nat_lb.plugins import Registry
from nat_lb.service import VirtualService
from tests.little_plugins import Shelf
from tests.scenario.nets import IPV4

REGISTRY = Registry()


def services(toml: str) -> list[VirtualService]:
    return Builder(parse(toml, "test.toml"), "test.toml", REGISTRY).services()


def problems(toml: str, registry: Registry = REGISTRY) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        check(parse(toml, "test.toml"), "test.toml", registry)
    return caught.value.problems


def test_services_are_made_as_the_file_says() -> None:
    (service,) = services("[timeouts]\nestablished = 100\n" + IPV4.service(
        "web", 80, f"{IPV4.one}:8000 3 upper_threshold = 9",
        more="persistence = 5\npersistence_netmask = 24\n[service.timeouts]\nsyn = 7",
    ))  # fmt: skip
    (server,) = service.real_servers
    seconds = dict(zip(service.tracker.states, service.tracking.timeouts, strict=True))
    assert (seconds["ESTABLISHED"], seconds["SYN_RECV"], seconds["TIME_WAIT"]) == (100, 7, 60)
    assert (service.persistence, service.netmask, service.scheduler and service.scheduler.name) == (5, 24, "rr")
    assert (server.weight, server.upper_threshold, server.lower_threshold) == (3, 9, 7)


def test_unknown_scheduler_is_refused_with_the_nearest_known_name() -> None:
    (problem,) = problems(IPV4.service("web", 80, more='scheduler = "wrrr"'))
    assert problem.startswith('test.toml: service "web": no installed plugin provides scheduler "wrrr". Installed: ')
    assert problem.endswith('Did you mean "wrr"?')


def test_all_objections_are_reported_together(shelf: Shelf) -> None:
    shelf.install("no", "@hookimpl\ndef nat_lb_check_config(config):\n    return ['first', 'second']\n")
    toml = '[director]\ndatapath = "ebpf"\n' + IPV4.service("web", 80, more='scheduler = "x"')
    found = problems(toml, shelf.registry())
    assert len(found) == 4
    assert found[1] == (
        'test.toml: [director]: datapath "ebpf" needs a plugin that is not installed. Write "nfqueue" or "auto".'
    )
    assert found[-2:] == ("test.toml: first", "test.toml: second")


def test_virtual_address_that_is_a_real_servers_too_is_refused() -> None:
    other = IPV4.service("other", 80, "203.0.113.9:8080 1").replace(IPV4.vip, "203.0.113.1")
    (problem,) = problems(IPV4.web + other.replace("203.0.113.9", IPV4.vip))
    assert problem == (
        f'test.toml: service "other": real server {IPV4.vip} is the virtual address of service "web". '
        "Give the real server an address of its own."
    )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            "scheduler_options = { x = 1 }",
            '[service.scheduler_options]: "rr" takes no options, found "x". Remove the table.',
        ),
        ('scheduler = "sh"\nscheduler_options = { prot = true }', "[service.scheduler_options]: unknown key "),
        ('helpers = ["ftp"]\nhelper_options = { ftp = { x = 1 } }', "[service.helper_options.ftp]: unknown key "),
    ],
)
def test_options_that_a_plugin_does_not_know_are_refused(more: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        services(IPV4.service("web", 80, more=more))
    assert caught.value.problems[0].startswith(f'test.toml: service "web": {message}')


def test_every_service_with_wrong_options_is_named() -> None:
    wrong = "[service.scheduler_options]\nspeed = 1"
    with pytest.raises(ConfigError) as caught:
        services(IPV4.service("one", 80, more=wrong) + IPV4.service("good", 82) + IPV4.service("two", 81, more=wrong))
    assert [problem.split(": ")[1] for problem in caught.value.problems] == ['service "one"', 'service "two"']


def test_helper_for_another_protocol_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        services(IPV4.service("dns", 53, protocol="udp", more='helpers = ["ftp"]'))
    assert str(caught.value) == (
        'test.toml: service "dns": helper "ftp" is for tcp, the service is udp. Remove it from helpers.'
    )
