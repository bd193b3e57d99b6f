"""What helpers ask for, in detail: keys, ports, timers and how a message's reservations are taken back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import pytest

from nat_lb.connection import Connection
from nat_lb.errors import PluginError
from nat_lb.expectation import ExpectationTable, Met
from nat_lb.faults import FaultLog
from nat_lb.flow import Direction, Endpoint, FlowKey
from nat_lb.helper import Edit, ExpectationRefused, Helper, Message, Terms
from nat_lb.ledger import ExpectationLedger
from nat_lb.nat import Binding, Traffic
from nat_lb.service import RealServer, ServiceTable, Tracking, VirtualService
from nat_lb.testing.packets import endpoint
from nat_lb.trackers import Tcp, Udp

CLIENT, VIRTUAL, REAL = map(endpoint, ("202.100.1.2:3000", "202.103.106.5:21", "172.16.0.3:21"))


class Two(Helper):
    """A helper that may expect two connections for half a minute."""

    name = "two"
    most_expectations = 2
    expectation_timeout = 30.0

    def rewrite(self, message: Message) -> Iterable[Edit]:
        return ()


class Gre(Udp):
    """A protocol whose packets do not name their source."""

    name = "gre"
    protocol = 47
    header = 8
    checksum_at: ClassVar[int | None] = None
    ports_at = (None, 6)


class World:
    """One service, its expectation table, and a ledger for each control connection."""

    def __init__(self) -> None:
        self.service = VirtualService("files", Tcp, VIRTUAL, Tcp.seconds())
        self.service.add(RealServer(REAL))
        self.service.related = {"udp": Tracking(Udp, Udp.seconds()), "gre": Tracking(Gre, Gre.seconds())}
        self.services = ServiceTable([self.service])
        self.table = ExpectationTable(self.services)
        self.ended: list[Connection] = []

    def ledger(self, client: Endpoint = CLIENT) -> ExpectationLedger:
        real = self.service.real_servers[0]
        connection = Connection(FlowKey(6, client, VIRTUAL).to_bytes(), self.service, real, real.binding, 0, 0.0)
        helper = Two.__new__(Two)
        return ExpectationLedger(self.table, connection, helper, FaultLog(str), self.close)

    def ledger_of_another_server(self) -> ExpectationLedger:
        """Return that of the same client's connection to a second real server, 172.16.0.4."""
        real = RealServer(endpoint("172.16.0.4:21"))
        self.service.add(real)
        key = FlowKey(6, CLIENT._replace(port=3001), VIRTUAL).to_bytes()
        connection = Connection(key, self.service, real, real.binding, 0, 0.0)
        return ExpectationLedger(self.table, connection, Two.__new__(Two), FaultLog(str), self.close)

    def close(self, connection: Connection, reason: str, now: float) -> None:
        assert reason == "forgotten"
        self.ended.append(connection)

    def first_packet(self, source: str, to: str, protocol: int = 6) -> bytes:
        return FlowKey(protocol, endpoint(source), endpoint(to)).to_bytes()

    def meets(self, source: str, to: str, protocol: int = 6) -> Met | None:
        return self.table.match(self.first_packet(source, to, protocol))

    def opens(self, met: Met | None, client: str, virtual: str, real: str, protocol: int = 6) -> Connection:
        """Return the connection that a met expectation opened."""
        assert met is not None
        binding = Binding(met.expectation.tracking.tracker, endpoint(virtual), endpoint(real), (Traffic(), Traffic()))
        key = FlowKey(protocol, endpoint(client), endpoint(virtual)).to_bytes()
        parent = met.expectation.parent
        opened = Connection(key, self.service, parent.real_server, binding, 0, 0.0, tracking=met.expectation.tracking)
        opened.parent = parent
        self.table.opened(met.expectation, opened)
        return opened


@pytest.fixture
def world() -> World:
    return World()


def ports(world: World, ledger: ExpectationLedger) -> list[int]:
    """Return the real servers' ports that a ledger's connection expects its client at."""
    return [each.real.port for each in world.table.of(ledger._connection) if each.real is not None]


