"""Tables that are full: whose number is given away, whose slots, and whose never."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from nat_lb.api import Cycle, VirtualService
from nat_lb.testing.packets import ACK, SYN, tcp
from nat_lb_ebpf import EbpfPath, FastPathFault
from nat_lb_ebpf.plugin import pins_of_this_namespace

from .duel import SMALL, Duel, Ground
from .nets import IPV4

pytestmark = pytest.mark.live
A, B, C = f"{IPV4.one}:1", f"{IPV4.two}:2", f"{IPV4.one}:3"
WEB, MAIL = f"{IPV4.vip}:80", f"{IPV4.vip}:25"
CLIENT = f"{IPV4.client}:1024"
PORTS = count(2000)


@pytest.fixture
def room(ground: Ground) -> Iterator[Callable[..., Duel]]:
    """Make a duel whose kernel has little room."""
    with contextlib.ExitStack() as stack:

        def make(**sizes: int) -> Duel:
            path = EbpfPath(dataclasses.replace(SMALL, **sizes))
            stack.callback(path.close)
            duel = stack.enter_context(Duel(ground, "tc"))
            duel.path = path
            return duel

        yield make


def reload(duel: Duel, toml: str) -> list[VirtualService]:
    """Put other services in force as a director does."""
    duel.scenario.reload(toml)
    for service in duel.services:
        duel.path.services.update(service, service.scheduler.present_plan if service.scheduler else None)
    return duel.services


def chosen(duel: Duel, virtual: str) -> str | None:
    """Return the real server to which the kernel sends another connection, None if it leaves that to Python."""
    sent = duel.fast(tcp(f"{IPV4.client}:{next(PORTS)}", virtual, SYN))
    return f"{'.'.join(map(str, sent[16:20]))}:{int.from_bytes(sent[22:24], 'big')}" if sent else None


def test_server_that_left_makes_room_for_the_one_in_its_place(room: Callable[..., Duel]) -> None:
    tight = room(servers=2)
    tight.serve(IPV4.service(A, B))
    reload(tight, IPV4.service(A, C))
    assert {chosen(tight, WEB) for _ in range(4)} == {A, C}


def test_server_that_left_keeps_its_number_while_a_connection_lives(room: Callable[..., Duel]) -> None:
    tight = room(servers=1)
    tight.serve(IPV4.service(A))
    assert tight.fast(tcp(CLIENT, WEB, SYN)) is not None
    with pytest.raises(FastPathFault, match="more than 1 real servers"):
        reload(tight, IPV4.service(B))
    assert tight.fast(tcp(CLIENT, WEB, ACK)) is not None


def test_quiesced_server_does_not_lose_its_number_to_another_service(room: Callable[..., Duel]) -> None:
    tight = room(servers=2)
    tight.serve(IPV4.service(A, f"{B} 0"))
    with pytest.raises(FastPathFault, match="more than 2 real servers"):
        reload(tight, IPV4.service(A, f"{B} 0") + IPV4.service(C, port=25))
    assert tight.path.services.load(tight.services[0], tight.server(B)).opened == 0
    assert {chosen(tight, WEB) for _ in range(4)} == {A}


def test_process_that_takes_over_knows_whose_the_numbers_are(ground: Ground) -> None:
    quiesced, others = IPV4.service(f"{B} 0"), IPV4.service(A, C, port=25)
    pins, sizes = pins_of_this_namespace(), dataclasses.replace(SMALL, servers=2)
    try:
        with contextlib.closing(EbpfPath(sizes, pins)) as path:
            duel = Duel(ground, "tc")
            duel.path = path
            duel.serve(quiesced)
        with contextlib.closing(EbpfPath(sizes, pins)) as path:
            duel.path = path
            with pytest.raises(FastPathFault, match="more than 2 real servers"):
                duel.serve(others)
            path.services.forget(next(iter(path.services)))
            duel.serve(others)
    finally:
        shutil.rmtree(pins)


def test_plan_that_finds_no_room_takes_nobody_else_s(room: Callable[..., Duel]) -> None:
    tight = room(slots=6)
    tight.serve(IPV4.service(A) + IPV4.service(C, port=25), lambda view: None)
    web, mail = tight.services
    put = tight.path.services.set_plan
    few, many = Cycle([tight.server(A, web)] * 3), Cycle([tight.server(A, web)] * 7)
    assert put(web, few) and put(web, few) and not put(web, many)
    assert chosen(tight, WEB) is None
    assert put(mail, Cycle([tight.server(C, mail)] * 3))
    for _ in range(2):
        put(web, few)
        assert {chosen(tight, MAIL) for _ in range(3)} == {C}
