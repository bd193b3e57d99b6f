"""The connection table: both keys or none, counts that add up, and a wheel that forgets nobody."""

from __future__ import annotations

from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from nat_lb.connection import LINGER, Connection, ConnectionTable
from nat_lb.flow import Endpoint, FlowKey
from nat_lb.service import RealServer, VirtualService
from nat_lb.testing.packets import endpoint
from nat_lb.trackers import Tcp

VIRTUAL = endpoint("202.103.106.5:80")
ESTABLISHED, CLOSE, SYN_RECV = (Tcp.states.index(state) for state in ("ESTABLISHED", "CLOSE", "SYN_RECV"))


def service() -> VirtualService:
    made = VirtualService("web", Tcp, VIRTUAL, Tcp.seconds())
    made.add(RealServer(endpoint("172.16.0.2:8000")))
    return made


def connection(web: VirtualService, number: int, now: float = 0.0, state: int = SYN_RECV) -> Connection:
    client = Endpoint(IPv4Address("202.100.0.0") + number // 50_000, 10_000 + number % 50_000)
    server = web.real_servers[0]
    return Connection(FlowKey(6, client, VIRTUAL).to_bytes(), web, server, server.binding, state, now)


def test_connection_is_found_by_what_either_side_sends() -> None:
    made = connection(service(), 0)
    reply = FlowKey.from_bytes(made.reply_key)
    assert (reply.source, reply.destination) == (endpoint("172.16.0.2:8000"), made.client)
    assert str(made) == "202.100.0.0:10000 > 202.103.106.5:80 > 172.16.0.2:8000"


def test_added_and_removed_connections_are_counted_by_activity() -> None:
    web, table = service(), ConnectionTable(10)
    server = web.real_servers[0]
    made = connection(web, 0)
    table.add(made)
    assert (len(table), server.active, server.inactive, server.opened) == (1, 1, 0, 1)
    table.set_state(made, CLOSE)
    assert (server.active, server.inactive) == (0, 1)
    table.remove(made)
    assert (len(table), table.flows, server.active, server.inactive, server.opened) == (0, {}, 0, 0, 1)


def test_taken_keys_are_refused_on_either_side() -> None:
    web, table = service(), ConnectionTable(10)
    table.add(connection(web, 0))
    assert not table.can_open(connection(web, 0))
    assert table.can_open(connection(web, 1))
    other = VirtualService("other", Tcp, endpoint("202.103.106.5:81"), Tcp.seconds())
    other.add(RealServer(endpoint("172.16.0.2:8000")))
    key = FlowKey(6, connection(web, 0).client, other.endpoint).to_bytes()
    assert not table.can_open(Connection(key, other, other.real_servers[0], other.real_servers[0].binding, 0, 0.0))


def test_table_is_full_at_its_limit() -> None:
    web, table = service(), ConnectionTable(2)
    for number in range(2):
        assert not table.full
        table.add(connection(web, number))
    assert table.full


def test_iteration_yields_each_connection_once_oldest_first() -> None:
    web, table = service(), ConnectionTable(10)
    made = [connection(web, number) for number in (3, 1, 2)]
    for one in made:
        table.add(one)
    assert list(table) == made


def expire(table: ConnectionTable, now: float) -> list[Connection]:
    gone = []
    for one in table.expired(now):
        table.remove(one)
        gone.append(one)
    return gone


def test_connection_expires_after_its_timeout_and_not_before() -> None:
    web, table = service(), ConnectionTable(10)
    table.add(connection(web, 0, now=100.5))
    assert [len(expire(table, now)) for now in (101, 130, 160, 160.6, 161)] == [0, 0, 0, 0, 1]


def test_packet_seen_in_time_is_enough_to_stay() -> None:
    web, table = service(), ConnectionTable(10)
    made = connection(web, 0)
    table.add(made)
    for now in range(1, 600):
        made.last_seen = float(now)
        assert expire(table, now) == []
    assert expire(table, 700) == [made]


def test_parent_waits_for_its_children_a_minute_at_a_time() -> None:
    web, table = service(), ConnectionTable(10)
    parent, child = connection(web, 0, state=CLOSE), connection(web, 1, state=ESTABLISHED)
    table.add(parent)
    table.add(child)
    parent.children = 1
    assert expire(table, 11 + LINGER) == []
    parent.children = 0
    table.remove(child)
    assert expire(table, 11 + 2 * LINGER + 2) == [parent]


def test_timer_that_is_set_for_the_past_goes_off_at_the_next_look() -> None:
    web, table = service(), ConnectionTable(10)
    made = connection(web, 0, state=ESTABLISHED)
    table.add(made)
    assert expire(table, 500) == []
    web.tracking.timeouts = tuple(10.0 for _ in web.tracking.timeouts)
    table.arm(made, made.deadline)
    assert expire(table, 501) == [made]


def entries(table: ConnectionTable) -> int:
    return sum(map(len, table._wheel.values()))


def test_opening_and_closing_without_end_piles_up_no_timers() -> None:
    web, table = service(), ConnectionTable(3000)
    stays = connection(web, 0, state=ESTABLISHED)
    table.add(stays)
    for number in range(1, 2000):
        made = connection(web, number, state=ESTABLISHED)
        table.add(made)
        table.remove(made)
    assert entries(table) < 40
    assert expire(table, 902) == [stays]


def test_shortening_the_time_without_end_piles_up_no_timers() -> None:
    web, table = service(), ConnectionTable(3000)
    for number in range(2000):
        made = connection(web, number, state=ESTABLISHED)
        table.add(made)
        table.set_state(made, CLOSE)
    assert entries(table) < 2040
    assert len(expire(table, 12)) == 2000


def test_closing_others_of_the_same_second_while_it_is_looked_at_skips_nobody() -> None:
    web, table = service(), ConnectionTable(3000)
    made = [connection(web, number) for number in range(100)]
    for one in made:
        table.add(one)
    gone = []
    for one in table.expired(100):
        table.remove(one)
        gone.append(one)
        if one is made[0]:
            for other in made[40:]:
                table.remove(other)
    assert gone == made[:40]
    assert (len(table), entries(table)) == (0, 0)


OPERATIONS = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.sampled_from(["open", "packet", "established", "close", "remove"]),
        st.sampled_from([0.0, 0.3, 1.0, 9.0, 11.0, 60.0, 900.0, 100_000.0]),
    ),
    max_size=40,
)


@given(OPERATIONS)
def test_every_connection_leaves_within_a_second_of_its_deadline(steps: list[tuple[int, str, float]]) -> None:
    web, table, now = service(), ConnectionTable(100), 0.0
    live: dict[int, Connection] = {}
    for number, what, seconds in steps:
        now += seconds
        gone = expire(table, now)
        assert all(one.deadline <= now for one in gone)
        live = {at: one for at, one in live.items() if one not in gone}
        assert all(one.deadline > now - 1.0 for one in live.values())
        if what == "open" and number not in live:
            live[number] = connection(web, number, now)
            table.add(live[number])
        elif number in live:
            one = live[number]
            one.last_seen = now
            if what == "remove":
                table.remove(live.pop(number))
            elif what != "packet":
                table.set_state(one, ESTABLISHED if what == "established" else CLOSE)
        assert set(map(id, table)) == set(map(id, live.values()))
    assert len(expire(table, now + 1000)) == len(live)
    assert table.flows == {}
