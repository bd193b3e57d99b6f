"""What a director answers: everything it counts, its connections, and a real server drained and restored."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from nat_lb import __version__
from nat_lb.errors import NatLbError
from nat_lb.io.answers import Answers
from nat_lb.io.nfqueue import QueueStatistics
from nat_lb.service import CarriedLoad
from nat_lb.testing.packets import ACK, FIN, SYN
from nat_lb.testing.scenario import Scenario
from tests.little_plugins import Shelf
from tests.mirror import Mirror
from tests.scenario.nets import IPV4, IPV6, Net

RECORDER = """
seen = []

@hookimpl
def nat_lb_real_server_changed(service, real_server, reason):
    seen.append((service.name, str(real_server), real_server.weight, reason))
"""


@pytest.fixture(params=[IPV4, IPV6], ids=["ipv4", "ipv6"])
def net(request: pytest.FixtureRequest) -> Net:
    found: Net = request.param
    return found


def two(net: Net, first: int = 1, *, scheduler: str = "wrr") -> str:
    return net.service("web", 80, f"{net.one}:80 {first}", f"{net.two}:80 1", more=f'scheduler = "{scheduler}"')


class Desk:
    """Puts questions to a scenario's director, as the control socket does."""

    def __init__(self, s: Scenario) -> None:
        self.answers = Answers(s.director, lambda: s.now)
        self.parts: list[Any] = []

    def ask(self, command: str, **arguments: Any) -> Any:
        """Return the result; the parts are in `parts`, as they arrive at the other end."""
        self.parts = []
        answer = self.answers.commands[command](arguments)
        while True:
            try:
                self.parts += json.loads(json.dumps(next(answer)))
            except StopIteration as last:
                return json.loads(json.dumps(last.value))


def opened(s: Scenario, net: Net, count: int, first: int = 4000) -> list[str]:
    """Open connections and return the addresses of their real servers."""
    clients = [f"{net.client}:{port}" for port in range(first, first + count)]
    for client in clients:
        s.client(client).sends(SYN)
    return [str(s.connection(client).real).rpartition(":")[0] for client in clients]


def opened_there(s: Scenario, net: Net, count: int) -> None:
    """Open connections that are handed over at once."""
    for port in range(4000, 4000 + count):
        s.client(f"{net.client}:{port}").sends(SYN)


# --- status ----------------------------------------------------------------------------------------------------------


def test_status_has_what_the_tables_count(net: Net) -> None:
    s = Scenario("[director]\nmax_connections = 50\n" + two(net))
    desk = Desk(s)
    opened(s, net, 3)
    s.client(f"{net.client}:4000").sends(ACK)
    s.client(f"{net.client}:4000", f"{net.vip}:81").sends(SYN)
    s.now += 7.5
    desk.answers.statistics = lambda: QueueStatistics(5, 0, 0, 0, 1, 0)
    status = desk.ask("status")
    assert status.pop("since").endswith("+00:00")
    assert status.pop("process") > 0
    assert status == {
        "version": __version__, "uptime": 7.5, "configuration": "scenario.toml", "datapath": "nfqueue",
        "fastpath": None,
        "queue": {
            "received": 5, "waiting": 0, "lost_queue_full": 0, "lost_socket_full": 0, "not_forwarded": 1, "faults": 0,
        },
        "refused": {"no-service": 1},
        "connections": 3, "carried": 0, "max_connections": 50, "expectations": 0, "persistence_templates": 0,
        "helpers": [], "faults": [],
    }  # fmt: skip
    (service,) = desk.parts
    assert (service["service"], service["virtual"], service["scheduler"]) == ("web", f"{net.vip}:80", "wrr")
    assert [server["opened"] for server in service["real_servers"]] == [2, 1]
    assert [server["packets_in"] for server in service["real_servers"]] == [3, 1]