def test_client_is_expected_at_the_same_port_of_the_virtual_address(world: World) -> None:
    ledger = world.ledger()
    assert ledger.expect_client(endpoint("172.16.0.3:30000"), Terms()) == endpoint("202.103.106.5:30000")
    met = world.table.match(world.first_packet("202.100.1.2:4000", "202.103.106.5:30000"))
    assert met is not None
    assert (met.direction, met.expectation.real) == (Direction.ORIGINAL, endpoint("172.16.0.3:30000"))
    assert world.table.match(world.first_packet("202.100.1.3:4000", "202.103.106.5:30000")) is None
    assert world.table.match(world.first_packet("202.100.1.2:4000", "202.103.106.5:30001")) is None


def test_two_servers_never_share_a_public_port_of_one_client(world: World) -> None:
    first, second = world.ledger(), world.ledger_of_another_server()
    assert first.expect_client(endpoint("172.16.0.3:65535"), Terms()).port == 65535
    assert second.expect_client(endpoint("172.16.0.4:65535"), Terms()).port == 1024


def test_latest_connection_that_announces_an_endpoint_to_a_client_is_the_parent(world: World) -> None:
    first, second = world.ledger(), world.ledger(CLIENT._replace(port=3001))
    ports = [ledger.expect_client(endpoint("172.16.0.3:30000"), Terms()).port for ledger in (first, second)]
    met = world.meets("202.100.1.2:4000", "202.103.106.5:30000")
    assert met is not None
    assert (ports, met.expectation.parent, len(world.table)) == ([30000, 30000], second._connection, 1)
    second.undo()
    met = world.meets("202.100.1.2:4000", "202.103.106.5:30000")
    assert met is not None
    assert met.expectation.parent is first._connection


def test_different_clients_may_share_a_public_port(world: World) -> None:
    other = world.ledger(endpoint("202.100.1.3:3000"))
    for ledger in world.ledger(), other:
        assert ledger.expect_client(endpoint("172.16.0.3:30000"), Terms()).port == 30000


@pytest.fixture
def shared(world: World) -> tuple[ExpectationLedger, ExpectationLedger]:
    """Two clients' connections that announced the same to any client."""
    ledgers = world.ledger(), world.ledger(endpoint("202.100.1.3:3000"))
    ports = [ledger.expect_client(endpoint("172.16.0.3:30000"), Terms(any_client=True)).port for ledger in ledgers]
    assert ports == [30000, 30000]
    return ledgers


Shared = tuple[ExpectationLedger, ExpectationLedger]
ANYBODY = "202.100.9.9:4000", "202.103.106.5:30000"


def test_what_two_connections_announce_to_any_client_is_one_expectation(world: World, shared: Shared) -> None:
    assert len(world.table) == 1
    met = world.table.match(world.first_packet(*ANYBODY))
    assert met is not None
    assert world.table.of(shared[0]._connection) == world.table.of(shared[1]._connection) == [met.expectation]
    world.table.remove(met.expectation)
    assert (len(world.table), [world.table.of(ledger._connection) for ledger in shared]) == (0, [[], []])


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_shared_expectation_lives_until_its_last_announcer_closes(
    world: World, shared: Shared, order: tuple[int, int]
) -> None:
    first, last = (shared[number]._connection for number in order)
    world.table.closed(first)
    met = world.table.match(world.first_packet(*ANYBODY))
    assert met is not None
    assert met.expectation.parent is last
    world.table.closed(last)
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
        second.expect_client(endpoint(f"172.16.0.3:{port}"), Terms(any_client=True))
    assert ports(world, second) == [30001, 30002]
    assert ports(world, first) == [30000]
    second.undo()
    assert ports(world, second) == [30000]
    assert len(world.table) == 1


def test_what_any_client_may_use_has_a_port_for_each_real_endpoint(world: World, shared: Shared) -> None:
    ledger = world.ledger_of_another_server()
    assert ledger.expect_client(endpoint("172.16.0.4:30000"), Terms(any_client=True)).port == 30001
    assert ledger.expect_client(endpoint("172.16.0.4:30000"), Terms()).port == 30001


def test_privileged_ports_below_the_wanted_one_are_not_tried(world: World) -> None:
    first, second = world.ledger(), world.ledger_of_another_server()
    assert first.expect_client(endpoint("172.16.0.3:500"), Terms()).port == 500
    assert second.expect_client(endpoint("172.16.0.4:500"), Terms()).port == 501


