"""docs/reference/hooks.md: every hook with its signature and when it is called, and its example, run as it stands."""

from __future__ import annotations

import inspect
import logging
import re
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nat_lb import api, hookspecs
from nat_lb.checksum import ones_sum
from nat_lb.errors import ConfigError, SystemFault
from nat_lb.packet import build, pseudo_sum, sealed
from nat_lb.segment import Segment
from nat_lb.testing.packets import ACK, PSH, SYN, endpoint
from nat_lb.testing.scenario import Scenario
from tests.little_plugins import Shelf
from tests.scenario.nets import IPV4

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "hooks.md").read_text()
SECTIONS = {part.split("\n")[0]: part for part in PAGE.split("\n## ")[1:]}
HOOKS: dict[str, Callable[..., Any]] = {
    name: hook for name, hook in vars(hookspecs).items() if name.startswith("nat_lb_")
}
WEB = IPV4.service("web", 80, f"{IPV4.one}:80 1", f"{IPV4.two}:80 1")
INSIDER, OUTSIDER = "192.0.2.7", IPV4.client


def blocks(hook: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", SECTIONS[hook], re.DOTALL)


def install(shelf: Shelf, hook: str) -> str:
    """Install a hook's example and return its module's name."""
    return shelf.install("example", blocks(hook)[1], imports="")


def with_key(line: str) -> str:
    return WEB.replace('name = "web"', f'name = "web"\n{line}')


def real(s: Scenario, client: str) -> str:
    s.client(client).sends(SYN)
    return str(s.connection(client).real)


# --- the page --------------------------------------------------------------------------------------------------------


def test_every_hook_has_a_section_in_the_order_of_the_code() -> None:
    assert list(SECTIONS) == list(HOOKS)


@pytest.mark.parametrize("hook", sorted(HOOKS))
def test_section_shows_the_exact_signature(hook: str) -> None:
    signature = str(inspect.signature(HOOKS[hook])).replace("'", "")
    assert blocks(hook)[0] == f"def {hook}{signature}: ...\n"


@pytest.mark.parametrize("hook", sorted(HOOKS))
def test_section_says_what_the_docstring_says(hook: str) -> None:
    documented = " ".join(SECTIONS[hook].split())
    for paragraph in inspect.cleandoc(HOOKS[hook].__doc__ or "").split("\n\n"):
        assert " ".join(paragraph.split()) in documented


@pytest.mark.parametrize("hook", sorted(HOOKS))
def test_docstring_says_when_the_hook_is_called(hook: str) -> None:
    text = " ".join((HOOKS[hook].__doc__ or "").split())
    assert re.search(r"Called|called|was opened|moved|left the table|by a reload", text), text


@pytest.mark.parametrize("hook", sorted(HOOKS))
def test_every_type_in_a_signature_can_be_imported_by_plugins(hook: str) -> None:
    for name in re.findall(r"\b[A-Z]\w+", str(inspect.signature(HOOKS[hook])).replace("'", "")):
        assert name in (*api.__all__, "Iterable", "None"), name


def test_every_hook_has_a_test_of_its_own_here() -> None:
    assert {f"test_hook_{name}" for name in HOOKS} <= globals().keys()


# --- the examples ----------------------------------------------------------------------------------------------------


def test_hook_nat_lb_register_schedulers(shelf: Shelf) -> None:
    install(shelf, "nat_lb_register_schedulers")
    s = Scenario(with_key('scheduler = "first"'), shelf.registry())
    assert {real(s, f"{OUTSIDER}:{port}") for port in range(3000, 3005)} == {f"{IPV4.one}:80"}
    s.reload(with_key('scheduler = "first"').replace("weight = 1", "weight = 0", 1))
    assert real(s, f"{OUTSIDER}:4000") == f"{IPV4.two}:80"


def test_hook_nat_lb_register_trackers(shelf: Shelf) -> None:
    install(shelf, "nat_lb_register_trackers")
    toml = "[timeouts]\nopen = 30\n" + IPV4.service("lite", 90, f"{IPV4.one}:91 1", protocol="udplite")
    s = Scenario(toml, shelf.registry())
    (client, client_port), (vip, port) = endpoint(f"{OUTSIDER}:3000").packed, endpoint(f"{IPV4.vip}:90").packed
    body = client_port + port + struct.pack("!HH", 8 + 4, 0) + b"data"  # RFC 3828: coverage of the whole datagram
    sent = build(client, vip, 136, sealed(body, 6, pseudo_sum(client, vip, 136, len(body))))
    out = s.process(sent).expect_forwarded(dst=f"{IPV4.one}:91").packet
    assert (ones_sum(out[20:]) + pseudo_sum(out[12:16], out[16:20], 136, len(out) - 20)) % 0xFFFF == 0
    assert s.state(f"{OUTSIDER}:3000") == "OPEN"
    s.time(31)
    assert s.connections == []


def test_hook_nat_lb_register_helpers(shelf: Shelf) -> None:
    install(shelf, "nat_lb_register_helpers")
    s = Scenario(with_key('helpers = ["data"]'), shelf.registry())
    client, server = s.client(f"{OUTSIDER}:3000"), s.server(f"{IPV4.one}:80", f"{OUTSIDER}:3000")
    client.sends(SYN, seq=1)
    server.sends(SYN | ACK, seq=1, ack=2)
    out = server.sends(ACK | PSH, f"DATA {IPV4.one}:9000\r\n".encode(), seq=2, ack=2).packet
    assert Segment(out).payload == f"DATA {IPV4.vip}:9000\r\n".encode()
    s.client(f"{OUTSIDER}:3001", f"{IPV4.vip}:9000").sends(SYN).expect_forwarded(dst=f"{IPV4.one}:9000")


def test_hook_nat_lb_make_fastpath(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    install(shelf, "nat_lb_make_fastpath")
    small = "[director]\nmax_connections = 10\n" + WEB
    Scenario(small, shelf.registry()).director.start_fastpath(0.0)
    wanted = "no fast path, every packet goes through Python: no fast path for fewer than 1000 connections."
    assert [line for line in caplog.messages if line.startswith(wanted)] != []
    insisting = small.replace("[director]", '[director]\ndatapath = "ebpf"')
    with pytest.raises(SystemFault, match="for fewer than 1000"):
        Scenario(insisting, shelf.registry()).director.start_fastpath(0.0)


def test_hook_nat_lb_check_config(shelf: Shelf) -> None:
    install(shelf, "nat_lb_check_config")
    Scenario(WEB, shelf.registry())
    with pytest.raises(ConfigError) as caught:
        Scenario(IPV4.web + IPV4.dns, shelf.registry())
    assert caught.value.problems == (
        'scenario.toml: service "web": has fewer than two real servers. Add one.',
        'scenario.toml: service "dns": has fewer than two real servers. Add one.',
    )


def test_hook_nat_lb_schedule(shelf: Shelf) -> None:
    install(shelf, "nat_lb_schedule")
    s = Scenario(WEB, shelf.registry())
    assert [real(s, f"{INSIDER}:{port}") for port in (3000, 3001, 3002)] == [f"{IPV4.two}:80"] * 3
    assert [real(s, f"{OUTSIDER}:{port}") for port in (3000, 3001)] == [f"{IPV4.one}:80", f"{IPV4.two}:80"]


def test_hook_nat_lb_bind_helper(shelf: Shelf) -> None:
    install(shelf, "nat_lb_bind_helper")
    s = Scenario(IPV4.service("files", 21, f"{IPV4.one}:21 1", more='helpers = ["data"]'), with_data_helper(shelf))
    for address, keeps_it in (INSIDER, False), (OUTSIDER, True):
        client = s.client(f"{address}:3000")
        client.sends(SYN, seq=1)
        client.sends(ACK | PSH, b"USER me\r\n", seq=2, ack=1)
        assert (s.connection(client.own).rewriter is not None) is keeps_it


def with_data_helper(shelf: Shelf) -> Any:
    shelf.install("data", blocks("nat_lb_register_helpers")[1])
    return shelf.registry()


def test_hook_nat_lb_connection_opened(shelf: Shelf) -> None:
    module = install(shelf, "nat_lb_connection_opened")
    s = Scenario(WEB, shelf.registry())
    for flags in SYN, SYN, ACK:
        s.client(f"{OUTSIDER}:3000").sends(flags)
    s.client(f"{OUTSIDER}:3001").sends(SYN)
    assert shelf.attribute(module, "opened") == Counter(web=2)


def test_hook_nat_lb_connection_state_changed(shelf: Shelf) -> None:
    module = install(shelf, "nat_lb_connection_state_changed")
    s = Scenario(WEB, shelf.registry())
    for flags in SYN, ACK, ACK:
        s.client(f"{OUTSIDER}:3000").sends(flags)
    s.client(f"{OUTSIDER}:3001").sends(SYN)
    assert shelf.attribute(module, "established") == Counter({f"{IPV4.one}:80": 1})


def test_hook_nat_lb_connection_closed(shelf: Shelf) -> None:
    module = install(shelf, "nat_lb_connection_closed")
    s = Scenario(WEB, shelf.registry())
    for port in 3000, 3001, 3002:
        s.client(f"{OUTSIDER}:{port}").sends(SYN)
    s.client(f"{OUTSIDER}:3001").sends(ACK)
    s.time(61)
    s.time(901)
    assert shelf.attribute(module, "unanswered") == Counter({f"{IPV4.one}:80": 2})


def test_hook_nat_lb_service_changed(shelf: Shelf) -> None:
    module = install(shelf, "nat_lb_service_changed")
    s = Scenario(WEB + IPV4.dns, shelf.registry())
    assert shelf.attribute(module, "present") == {"web", "dns"}
    s.reload(WEB)
    assert shelf.attribute(module, "present") == {"web"}


def test_hook_nat_lb_real_server_changed(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    install(shelf, "nat_lb_real_server_changed")
    s = Scenario(WEB, shelf.registry())
    with caplog.at_level(logging.INFO, "servers"):
        s.reload(IPV4.service("web", 80, f"{IPV4.two}:80 5", f"{IPV4.one}:81 1"))
    assert caplog.messages == [
        f"web: {IPV4.one}:80 removed, weight 1",
        f"web: {IPV4.two}:80 reweighted, weight 5",
        f"web: {IPV4.one}:81 added, weight 1",
    ]


# --- what a packet costs ---------------------------------------------------------------------------------------------


def test_packets_of_known_connections_call_no_hook_at_all() -> None:
    s = Scenario(WEB + IPV4.dns)
    client, server = s.client(f"{OUTSIDER}:3000"), s.server(f"{IPV4.one}:80", f"{OUTSIDER}:3000")
    asker = s.client(f"{OUTSIDER}:3000", f"{IPV4.vip}:53")
    calls: list[str] = []
    s.director.registry.manager.add_hookcall_monitoring(
        lambda hook, impls, arguments: calls.append(hook), lambda outcome, hook, impls, arguments: None
    )
    client.sends(SYN)
    asker.sends_datagram(b"x")
    assert calls == ["nat_lb_schedule", "nat_lb_schedule"]
    calls.clear()
    server.sends(SYN | ACK)
    client.sends(ACK)  # a change of state, which nobody listens to
    for _ in range(100):
        client.sends(ACK, b"request")
        server.sends(ACK, b"answer")
        asker.sends_datagram(b"x")
    s.time(10)
    assert calls == []
