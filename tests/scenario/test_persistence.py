"""Persistence: a client, or its network, keeps the real server that it was given first."""

from __future__ import annotations

from nat_lb.testing.packets import ACK, RST, SYN
from nat_lb.testing.scenario import Scenario
from tests.scenario.nets import IPV4, IPV6, Net


def persistent(net: Net, seconds: int = 100, *, netmask: int | None = None, weights: tuple[int, int] = (1, 1)) -> str:
    more = f"persistence = {seconds}\n" + (f"persistence_netmask = {netmask}\n" if netmask else "")
    return net.service("web", 80, f"{net.one}:80 {weights[0]}", f"{net.two}:80 {weights[1]}", more=more)


def server_of(s: Scenario, client: str) -> str:
    """Open a connection and return the real server's address that it was given."""
    s.client(client).sends(SYN)
    return str(s.connection(client).real).removesuffix(":80")


def ended(s: Scenario, client: str) -> None:
    """Reset a connection and wait until it is gone."""
    s.client(client).sends(ACK)
    s.client(client).sends(RST)
    s.time(11)


def test_client_keeps_its_server_on_every_port(net: Net) -> None:
    s = Scenario(persistent(net))
    assert {server_of(s, f"{net.client}:{port}") for port in range(3000, 3010)} == {net.one}
    assert server_of(s, f"{net.router}:3000") == net.two


def test_clients_of_one_network_keep_one_server() -> None:
    s = Scenario(persistent(IPV4, netmask=24))
    assert {server_of(s, f"202.100.1.{host}:3000") for host in (2, 3, 254)} == {IPV4.one}
    assert server_of(s, "202.100.2.2:3000") == IPV4.two


def test_clients_of_one_ipv6_network_keep_one_server() -> None:
    s = Scenario(persistent(IPV6, netmask=64))
    assert {server_of(s, f"[2001:db8:1::{host}]:3000") for host in ("2", "3", "ffff")} == {IPV6.one}
    assert server_of(s, "[2001:db8:1:1::2]:3000") == IPV6.two


def test_choice_is_forgotten_when_its_time_is_over(net: Net) -> None:
    s = Scenario(persistent(net, 100))
    assert server_of(s, f"{net.client}:3000") == net.one
    ended(s, f"{net.client}:3000")
    s.time(88)
    assert server_of(s, f"{net.client}:3001") == net.one
    ended(s, f"{net.client}:3001")
    s.time(101)
    assert server_of(s, f"{net.client}:3002") == net.two


def test_choice_lives_as_long_as_one_of_its_connections(net: Net) -> None:
    s = Scenario(persistent(net, 10))
    client = s.client(f"{net.client}:3000")
    client.sends(SYN)
    client.sends(ACK)
    for _ in range(3):
        s.time(600)
        client.sends(ACK)
    assert server_of(s, f"{net.client}:3001") == net.one


def test_memory_of_choices_is_freed_a_minute_or_so_after_the_last_connection(net: Net) -> None:
    s = Scenario(persistent(net, 10))
    server_of(s, f"{net.client}:3000")
    s.time(60)
    assert len(s.director.lifecycle.persistence) == 1
    s.time(130)
    assert len(s.director.lifecycle.persistence) == 0


def test_quiesced_server_is_not_followed(net: Net) -> None:
    s = Scenario(persistent(net))
    assert server_of(s, f"{net.client}:3000") == net.one
    s.reload(persistent(net, weights=(0, 1)))
    assert server_of(s, f"{net.client}:3001") == net.two
    assert server_of(s, f"{net.client}:3002") == net.two


def test_removed_server_is_not_followed(net: Net) -> None:
    s = Scenario(persistent(net))
    assert server_of(s, f"{net.client}:3000") == net.one
    s.reload(net.service("web", 80, f"{net.two}:80 1", more="persistence = 100"))
    assert server_of(s, f"{net.client}:3001") == net.two


def test_persistence_turned_off_by_a_reload_leaves_no_memory_behind(net: Net) -> None:
    s = Scenario(persistent(net))
    server_of(s, f"{net.client}:3000")
    s.reload(net.service("web", 80, f"{net.one}:80 1", f"{net.two}:80 1"))
    assert server_of(s, f"{net.client}:3001") == net.two
    s.time(300)
    assert len(s.director.lifecycle.persistence) == 0