def test_no_free_port_is_a_refusal_in_words(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.services, "find", lambda *endpoint: world.service)
    with pytest.raises(ExpectationRefused, match=r"no port of 202\.103\.106\.5 is free for 172\.16\.0\.3:30000"):
        world.ledger().expect_client(endpoint("172.16.0.3:30000"), Terms())


def test_server_is_expected_from_any_port_of_its_address(world: World) -> None:
    world.ledger().expect_server(endpoint("202.100.1.2:5555"), Terms())
    met = world.table.match(world.first_packet("172.16.0.3:20", "202.100.1.2:5555"))
    assert met is not None
    assert met.direction is Direction.REPLY
    assert world.table.match(world.first_packet("172.16.0.4:20", "202.100.1.2:5555")) is None


def test_other_hosts_are_refused_whichever_side_names_them(world: World) -> None:
    with pytest.raises(ExpectationRefused, match="is not on this connection's real server"):
        world.ledger().expect_client(endpoint("172.16.0.4:30000"), Terms())
    with pytest.raises(ExpectationRefused, match="is not on this connection's client"):
        world.ledger().expect_server(endpoint("202.100.9.9:5555"), Terms())
    assert len(world.table) == 0


def test_undo_takes_back_what_the_message_reserved_and_returns_what_it_displaced(world: World) -> None:
    ledger = world.ledger()
    for port in 30001, 30002:
        ledger.begin()
        ledger.expect_client(endpoint(f"172.16.0.3:{port}"), Terms())
    ledger.begin()
    for port in 30003, 30004, 30005:
        ledger.expect_client(endpoint(f"172.16.0.3:{port}"), Terms())
    assert len(world.table) == 2
    ledger.undo()
    assert sorted(ports(world, ledger)) == [30001, 30002]
    ledger.undo()
    assert len(world.table) == 2


def test_another_connections_server_expectation_gives_way_and_returns(world: World) -> None:
    first, second = world.ledger(), world.ledger(CLIENT._replace(port=3001))
    first.expect_server(endpoint("202.100.1.2:5555"), Terms())
    second.begin()
    second.expect_server(endpoint("202.100.1.2:5555"), Terms())
    key = world.first_packet("172.16.0.3:20", "202.100.1.2:5555")
    met = world.table.match(key)
    assert met is not None
    assert met.expectation.parent is second._connection
    second.undo()
    met = world.table.match(key)
    assert met is not None
    assert met.expectation.parent is first._connection


def test_extended_expectation_ignores_its_first_timer(world: World) -> None:
    ledger = world.ledger()
    ledger.expect_client(endpoint("172.16.0.3:30000"), Terms())
    ledger.now = 20.0
    ledger.expect_client(endpoint("172.16.0.3:30000"), Terms())
    world.table.expire(31.0)
    assert len(world.table) == 1
    world.table.expire(50.0)
    assert len(world.table) == 0


def test_removing_twice_and_removing_all_leave_nothing(world: World) -> None:
    ledger = world.ledger()
    ledger.expect_client(endpoint("172.16.0.3:30000"), Terms())
    ledger.expect_server(endpoint("202.100.1.2:5555"), Terms())
    (first, _) = world.table.of(ledger._connection)
    world.table.remove(first)
    world.table.remove(first)
    world.table.closed(ledger._connection)
    assert (len(world.table), world.table.of(ledger._connection)) == (0, [])


def test_ledger_shows_the_peers_of_its_connection(world: World) -> None:
    assert world.ledger().peers == (CLIENT, VIRTUAL, REAL)


RTP = Terms("udp", ports=2)
CALL = Terms("gre")


def test_ports_in_a_row_are_free_and_keep_their_parity(world: World) -> None:
    first, second = world.ledger(), world.ledger_of_another_server()
    first.expect_client(endpoint("172.16.0.3:5001"), Terms("udp"))
    assert second.expect_client(endpoint("172.16.0.4:5000"), RTP) == endpoint("202.103.106.5:5002")
    for up in 0, 1:
        met = world.meets("202.100.1.2:4000", f"202.103.106.5:{5002 + up}", 17)
        assert met is not None
        assert met.expectation.real == endpoint(f"172.16.0.4:{5000 + up}")


