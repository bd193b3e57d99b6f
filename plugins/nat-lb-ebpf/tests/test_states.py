"""Every state of TCP's tracker and every event, in both directions: the kernel's table is Python's."""

from __future__ import annotations

import pytest

from nat_lb.api import Direction
from nat_lb.testing.packets import ACK, FIN, RST, SYN, tcp
from nat_lb_ebpf import Flag, Opened
from nat_lb_ebpf.plans import compile_tracker

from .duel import Duel
from .nets import IPV4

OCTETS = {"syn": SYN, "syn+ack": SYN | ACK, "fin": FIN | ACK, "ack": ACK, "rst": RST | ACK, "none": 0}
CLIENT, SERVER = f"{IPV4.client}:4000", f"{IPV4.one}:8000"


def in_state(duel: Duel, number: int) -> None:
    """Give both a connection in a state."""
    lifecycle = duel.scenario.director.lifecycle
    service, server = duel.services[0], duel.services[0].real_servers[0]
    key = tcp(CLIENT, f"{IPV4.vip}:80", SYN)
    connection = lifecycle.open(service, server, key[9:10] + key[12:24], duel.scenario.now)
    assert connection is not None
    lifecycle.change_state(connection, number, duel.scenario.now)
    assert duel.path.connections.open(connection, Flag(0)) is Opened.YES


@pytest.mark.live
@pytest.mark.parametrize("direction", list(Direction), ids=lambda direction: direction.name.lower())
@pytest.mark.parametrize("event", OCTETS)
def test_every_state_moves_on_as_in_python(event: str, direction: Direction, duel: Duel) -> None:
    service = duel.serve(IPV4.service(f"{IPV4.one}:8000"))
    packet = (
        tcp(CLIENT, f"{IPV4.vip}:80", OCTETS[event])
        if direction is Direction.ORIGINAL
        else tcp(SERVER, CLIENT, OCTETS[event])
    )
    for number in range(len(service.tracker.states)):
        duel.path.flush()
        duel.serve(IPV4.service(f"{IPV4.one}:8000"))
        in_state(duel, number)
        duel.both(packet)
        duel.states()
        duel.loads()


@pytest.mark.live
def test_tracker_of_datagrams_stays_in_its_state(duel: Duel) -> None:
    service = duel.serve(IPV4.service(f"{IPV4.one}:5353", port=53, protocol="udp"))
    compiled = compile_tracker(service.tracker)
    assert compiled is not None
    assert {compiled.next[way][0][0] for way in Direction} == {0}
    assert compiled.active == compiled.opening == 1


def test_tracker_with_its_octet_elsewhere_stays_python_s() -> None:
    from nat_lb.testing.installed import registry

    tcp_tracker = registry().trackers["tcp"]
    odd = type("Odd", (tcp_tracker,), {"name": "odd", "event_at": 12})
    many = type("Many", (tcp_tracker,), {"name": "many", "states": tuple(f"S{n}" for n in range(17))})
    assert compile_tracker(odd) is None
    assert compile_tracker(many) is None
    assert compile_tracker(tcp_tracker) is not None
