"""Connections come and go in the kernel: expiry, events, floods, and what Python hands over."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from nat_lb.testing.lab import wait_until
from nat_lb.testing.packets import ACK, FIN, PSH, RST, SYN, tcp, udp
from nat_lb_ebpf import CloseReason, Counter, EbpfPath, EventKind, Flag, Opened
from nat_lb_ebpf.layout import Event

from .duel import REDIRECT, SMALL, Duel, Ground, client_key, frame, skb
from .nets import IPV4

pytestmark = pytest.mark.live
ALL = frozenset(EventKind)
VIP, SERVER = f"{IPV4.vip}:80", f"{IPV4.one}:8000"


def client(number: int) -> str:
    return f"{IPV4.client}:{1024 + number}"


def shake(duel: Duel, number: int) -> None:
    """Complete a handshake in the kernel."""
    for packet in (
        tcp(client(number), VIP, SYN),
        tcp(SERVER, client(number), SYN | ACK),
        tcp(client(number), VIP, ACK),
    ):
        assert duel.fast(packet) is not None


def told(duel: Duel) -> list[str]:
    """Return what the kernel told since the last call, a line each."""
    return [line(duel, event) for event in duel.path.events()]


def line(duel: Duel, event: Event) -> str:
    entry, states = duel.path.connections.of(event), duel.services[0].tracker.states
    who = f"{event.client[3]}:{int.from_bytes(bytes(event.client_port), 'big')} at {entry.real}"
    kind = EventKind(event.kind)
    if kind is EventKind.STATE_CHANGED:
        return f"{who} {states[event.old_state]} > {states[event.new_state]}"
    return f"{who} {kind.name}" + (f" {CloseReason(event.reason).name}" if kind is EventKind.CLOSED else "")


def test_connections_expire_when_python_s_do(tc: Duel) -> None:
    tc.serve(IPV4.service(f"{IPV4.one}:8000 1 9") + IPV4.service(f"{IPV4.two}:53", port=53, protocol="udp"))
    begun = tc.scenario.now
    for number in range(4):
        tc.both(tcp(client(number), VIP, SYN))
    tc.both(udp(client(9), f"{IPV4.vip}:53", b"query"))
    for number, flags in ((0, ACK), (1, FIN), (2, ACK), (2, RST)):
        tc.both(tcp(client(number), VIP, flags))
    for entry in tc.path.connections:
        tc.path.connections.touch(entry.slot, begun)
    left = []
    for passed in (9, 11, 59, 61, 299, 301, 899, 901):  # Python looks within a second of the deadline
        tc.scenario.jump(begun + passed - tc.scenario.now)
        tc.path.connections.sweep(begun + passed)
        left.append(len(tc.states()))
        tc.loads()
    assert left == [5, 4, 4, 2, 2, 1, 1, 0]


def test_flow_of_an_expired_connection_can_open_another(tc: Duel) -> None:
    tc.serve(IPV4.service(SERVER))
    for expected in (1, 2, 3):
        shake(tc, 0)
        (entry,) = tc.path.connections
        tc.path.connections.touch(entry.slot, 1.0)
        assert tc.path.connections.sweep(2000.0) == 1
        assert tc.path.services.load(tc.services[0], tc.server(SERVER)).opened == expected
        assert tc.fast(tcp(SERVER, client(0), ACK)) is None


def test_kernel_sweeps_by_itself_once_told_to(tc: Duel) -> None:
    tc.serve(IPV4.service(SERVER))
    for number in range(20):
        shake(tc, number)
    entries = list(tc.path.connections)
    for entry in entries[:15]:
        tc.path.connections.touch(entry.slot, 0.001)
    tc.path.connections.keep_sweeping()
    wait_until(lambda: len(tc.path.connections) == 5, 20.0)
    assert {entry.slot for entry in tc.path.connections} == {entry.slot for entry in entries[15:]}


def test_whole_life_of_a_connection_is_told_in_order(tc: Duel) -> None:
    tc.serve(IPV4.service(SERVER))
    tc.path.want(ALL)
    shake(tc, 0)
    for flags in (FIN | ACK, ACK):
        tc.fast(tcp(client(0), VIP, flags))
    assert tc.path.connections.close(client_key(tcp(SERVER, client(0), ACK)))
    assert not tc.path.connections.close(client_key(tcp(SERVER, client(0), ACK)))
    tc.path.want(frozenset())
    shake(tc, 1)
    who = f"2:1024 at {SERVER}"
    assert told(tc) == [
        f"{who} OPENED", f"{who} NONE > SYN_RECV", f"{who} SYN_RECV > ESTABLISHED", f"{who} ESTABLISHED > CLOSE_WAIT",
        f"{who} CLOSED REMOVED",
    ]  # fmt: skip


def test_only_the_wanted_kinds_are_told(tc: Duel) -> None:
    tc.serve(IPV4.service(SERVER))
    tc.path.want(frozenset({EventKind.CLOSED}))
    shake(tc, 0)
    tc.path.flush()
    tc.path.want(frozenset())
    assert [EventKind(event.kind) for event in tc.path.events()] == [EventKind.CLOSED]


def test_events_that_nobody_reads_are_counted_as_lost(tc: Duel) -> None:
    tc.serve(IPV4.service(SERVER))
    tc.path.want(ALL)
    tc.path.events()
    before = tc.path.counters()[Counter.EVENTS_LOST]
    shake(tc, 0)
    for flags in (FIN | ACK, SYN) * 500:  # CLOSE_WAIT, SYN_RECV, TIME_WAIT, and so on with another connection
        tc.fast(tcp(client(0), VIP, flags))
    tc.path.want(frozenset())
    lost, read = tc.path.counters()[Counter.EVENTS_LOST] - before, len(tc.path.events())
    assert lost > 0 < read
    assert lost + read == 3 + 3 + 499 * 3 + 498


def test_flood_takes_nothing_from_established_connections(tc: Duel) -> None:
    tc.serve(IPV4.service(SERVER))
    evictions = tc.path.counters()[Counter.EVICTIONS]
    for number in range(100):
        shake(tc, number)
    flood = 3 * SMALL.connections
    for number in range(flood):
        assert tc.fast(tcp(f"198.51.{number // 200}.{number % 200}:7", VIP, SYN)) is not None
    table = list(tc.path.connections)
    assert len(table) == 100 + SMALL.embryos
    assert sum(1 for entry in table if Flag.ASSURED in entry.flags) == 100
    assert tc.path.counters()[Counter.EVICTIONS] - evictions == flood - SMALL.embryos
    for number in range(100):
        assert tc.fast(tcp(client(number), VIP, ACK | PSH, b"still here")) is not None
    load = tc.path.services.load(tc.services[0], tc.server(SERVER))
    assert (load.active, load.inactive, load.opened) == (100 + SMALL.embryos, 0, 100 + flood)


def test_full_table_leaves_new_connections_to_python(tc: Duel) -> None:
    tc.serve(IPV4.service(SERVER))
    full = tc.path.counters()[Counter.UP_FULL]
    for number in range(SMALL.connections):
        shake(tc, number)
    assert len(tc.path.connections) == SMALL.connections
    assert tc.fast(tcp(client(5000), VIP, SYN)) is None
    assert tc.path.counters()[Counter.UP_FULL] == full + 1
    assert tc.fast(tcp(client(0), VIP, ACK)) is not None
    assert tc.path.connections.close(client_key(tcp(client(0), VIP, ACK)))
    assert tc.fast(tcp(client(5000), VIP, SYN)) is not None


def test_lasting_stream_without_answers_is_assured(tc: Duel) -> None:
    tc.serve(IPV4.service(f"{IPV4.two}:514", port=514, protocol="udp"))
    datagram = udp(client(0), f"{IPV4.vip}:514", b"log")
    assert tc.fast(datagram) is not None
    (entry,) = tc.path.connections
    assert entry.flags == Flag(0)
    tc.path.connections.touch(entry.slot, entry.opened + 9.9)
    tc.path.connections.sweep(entry.opened + 9.9)
    assert next(iter(tc.path.connections)).flags == Flag(0)
    tc.path.connections.touch(entry.slot, entry.opened + 10.1)
    tc.path.connections.sweep(entry.opened + 10.1)
    assert next(iter(tc.path.connections)).flags == Flag.ASSURED


def test_connection_of_python_s_is_carried_once_handed_over(duel: Duel) -> None:
    service = duel.serve(IPV4.service(SERVER))
    duel.path.services.update(service, None)
    for packet in (tcp(client(0), VIP, SYN), tcp(SERVER, client(0), SYN | ACK), tcp(client(0), VIP, ACK)):
        assert duel.fast(packet) is None
        assert duel.slow(packet) is not None
    (connection,) = duel.scenario.connections
    assert duel.path.connections.open(connection) is Opened.YES
    assert duel.path.connections.open(connection) is Opened.TAKEN
    duel.both(tcp(client(0), VIP, FIN))
    duel.both(tcp(SERVER, client(0), ACK))
    duel.states()


def test_packets_of_a_slow_connection_go_up_and_are_noted(duel: Duel) -> None:
    service = duel.serve(IPV4.service(SERVER))
    duel.path.services.update(service, None)
    duel.slow(tcp(client(0), VIP, SYN))
    (connection,) = duel.scenario.connections
    assert duel.path.connections.open(connection, Flag.SLOW) is Opened.YES
    assert duel.fast(tcp(client(0), VIP, ACK)) is None
    assert duel.path.connections.note(connection.key, ACK, 60) == service.tracker.states.index("ESTABLISHED")
    assert duel.path.connections.note(connection.reply_key, FIN, 40) == service.tracker.states.index("FIN_WAIT")
    assert duel.path.connections.note(client_key(tcp(client(1), VIP, ACK)), FIN, 40) is None
    load = duel.path.services.load(service, service.real_servers[0])
    assert (load.packets, load.octets) == ((1, 1), (60, 40))


def test_connection_is_found_by_both_of_its_flows(tc: Duel) -> None:
    tc.serve(IPV4.service(SERVER))
    shake(tc, 0)
    (connection,) = tc.path.connections
    assert tc.path.connections.find(connection.key) == tc.path.connections.find(connection.reply_key) == connection
    assert (str(connection.virtual), str(connection.real)) == (VIP, SERVER)
    assert tc.path.connections.find(client_key(tcp(client(1), VIP, ACK))) is None
    assert abs(connection.last_seen - time.monotonic()) < 60


def test_two_processors_count_and_share_alike(ground: Ground) -> None:
    path = EbpfPath(dataclasses.replace(SMALL, connections=16_384))
    with contextlib.closing(path), Duel(ground, "tc") as duel:
        duel.path = path
        servers = (f"{IPV4.one}:1", f"{IPV4.one}:2", f"{IPV4.two}:3")
        service = duel.serve(IPV4.service(*servers))
        program = path.kernel.tc

        def connect(host: int) -> None:
            for port in range(2000, 7000):
                ends = f"202.100.1.{host}:{port}", VIP
                for flags in (SYN, ACK):
                    assert program.run(frame(tcp(*ends, flags)), context=skb())[0] == REDIRECT["tc"]

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(connect, (50, 51)))
        loads = [path.services.load(service, server) for server in service.real_servers]
        table = list(path.connections)
        assert len(table) == 16_384 // 4  # nobody answered: no more than those may wait
        assert sum(load.opened for load in loads) == 10_000
        assert all(abs(load.opened - 10_000 / 3) < 10_000 / 100 for load in loads)
        assert sum(load.active + load.inactive for load in loads) == len(table)
        assert sum(load.packets[0] for load in loads) == 20_000
        assert len({entry.key for entry in table}) == len(table)
        assert all(path.connections.close(entry.key) for entry in table)
        loads = [path.services.load(service, server) for server in service.real_servers]
        assert [(load.active, load.inactive) for load in loads] == [(0, 0)] * 3