def test_half_of_a_pair_that_was_announced_alone_fits_into_the_pair(world: World) -> None:
    ledger = world.ledger()
    assert ledger.expect_client(endpoint("172.16.0.3:5001"), Terms("udp")).port == 5001
    assert ledger.expect_client(endpoint("172.16.0.3:5000"), RTP).port == 5000
    assert len(world.table) == 2


def test_more_ports_than_may_be_expected_are_refused_whole(world: World) -> None:
    with pytest.raises(ExpectationRefused, match="3 ports in a row, allowed are 1 to 2"):
        world.ledger().expect_client(endpoint("172.16.0.3:5000"), Terms(ports=3))
    assert len(world.table) == 0


def test_answer_stays_the_same_when_better_ports_become_free(world: World) -> None:
    first, second = world.ledger(), world.ledger_of_another_server()
    first.expect_client(endpoint("172.16.0.3:5000"), Terms())
    assert second.expect_client(endpoint("172.16.0.4:5000"), Terms()).port == 5001
    world.table.closed(first._connection)
    assert second.expect_client(endpoint("172.16.0.4:5000"), Terms()).port == 5001


def test_expectation_for_many_stays_when_it_is_met(world: World) -> None:
    ledger = world.ledger()
    ledger.expect_client(endpoint("172.16.0.3:1503"), Terms(many=True))
    for port in 4000, 4001:
        met = world.meets(f"202.100.1.2:{port}", "202.103.106.5:1503")
        world.opens(met, f"202.100.1.2:{port}", "202.103.106.5:1503", "172.16.0.3:1503")
    assert (len(world.table), ledger._connection.children) == (1, 2)


def test_public_endpoint_of_a_live_connection_stands_for_no_other_server(world: World) -> None:
    first = world.ledger()
    first.expect_client(endpoint("172.16.0.3:5000"), Terms("udp"))
    met = world.meets("202.100.1.2:4000", "202.103.106.5:5000", 17)
    opened = world.opens(met, "202.100.1.2:4000", "202.103.106.5:5000", "172.16.0.3:5000", 17)
    assert len(world.table) == 0
    real = RealServer(endpoint("172.16.0.4:21"))
    world.service.add(real)
    other = Connection(
        FlowKey(6, CLIENT._replace(port=3001), VIRTUAL).to_bytes(), world.service, real, real.binding, 0, 0.0
    )
    second = ExpectationLedger(world.table, other, Two.__new__(Two), FaultLog(str), world.close)
    assert second.expect_client(endpoint("172.16.0.4:5000"), Terms("udp")).port == 5001
    world.table.closed(second._connection)
    world.table.closed(opened)
    assert second.expect_client(endpoint("172.16.0.4:5000"), Terms("udp")).port == 5000


def test_server_that_speaks_first_does_so_from_its_announced_endpoint(world: World) -> None:
    first, second = world.ledger(), world.ledger(CLIENT._replace(port=3001))
    second.expect_client(endpoint("172.16.0.3:5000"), Terms("udp"))
    first.expect_client(endpoint("172.16.0.3:5001"), Terms("udp"))
    assert world.table.public_of(17, CLIENT.address, endpoint("172.16.0.3:5001")) == endpoint("202.103.106.5:5001")
    assert world.table.public_of(17, CLIENT.address, endpoint("172.16.0.3:5002")) is None
    flow = FlowKey(17, endpoint("172.16.0.3:9000"), CLIENT)
    assert world.table.stands_for_another(flow, endpoint("202.103.106.5:5000"))


def test_connection_between_two_endpoints_is_opened_by_either(world: World) -> None:
    ledger = world.ledger()
    client, real = endpoint("202.100.1.2:7"), endpoint("172.16.0.3:0")
    assert ledger.expect_between(client, real, CALL) == endpoint("202.103.106.5:0")
    for source, to, way in (
        ("202.100.1.2:0", "202.103.106.5:0", Direction.ORIGINAL),
        ("172.16.0.3:0", "202.100.1.2:7", Direction.REPLY),
    ):
        met = world.meets(source, to, 47)
        assert met is not None
        assert (met.direction, met.expectation.client, met.expectation.real) == (way, client, real)
    assert len(world.table) == 1
    world.opens(met, "202.100.1.2:7", "202.103.106.5:0", "172.16.0.3:0", 47)
    assert (len(world.table), world.meets("202.100.1.2:0", "202.103.106.5:0", 47)) == (0, None)


