"""Another configuration while packets flow: what stays keeps its connections, and what fails changes nothing."""

from __future__ import annotations

import pytest

from nat_lb.errors import ConfigError
from nat_lb.testing.packets import ACK, SYN
from nat_lb.testing.scenario import Scenario
from tests.little_plugins import Shelf
from tests.scenario.nets import IPV4, Net

RECORDER = """
seen = []

@hookimpl
def nat_lb_service_changed(service, change):
    seen.append((service.name, change))

@hookimpl
def nat_lb_real_server_changed(service, real_server, reason):
    seen.append((str(real_server), reason, real_server.weight, real_server in service.real_servers))

@hookimpl
def nat_lb_connection_closed(connection, reason):
    seen.append((str(connection.client), reason))
"""


def chosen(s: Scenario, net: Net, count: int, first: int = 4000) -> list[str]:
    """Open connections and return the ports of the real servers that they were given."""
    result = []
    for port in range(first, first + count):
        s.client(f"{net.client}:{port}").sends(SYN)
        result.append(str(s.connection(f"{net.client}:{port}").real.port))
    return result


def servers(net: Net, *servers: str, scheduler: str = "rr") -> str:
    return net.service("web", 80, *(f"{net.one}:{server}" for server in servers), more=f'scheduler = "{scheduler}"')


def test_added_server_joins_the_circle_where_it_stands(net: Net) -> None:
    s = Scenario(servers(net, "1 1", "2 1"))
    assert chosen(s, net, 3) == ["1", "2", "1"]
    s.reload(servers(net, "1 1", "2 1", "3 1"))
    assert chosen(s, net, 4, 5000) == ["2", "3", "1", "2"]


def test_removed_server_loses_its_connections_and_the_others_keep_theirs(net: Net) -> None:
    s = Scenario(servers(net, "1 1", "2 1"))
    chosen(s, net, 4)
    s.reload(servers(net, "2 1"))
    assert {str(c.real) for c in s.connections} == {f"{net.one}:2"}
    s.client(f"{net.client}:4001").sends(ACK).expect_forwarded(dst=f"{net.one}:2")
    s.client(f"{net.client}:4000").sends(ACK).expect_reset("no-connection")


def test_new_weights_hold_for_new_connections_only(net: Net) -> None:
    s = Scenario(servers(net, "1 1", "2 1", scheduler="wrr"))
    old = chosen(s, net, 2)
    s.reload(servers(net, "1 3", "2 1", scheduler="wrr"))
    assert [str(c.real.port) for c in s.connections] == old
    assert chosen(s, net, 8, 5000) == ["1", "1", "1", "2"] * 2


@pytest.mark.parametrize("scheduler", ["rr", "wrr"])
def test_reload_of_the_same_file_keeps_the_turn(net: Net, scheduler: str) -> None:
    s = Scenario(servers(net, "1 1", "2 1", "3 1", scheduler=scheduler))
    assert chosen(s, net, 2) == ["1", "2"]
    s.reload(servers(net, "1 1", "2 1", "3 1", scheduler=scheduler))
    assert chosen(s, net, 2, 5000) == ["3", "1"]


def test_other_scheduler_takes_over_with_the_servers_that_are_there(net: Net) -> None:
    s = Scenario(servers(net, "1 1", "2 1"))
    chosen(s, net, 1)
    s.reload(servers(net, "1 1", "2 1", scheduler="lc"))
    assert chosen(s, net, 3, 5000) == ["2", "1", "2"]
    assert len(s.connections) == 4


def test_other_options_of_a_scheduler_take_effect(net: Net) -> None:
    table = "[service.scheduler_options]\nport = true\n"
    plain = net.service("web", 80, more='scheduler = "sh"\n')
    two = "".join(f'[[service.real_server]]\naddress = "{net.one.strip("[]")}"\nport = {port}\n' for port in (1, 2))
    s = Scenario(plain + two)
    assert len(set(chosen(s, net, 20))) == 1
    s.reload(plain + table + two)
    assert len(set(chosen(s, net, 20, 5000))) == 2


def test_removed_service_ends_its_connections_and_its_port_is_refused(net: Net) -> None:
    s = Scenario(net.example)
    web, files = s.client(f"{net.client}:3000", f"{net.vip}:80"), s.client(f"{net.client}:3001", f"{net.vip}:21")
    web.sends(SYN)
    files.sends(SYN)
    s.reload(net.service("files", 21, f"{net.two}:21 1"))
    web.sends(ACK).expect_reset("no-service")
    files.sends(ACK).expect_forwarded(dst=f"{net.two}:21")
    assert len(s.connections) == 1


