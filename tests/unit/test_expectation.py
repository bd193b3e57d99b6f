"""Expectations in detail: keys, ports, timers and how a message's reservations are taken back."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from nat_lb.connection import Connection
from nat_lb.expectation import ExpectationLedger, ExpectationTable
from nat_lb.faults import FaultLog
from nat_lb.flow import Direction, Endpoint, FlowKey
from nat_lb.helper import Edit, ExpectationRefused, Helper, Message
from nat_lb.service import RealServer, ServiceTable, VirtualService
from nat_lb.testing.packets import endpoint
from nat_lb.trackers import Tcp

CLIENT, VIRTUAL, REAL = map(endpoint, ("202.100.1.2:3000", "202.103.106.5:21", "172.16.0.3:21"))


class Two(Helper):
    """A helper that may expect two connections for half a minute."""

    name = "two"
    most_expectations = 2
    expectation_timeout = 30.0

    def rewrite(self, message: Message) -> Iterable[Edit]:
        return ()


class World:
    """One service, its expectation table, and a ledger for each control connection."""

    def __init__(self) -> None:
        self.service = VirtualService("files", Tcp, VIRTUAL, Tcp.seconds())
        self.service.add(RealServer(REAL))
        self.table = ExpectationTable(ServiceTable([self.service]))

    def ledger(self, client: Endpoint = CLIENT) -> ExpectationLedger:
        real = self.service.real_servers[0]
        connection = Connection(FlowKey(6, client, VIRTUAL).to_bytes(), self.service, real, real.binding, 0, 0.0)
        helper = Two.__new__(Two)
        return ExpectationLedger(self.table, connection, helper, FaultLog(str))

    def first_packet(self, source: str, to: str) -> bytes:
        return FlowKey(6, endpoint(source), endpoint(to)).to_bytes()


@pytest.fixture
def world() -> World:
    return World()


def test_client_is_expected_at_the_same_port_of_the_virtual_address(world: World) -> None:
    ledger = world.ledger()
    assert ledger.expect_client(endpoint("172.16.0.3:30000"), None, False) == endpoint("202.103.106.5:30000")
    met = world.table.match(world.first_packet("202.100.1.2:4000", "202.103.106.5:30000"))
    assert met is not None
    assert (met.direction, met.peer) == (Direction.ORIGINAL, endpoint("172.16.0.3:30000"))
    assert world.table.match(world.first_packet("202.100.1.3:4000", "202.103.106.5:30000")) is None
    assert world.table.match(world.first_packet("202.100.1.2:4000", "202.103.106.5:30001")) is None


def test_two_connections_of_one_client_never_share_a_public_port(world: World) -> None:
    first, second = world.ledger(), world.ledger(CLIENT._replace(port=3001))
    ports = [ledger.expect_client(endpoint("172.16.0.3:65535"), None, False).port for ledger in (first, second)]
    assert ports == [65535, 1024]


def test_different_clients_may_share_a_public_port(world: World) -> None:
    other = world.ledger(endpoint("202.100.1.3:3000"))
    for ledger in world.ledger(), other:
        assert ledger.expect_client(endpoint("172.16.0.3:30000"), None, False).port == 30000


@pytest.fixture
def shared(world: World) -> tuple[ExpectationLedger, ExpectationLedger]:
    """Two clients' connections that announced the same to any client."""
    ledgers = world.ledger(), world.ledger(endpoint("202.100.1.3:3000"))
    ports = [ledger.expect_client(endpoint("172.16.0.3:30000"), None, True).port for ledger in ledgers]
    assert ports == [30000, 30000]
    return ledgers


Shared = tuple[ExpectationLedger, ExpectationLedger]
ANYBODY = "202.100.9.9:4000", "202.103.106.5:30000"


def test_what_two_connections_announce_to_any_client_is_one_expectation(world: World, shared: Shared) -> None:
    assert len(world.table) == 1
    met = world.table.match(world.first_packet(*ANYBODY))
    assert met is not None
    assert world.table.of(shared[0]._connection) == world.table.of(shared[1]._connection) == [met]
    world.table.remove(met)
    assert (len(world.table), [world.table.of(ledger._connection) for ledger in shared]) == (0, [[], []])


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_shared_expectation_lives_until_its_last_announcer_closes(
    world: World, shared: Shared, order: tuple[int, int]
) -> None:
    first, last = (shared[number]._connection for number in order)
    world.table.remove_all(first)
    met = world.table.match(world.first_packet(*ANYBODY))
    assert met is not None
    assert met.parent is last
    world.table.remove_all(last)
    assert len(world.table) == 0


def test_shared_expectation_expires_once_for_all(world: World, shared: Shared) -> None:
    world.table.expire(31.0)
    assert (len(world.table), world.table.of(shared[1]._connection)) == (0, [])


def test_undone_announcement_leaves_the_expectation_to_the_others(world: World, shared: Shared) -> None:
    shared[1].undo()
    assert world.table.of(shared[1]._connection) == []
    [left] = world.table.of(shared[0]._connection)
    assert left.parent is shared[0]._connection