def test_connection_between_two_endpoints_admits_no_other_source_port(world: World) -> None:
    world.ledger().expect_between(endpoint("202.100.1.2:7000"), endpoint("172.16.0.3:8000"), Terms("udp"))
    assert world.meets("202.100.1.2:7001", "202.103.106.5:8000", 17) is None
    assert world.meets("202.100.1.2:7000", "202.103.106.5:8000", 17) is not None


def test_reserved_number_opens_nothing_before_its_client_is_known(world: World) -> None:
    ledger = world.ledger()
    public = ledger.expect_client(endpoint("172.16.0.3:0"), CALL)
    assert world.meets("202.100.1.2:0", f"202.103.106.5:{public.port}", 47) is None
    assert ledger.expect_between(endpoint("202.100.1.2:7"), endpoint("172.16.0.3:0"), CALL) == public
    assert world.meets("202.100.1.2:0", f"202.103.106.5:{public.port}", 47) is not None
    assert len(world.table) == 1


def test_two_servers_numbers_for_one_client_differ(world: World) -> None:
    world.ledger().expect_between(endpoint("202.100.1.2:7"), endpoint("172.16.0.3:0"), CALL)
    real = RealServer(endpoint("172.16.0.4:21"))
    world.service.add(real)
    other = Connection(
        FlowKey(6, CLIENT._replace(port=3001), VIRTUAL).to_bytes(), world.service, real, real.binding, 0, 0.0
    )
    second = ExpectationLedger(world.table, other, Two.__new__(Two), FaultLog(str), world.close)
    assert second.expect_between(endpoint("202.100.1.2:8"), endpoint("172.16.0.4:0"), CALL).port == 1


def test_number_that_is_given_out_anew_ends_the_connection_that_had_it(world: World) -> None:
    world.ledger().expect_between(endpoint("202.100.1.2:7"), endpoint("172.16.0.3:0"), CALL)
    met = world.meets("172.16.0.3:0", "202.100.1.2:7", 47)
    old = world.opens(met, "202.100.1.2:7", "202.103.106.5:0", "172.16.0.3:0", 47)
    again = world.ledger(CLIENT._replace(port=3001))
    public = again.expect_between(endpoint("202.100.1.2:8"), endpoint("172.16.0.3:0"), CALL)
    again.commit(edited=False)
    assert (public, world.ended) == (endpoint("202.103.106.5:0"), [old])


@pytest.mark.parametrize("number", ["0", "1"])
def test_number_that_the_client_gives_out_anew_ends_the_connection_that_had_it_once(world: World, number: str) -> None:
    world.ledger().expect_between(endpoint("202.100.1.2:7"), endpoint("172.16.0.3:0"), CALL)
    met = world.meets("172.16.0.3:0", "202.100.1.2:7", 47)
    old = world.opens(met, "202.100.1.2:7", "202.103.106.5:0", "172.16.0.3:0", 47)
    again = world.ledger(CLIENT._replace(port=3001))
    for _ in range(2):
        again.expect_between(endpoint("202.100.1.2:7"), endpoint(f"172.16.0.3:{number}"), CALL)
    again.commit(edited=False)
    assert world.ended == [old]
    world.table.closed(old)
    again.begin()
    again.expect_between(endpoint("202.100.1.2:7"), endpoint("172.16.0.3:2"), CALL)
    again.commit(edited=False)
    assert world.ended == [old]


def test_same_number_of_a_client_at_another_real_server_is_another(world: World) -> None:
    world.ledger().expect_between(endpoint("202.100.1.2:7"), endpoint("172.16.0.3:0"), CALL)
    world.opens(
        world.meets("172.16.0.3:0", "202.100.1.2:7", 47), "202.100.1.2:7", "202.103.106.5:0", "172.16.0.3:0", 47
    )
    other = world.ledger_of_another_server()
    other.expect_between(endpoint("202.100.1.2:7"), endpoint("172.16.0.4:0"), CALL)
    other.commit(edited=False)
    assert world.ended == []