def test_added_service_is_served_at_once(net: Net) -> None:
    s = Scenario(net.web)
    s.client(f"{net.client}:3000", f"{net.vip}:21").sends(SYN).expect_reset("no-service")
    s.reload(net.web + net.service("files", 21, f"{net.two}:21 1"))
    s.client(f"{net.client}:3000", f"{net.vip}:21").sends(SYN).expect_forwarded(dst=f"{net.two}:21")


def test_settings_of_the_director_take_effect(net: Net) -> None:
    s = Scenario(net.web)
    s.reload('[director]\nother_ports = "drop"\nmax_connections = 1\nsloppy_tcp = true\n' + net.web)
    s.client(f"{net.client}:3000", f"{net.vip}:22").sends(SYN).expect_dropped("no-service")
    s.client(f"{net.client}:3000").sends(ACK).expect_forwarded(dst=f"{net.one}:8000")
    s.client(f"{net.client}:3001").sends(SYN).expect_dropped("table-full")


def test_renamed_service_is_the_same_service(net: Net) -> None:
    s = Scenario(net.web)
    s.client(f"{net.client}:3000").sends(SYN)
    s.reload(net.web.replace('"web"', '"shop"'))
    assert s.connection(f"{net.client}:3000").service.name == "shop"


def test_server_that_returns_after_its_removal_starts_without_connections(net: Net) -> None:
    s = Scenario(servers(net, "1 1", "2 1"))
    chosen(s, net, 4)
    s.reload(servers(net, "2 1"))
    s.reload(servers(net, "1 1", "2 1"))
    (service,) = s.director.lifecycle.services
    assert [server.connections for server in service.real_servers] == [0, 2]


BAD = {
    "unknown scheduler": ("tcp", 'scheduler = "wrrr"'),
    "unknown helper": ("tcp", 'helpers = ["smoke"]'),
    "unknown timeout": ("tcp", "timeouts = { handshake = 3 }"),
    "options of a scheduler that has none": ("tcp", "scheduler_options = { port = true }"),
    "helper of another protocol": ("udp", 'helpers = ["ftp"]'),
}


@pytest.mark.parametrize("what", sorted(BAD))
def test_failing_reload_changes_nothing(what: str) -> None:
    s = Scenario(servers(IPV4, "1 1", "2 1"))
    assert chosen(s, IPV4, 1) == ["1"]
    new = IPV4.service("web", 80, f"{IPV4.two}:9 5") + "[service.timeouts]\nsyn = 1\n"
    protocol, more = BAD[what]
    bad = IPV4.service("bad", 81, f"{IPV4.two}:9 1", protocol=protocol, more=more)
    with pytest.raises(ConfigError):
        s.reload(new + bad)
    assert chosen(s, IPV4, 2, 5000) == ["2", "1"]
    s.time(30)
    assert len(s.connections) == 3


def test_scheduler_that_cannot_be_made_keeps_the_old_configuration(shelf: Shelf) -> None:
    shelf.install(
        "brittle",
        """
        class Brittle(Scheduler):
            name = "brittle"
            def plan(self):
                if len(self.service.real_servers) != 2:
                    raise ValueError("two servers or none")
                return Cycle(self.service.real_servers)

        @hookimpl
        def nat_lb_register_schedulers():
            return [Brittle]
        """,
    )
    s = Scenario(servers(IPV4, "1 1", "2 1", scheduler="brittle"), shelf.registry())
    chosen(s, IPV4, 1)
    with pytest.raises(ConfigError) as caught:
        s.reload(servers(IPV4, "1 1", "2 1", "3 1", scheduler="brittle"))
    assert str(caught.value) == (
        'scenario.toml: service "web": scheduler "brittle" (acme-brittle) cannot be used: '
        "ValueError: two servers or none"
    )
    assert chosen(s, IPV4, 2, 5000) == ["2", "1"]


def test_plugins_are_told_of_changes_after_they_are_made(shelf: Shelf, net: Net) -> None:
    module = shelf.install("recorder", RECORDER)
    s = Scenario(servers(net, "1 1", "2 1") + net.dns, shelf.registry())
    seen = shelf.attribute(module, "seen")
    assert seen == [("web", "added"), ("dns", "added")]
    s.client(f"{net.client}:4000", f"{net.vip}:80").sends(SYN)
    seen.clear()
    s.reload(servers(net, "2 5", "3 1"))
    assert seen == [
        (f"{net.client}:4000", "removed"),
        (f"{net.one}:1", "removed", 1, False),
        (f"{net.one}:2", "reweighted", 5, True),
        (f"{net.one}:3", "added", 1, True),
        ("web", "changed"),
        ("dns", "removed"),
    ]
