"""The life of connections: opened in whole or not at all, announced in order, closed with all that hangs on them."""

from __future__ import annotations

import pytest

from nat_lb.errors import PluginError
from nat_lb.flow import FlowKey
from nat_lb.testing.packets import ACK, RST, SYN, endpoint
from nat_lb.testing.scenario import Scenario
from tests.little_plugins import RECORDER, Shelf
from tests.scenario.nets import IPV4


def key(client: str) -> bytes:
    return FlowKey(6, endpoint(client), endpoint(f"{IPV4.vip}:80")).to_bytes()


def test_life_of_a_connection_is_announced_in_order(shelf: Shelf) -> None:
    module = shelf.install("recorder", RECORDER)
    s = Scenario(IPV4.web, shelf.registry())
    client = s.client(f"{IPV4.client}:3000")
    for flags in SYN, ACK, ACK, RST, SYN:
        client.sends(flags)
    s.time(61)
    assert shelf.attribute(module, "seen") == [
        ("opened", "NONE", f"{client.own} > {client.other} > {IPV4.one}:8000"),
        ("NONE", "SYN_RECV"),
        ("SYN_RECV", "ESTABLISHED"),
        ("ESTABLISHED", "CLOSE"),
        ("closed", "reused"),
        ("opened", "NONE", f"{client.own} > {client.other} > {IPV4.one}:8000"),
        ("NONE", "SYN_RECV"),
        ("closed", "expired"),
    ]


def test_connection_whose_key_is_taken_is_not_opened_and_not_counted() -> None:
    s = Scenario(IPV4.web)
    lifecycle = s.director.lifecycle
    (service,) = lifecycle.services
    server = service.real_servers[0]
    assert lifecycle.open(service, server, key("202.100.1.2:3000"), 0.0) is not None
    assert lifecycle.open(service, server, key("202.100.1.2:3000"), 0.0) is None
    assert (len(lifecycle.connections), server.opened) == (1, 1)


def test_choice_of_a_server_that_is_not_the_services_is_refused(shelf: Shelf) -> None:
    shelf.install("odd", "@hookimpl\ndef nat_lb_schedule(service, flow):\n    return service.name\n")
    s = Scenario(IPV4.web, shelf.registry())
    (service,) = s.director.lifecycle.services
    with pytest.raises(PluginError, match="chose 'web', which is no real server"):
        s.director.lifecycle.choose(service, key("202.100.1.2:3000"), 0.0)


def test_hook_that_nobody_implements_is_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    s = Scenario(IPV4.web)
    calls: list[str] = []
    s.director.registry.manager.add_hookcall_monitoring(
        lambda hook, impls, arguments: calls.append(hook), lambda outcome, hook, impls, arguments: None
    )
    s.director.lifecycle.announce("nat_lb_connection_closed", "x", 0.0, connection=None, reason="expired")
    assert calls == []


def test_what_one_plugin_raises_silences_no_other(shelf: Shelf) -> None:
    first = shelf.install("a", RECORDER)
    shelf.install("b", RECORDER.replace("append", "no_such_method"))
    last = shelf.install("c", RECORDER)
    s = Scenario(IPV4.web, shelf.registry())
    s.client(f"{IPV4.client}:3000").sends(SYN)
    s.time(61)
    heard = [shelf.attribute(module, "seen") for module in (first, last)]
    assert heard[0] == heard[1] and [event[0] for event in heard[0]] == ["opened", "NONE", "closed"]
    assert s.director.lifecycle.faults.counts.total() == 3


def test_closed_connection_lets_go_of_helper_and_parent(shelf: Shelf) -> None:
    s = Scenario(IPV4.web)
    s.client(f"{IPV4.client}:3000").sends(SYN)
    (connection,) = s.connections
    s.director.lifecycle.close(connection, "removed", 0.0)
    assert (connection.rewriter, connection.parent, s.connections) == (None, None, [])


def test_protocols_are_those_of_the_registered_trackers(shelf: Shelf) -> None:
    assert Scenario(IPV4.web, shelf.registry()).director.lifecycle.protocols == {6, 17}