def test_forgotten_endpoint_expects_nothing_and_ends_its_connections(world: World) -> None:
    ledger = world.ledger()
    public = ledger.expect_between(endpoint("202.100.1.2:7"), endpoint("172.16.0.3:0"), CALL)
    met = world.meets("172.16.0.3:0", "202.100.1.2:7", 47)
    opened = world.opens(met, "202.100.1.2:7", "202.103.106.5:0", "172.16.0.3:0", 47)
    ledger.begin()
    ledger.forget(public, "gre")
    assert world.ended == []
    ledger.commit(edited=False)
    assert world.ended == [opened]
    ledger.begin()
    ledger.expect_client(endpoint("172.16.0.3:5000"), Terms())
    ledger.forget(endpoint("202.103.106.5:5000"), "")
    assert len(world.table) == 0


def test_bound_connections_end_with_the_one_that_announced_them(world: World) -> None:
    ledger = world.ledger()
    ledger.expect_between(endpoint("202.100.1.2:7"), endpoint("172.16.0.3:0"), Terms("gre", bound=True))
    met = world.meets("172.16.0.3:0", "202.100.1.2:7", 47)
    opened = world.opens(met, "202.100.1.2:7", "202.103.106.5:0", "172.16.0.3:0", 47)
    assert ledger._connection.children == 0
    assert world.table.closed(ledger._connection) == [opened]
    assert world.table.closed(opened) == []


def test_range_admits_the_client_at_each_of_its_ports_until_the_connection_closes(world: World) -> None:
    ledger = world.ledger()
    ledger.expect_range(range(50000, 50010), Terms(many=True))
    met = world.meets("202.100.1.2:4000", "202.103.106.5:50009")
    assert met is not None
    assert (met.direction, met.expectation.real) == (Direction.ORIGINAL, None)
    world.table.expire(1e9)
    assert world.meets("202.100.1.2:4000", "202.103.106.5:50010") is None
    assert world.meets("202.100.1.3:4000", "202.103.106.5:50009") is None
    ledger.begin()
    ledger.expect_range(range(60000, 60001), Terms(many=True))
    assert world.meets("202.100.1.2:4000", "202.103.106.5:50009") is None
    ledger.undo()
    assert world.meets("202.100.1.2:4000", "202.103.106.5:50009") is not None
    world.table.closed(ledger._connection)
    assert (world.meets("202.100.1.2:4000", "202.103.106.5:50009"), len(world.table)) == (None, 0)


def test_counts_tell_what_a_helper_did(world: World) -> None:
    ledger = world.ledger()
    ledger.expect_client(endpoint("172.16.0.3:5000"), Terms())
    ledger.commit(edited=True)
    ledger.begin()
    ledger.refuse("no", "never")
    ledger.commit(edited=False)
    met = world.meets("202.100.1.2:4000", "202.103.106.5:5000")
    world.opens(met, "202.100.1.2:4000", "202.103.106.5:5000", "172.16.0.3:5000")
    counts = world.table.counts["two"]
    assert (counts.rewritten, counts.expected, counts.met, counts.refused) == (1, 1, 1, {"never": 1})


def test_endpoint_of_a_real_server_is_known_as_its_service(world: World) -> None:
    ledger = world.ledger()
    assert ledger.known_as(REAL, "") == ledger.known_as(REAL, "tcp") == VIRTUAL
    assert ledger.known_as(REAL, "udp") is None
    assert ledger.known_as(CLIENT, "") is None
    assert len(world.table) == 0


def test_protocol_without_a_tracker_is_a_plugins_fault(world: World) -> None:
    with pytest.raises(PluginError, match='expects protocol "sctp", which no tracker has'):
        world.ledger().expect_client(endpoint("172.16.0.3:5000"), Terms("sctp"))


def test_announcing_without_end_piles_up_no_timers(world: World) -> None:
    ledger = world.ledger()
    for number in range(2000):
        ledger.begin()
        ledger.now = number / 1000
        ledger.expect_client(endpoint(f"172.16.0.3:{30000 + number % 7}"), Terms())
    assert len(world.table._timers) < 100
    world.table.expire(100.0)
    assert (len(world.table), world.table._timers) == (0, [])