def test_status_says_what_the_fast_path_does(net: Net) -> None:
    s = Scenario(two(net))
    s.director.lifecycle.start_offload(Mirror(), s.now)
    desk = Desk(s)
    opened_there(s, net, 3)
    status = desk.ask("status")
    assert (status["datapath"], status["connections"], status["carried"]) == ("mirror", 0, 3)
    assert status["fastpath"] == {"devices": [], "counters": {}}


def test_status_names_the_plugin_that_failed(shelf: Shelf) -> None:
    shelf.install("bad", "@hookimpl\ndef nat_lb_connection_opened():\n    raise KeyError('x')\n")
    s = Scenario(IPV4.web, shelf.registry())
    opened(s, IPV4, 2)
    assert Desk(s).ask("status")["faults"] == [
        {"distribution": "acme-bad", "where": "nat_lb_connection_opened", "faults": 2}
    ]


# --- connections -----------------------------------------------------------------------------------------------------


def test_connections_are_chosen_by_service_and_by_client(net: Net) -> None:
    s = Scenario(two(net) + net.dns)
    desk = Desk(s)
    opened(s, net, 2)
    s.client(f"{net.client}:4000", f"{net.vip}:53").sends_datagram(b"?")
    other, address = f"{net.router}:5000", net.router.strip("[]")
    s.client(other).sends(SYN)
    assert desk.ask("connections") == {"connections": 4} and len(desk.parts) == 4
    assert desk.ask("connections", service="dns") == {"connections": 1}
    assert [entry["protocol"] for entry in desk.parts] == ["udp"]
    assert desk.ask("connections", service="web", client=address) == {"connections": 1}
    assert [entry["client"] for entry in desk.parts] == [other]
    assert desk.ask("connections", service="dns", client=address) == {"connections": 0}
    assert desk.ask("connections", service=None, client=None) == {"connections": 4}


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "unknown service": (
        "connections", {"service": "wbe"}, 'no service is called "wbe". There are: web. Did you mean "web"?'
    ),
    "no address": (
        "connections", {"client": "10.0.0"},
        '"10.0.0" is not the address of a client, such as 202.100.1.2 or 2001:db8::2',
    ),
    "unknown argument": ("connections", {"state": "FIN"}, 'there is no argument "state"; known: service, client'),
    "argument where there is none": ("status", {"json": "yes"}, 'there is no argument "json"; known: none'),
    "argument of another type": ("connections", {"service": 1}, '"service" must be a text'),
    "missing argument": ("drain", {"service": "web"}, 'expected the arguments "service" and "real"'),
    "unknown real server": (
        "drain", {"service": "web", "real": "172.16.0.9:80"},
        'service "web": no real server is 172.16.0.9:80. There are: 172.16.0.2:80, 172.16.0.2:81, 172.16.0.3:80.',
    ),
    "ambiguous address": (
        "restore", {"service": "web", "real": "172.16.0.2"},
        'service "web": more than one real server is 172.16.0.2. There are: 172.16.0.2:80, 172.16.0.2:81.',
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(WRONG))
def test_wrong_request_is_refused_in_words(what: str) -> None:
    servers = (f"{IPV4.one}:80 1", f"{IPV4.one}:81 1", f"{IPV4.two}:80 1")
    desk = Desk(Scenario(IPV4.service("web", 80, *servers)))
    command, arguments, words = WRONG[what]
    with pytest.raises(NatLbError) as refusal:
        desk.ask(command, **arguments)
    assert str(refusal.value) == words


# --- drain and restore -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheduler", ["rr", "wrr", "lc", "nq"])
def test_drained_server_gets_no_new_connections_until_it_is_restored(net: Net, scheduler: str) -> None:
    s = Scenario(two(net, 2, scheduler=scheduler))
    desk = Desk(s)
    opened(s, net, 40)
    before = desk.ask("real_server", service="web", real=f"{net.one}:80")
    answer = desk.ask("drain", service="web", real=f"{net.one}:80")
    assert answer == before | {"weight": 0, "quiesced": True} and answer["active"] > 0
    assert set(opened(s, net, 20, 5000)) == {net.two}
    assert desk.ask("restore", service="web", real=f"{net.one}:80") == before
    assert net.one in opened(s, net, 20, 6000)