def test_shared_expectations_count_for_each_announcers_limit(world: World, shared: Shared) -> None:
    first, second = shared
    second.begin()
    for port in 30001, 30002:
        second.expect_client(endpoint(f"172.16.0.3:{port}"), None, True)
    assert [each.peer.port for each in world.table.of(second._connection)] == [30001, 30002]
    assert [each.peer.port for each in world.table.of(first._connection)] == [30000]
    second.undo()
    assert [each.peer.port for each in world.table.of(second._connection)] == [30000]
    assert len(world.table) == 1


def test_what_any_client_may_use_has_a_port_for_each_real_endpoint(world: World, shared: Shared) -> None:
    world.service.add(RealServer(endpoint("172.16.0.4:21")))
    connection, real = shared[0]._connection, world.service.real_servers[1]
    other = Connection(connection.key, world.service, real, real.binding, 0, 0.0)
    ledger = ExpectationLedger(world.table, other, Two.__new__(Two), FaultLog(str))
    assert ledger.expect_client(endpoint("172.16.0.4:30000"), None, True).port == 30001


def test_privileged_ports_below_the_wanted_one_are_not_tried(world: World) -> None:
    first, second = world.ledger(), world.ledger(CLIENT._replace(port=3001))
    assert first.expect_client(endpoint("172.16.0.3:500"), None, False).port == 500
    assert second.expect_client(endpoint("172.16.0.3:500"), None, False).port == 501


def test_no_free_port_is_a_refusal_in_words(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.table.services, "find", lambda *endpoint: world.service)
    with pytest.raises(ExpectationRefused, match=r"no port of 202\.103\.106\.5 is free for 172\.16\.0\.3:30000"):
        world.ledger().expect_client(endpoint("172.16.0.3:30000"), None, False)


def test_server_is_expected_from_any_port_of_its_address(world: World) -> None:
    world.ledger().expect_server(endpoint("202.100.1.2:5555"), None)
    met = world.table.match(world.first_packet("172.16.0.3:20", "202.100.1.2:5555"))
    assert met is not None
    assert met.direction is Direction.REPLY
    assert world.table.match(world.first_packet("172.16.0.4:20", "202.100.1.2:5555")) is None


def test_other_hosts_are_refused_whichever_side_names_them(world: World) -> None:
    with pytest.raises(ExpectationRefused, match="is not on this connection's real server"):
        world.ledger().expect_client(endpoint("172.16.0.4:30000"), None, False)
    with pytest.raises(ExpectationRefused, match="is not on this connection's client"):
        world.ledger().expect_server(endpoint("202.100.9.9:5555"), None)
    assert len(world.table) == 0


def test_undo_takes_back_what_the_message_reserved_and_returns_what_it_displaced(world: World) -> None:
    ledger = world.ledger()
    for port in 30001, 30002:
        ledger.begin()
        ledger.expect_client(endpoint(f"172.16.0.3:{port}"), None, False)
    ledger.begin()
    for port in 30003, 30004, 30005:
        ledger.expect_client(endpoint(f"172.16.0.3:{port}"), None, False)
    assert len(world.table) == 2
    ledger.undo()
    assert sorted(expectation.peer.port for expectation in world.table.of(ledger._connection)) == [30001, 30002]
    ledger.undo()
    assert len(world.table) == 2


def test_another_connections_server_expectation_gives_way_and_returns(world: World) -> None:
    first, second = world.ledger(), world.ledger(CLIENT._replace(port=3001))
    first.expect_server(endpoint("202.100.1.2:5555"), None)
    second.begin()
    second.expect_server(endpoint("202.100.1.2:5555"), None)
    key = world.first_packet("172.16.0.3:20", "202.100.1.2:5555")
    met = world.table.match(key)
    assert met is not None
    assert met.parent is second._connection
    second.undo()
    met = world.table.match(key)
    assert met is not None
    assert met.parent is first._connection


def test_extended_expectation_ignores_its_first_timer(world: World) -> None:
    ledger = world.ledger()
    ledger.expect_client(endpoint("172.16.0.3:30000"), None, False)
    ledger.now = 20.0
    ledger.expect_client(endpoint("172.16.0.3:30000"), None, False)
    world.table.expire(31.0)
    assert len(world.table) == 1
    world.table.expire(50.0)
    assert len(world.table) == 0


def test_removing_twice_and_removing_all_leave_nothing(world: World) -> None:
    ledger = world.ledger()
    ledger.expect_client(endpoint("172.16.0.3:30000"), None, False)
    ledger.expect_server(endpoint("202.100.1.2:5555"), None)
    (first, _) = world.table.of(ledger._connection)
    world.table.remove(first)
    world.table.remove(first)
    world.table.remove_all(ledger._connection)
    assert (len(world.table), world.table.of(ledger._connection)) == (0, [])


def test_ledger_shows_the_peers_of_its_connection(world: World) -> None:
    assert world.ledger().peers == (CLIENT, VIRTUAL, REAL)
