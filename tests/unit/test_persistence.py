"""Persistence templates: how long they live and what they lead to; dialogues are scenarios."""

from __future__ import annotations

from nat_lb.connection import LINGER, Connection
from nat_lb.flow import FlowKey
from nat_lb.persistence import PersistenceTable
from nat_lb.service import RealServer, VirtualService
from nat_lb.testing.packets import endpoint
from nat_lb.trackers import Tcp

VIRTUAL, CLIENT = endpoint("202.103.106.5:80"), endpoint("202.100.1.2:3000")


def service() -> VirtualService:
    made = VirtualService("web", Tcp, VIRTUAL, Tcp.seconds())
    for address in ("172.16.0.2:80", "172.16.0.3:80"):
        made.add(RealServer(endpoint(address)))
    made.persistence = 100.0
    return made


def connection(web: VirtualService, server: int, port: int = 3000) -> Connection:
    client = CLIENT._replace(port=port)
    real = web.real_servers[server]
    return Connection(FlowKey(6, client, VIRTUAL).to_bytes(), web, real, real.binding, 0, 0.0)


def test_choice_is_remembered_until_its_deadline() -> None:
    web, table = service(), PersistenceTable()
    made = connection(web, 1)
    table.remember(made, 50.0)
    table.closed(made)
    assert table.remembered(web, CLIENT.address, 149.9) is web.real_servers[1]
    assert table.remembered(web, CLIENT.address, 150.0) is None


def test_choice_outlives_its_deadline_while_a_connection_lives() -> None:
    web, table = service(), PersistenceTable()
    made = connection(web, 1)
    table.remember(made, 0.0)
    assert table.remembered(web, CLIENT.address, 1000.0) is web.real_servers[1]
    table.expire(1000.0)
    table.closed(made)
    table.expire(1000.0 + LINGER - 1)
    assert len(table) == 1
    table.expire(1000.0 + LINGER)
    assert len(table) == 0


def test_another_server_chosen_since_makes_a_new_choice() -> None:
    web, table = service(), PersistenceTable()
    first, second = connection(web, 0), connection(web, 1, port=3001)
    table.remember(first, 0.0)
    table.remember(second, 1.0)
    assert table.remembered(web, CLIENT.address, 2.0) is web.real_servers[1]
    table.closed(first)
    table.closed(second)
    table.expire(200.0)
    assert len(table) == 0


def test_closing_a_connection_that_is_not_remembered_does_nothing() -> None:
    table = PersistenceTable()
    table.closed(connection(service(), 0))
    assert len(table) == 0


def test_services_remember_their_clients_apart() -> None:
    web, other, table = service(), service(), PersistenceTable()
    table.remember(connection(web, 1), 0.0)
    assert table.remembered(other, CLIENT.address, 1.0) is None