def test_carried_connections_of_a_drained_server_are_counted(net: Net) -> None:
    s = Scenario(two(net))
    mirror = Mirror()
    s.director.lifecycle.start_offload(mirror, s.now)
    desk = Desk(s)
    real = f"{net.one}:80"
    mirror.loads[real] = CarriedLoad(2, 1, 3, (0, 0), (0, 0))
    drained = desk.ask("drain", service="web", real=real)
    assert (drained["weight"], drained["active"], drained["inactive"]) == (0, 2, 1)
    mirror.loads[real] = CarriedLoad(0, 0, 3, (0, 0), (0, 0))
    left = desk.ask("real_server", service="web", real=real)
    assert (left["active"], left["inactive"]) == (0, 0)


def test_connections_of_a_drained_server_go_on_and_are_counted_down(net: Net) -> None:
    s = Scenario(two(net))
    desk = Desk(s)
    (server, _) = opened(s, net, 2)
    client = s.client(f"{net.client}:4000")
    desk.ask("drain", service="web", real=server.strip("[]"))
    client.sends(ACK, b"more").expect_forwarded(dst=f"{server}:80")
    client.sends(FIN | ACK).expect_forwarded(dst=f"{server}:80")
    told = desk.ask("real_server", service="web", real=f"{server}:80")
    assert (told["active"], told["inactive"]) == (0, 1)
    s.time(62)
    told = desk.ask("real_server", service="web", real=f"{server}:80")
    assert (told["active"], told["inactive"]) == (0, 0)


def test_reload_of_the_same_file_ends_a_draining(net: Net) -> None:
    s = Scenario(two(net))
    desk = Desk(s)
    desk.ask("drain", service="web", real=f"{net.one}:80")
    s.reload(two(net))
    assert set(opened(s, net, 4)) == {net.one, net.two}
    assert desk.ask("real_server", service="web", real=f"{net.one}:80")["weight"] == 1


def test_restored_server_has_the_weight_of_the_last_reload(net: Net) -> None:
    s = Scenario(two(net))
    desk = Desk(s)
    s.reload(two(net, 5).replace('"web"', '"shop"'))
    desk.ask("drain", service="shop", real=f"{net.one}:80")
    assert desk.ask("restore", service="shop", real=f"{net.one}:80")["weight"] == 5


def test_plugins_are_told_of_draining_and_restoring_once(net: Net, shelf: Shelf) -> None:
    module = shelf.install("recorder", RECORDER)
    s = Scenario(two(net, 3), shelf.registry())
    desk = Desk(s)
    for command in ("drain", "drain", "restore", "restore", "drain"):
        desk.ask(command, service="web", real=f"{net.one}:80")
    s.reload(two(net, 3))
    one = f"{net.one}:80"
    assert shelf.attribute(module, "seen") == [
        ("web", one, 0, "drained"),
        ("web", one, 3, "reweighted"),
        ("web", one, 0, "drained"),
        ("web", one, 3, "reweighted"),
    ]


def test_scheduler_that_cannot_take_the_news_is_contained(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    shelf.install(
        "brittle",
        """
        class Brittle(Scheduler):
            name = "brittle"
            def plan(self):
                if any(server.weight == 0 for server in self.service.real_servers):
                    raise ValueError("no weight")
                return Cycle(self.service.real_servers)

        @hookimpl
        def nat_lb_register_schedulers():
            return [Brittle]
        """,
    )
    s = Scenario(two(IPV4, scheduler="brittle"), shelf.registry())
    with caplog.at_level(logging.ERROR):
        assert Desk(s).ask("drain", service="web", real=f"{IPV4.one}:80")["weight"] == 0
    assert "acme-brittle: brittle.changed failed for web: ValueError: no weight" in caplog.text
    assert set(opened(s, IPV4, 4)) == {IPV4.two}, "its old plan asks each server whether it may be used"
