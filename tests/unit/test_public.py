"""Public endpoints: one real endpoint each, for one client or for any, as long as somebody uses them."""

from __future__ import annotations

import pytest

from nat_lb.connection import Connection
from nat_lb.flow import Endpoint, FlowKey
from nat_lb.nat import Binding, Traffic
from nat_lb.public import PublicEndpoints, scope
from nat_lb.service import RealServer, ServiceTable, VirtualService
from nat_lb.testing.packets import endpoint
from nat_lb.trackers import Udp

CLIENT, VIRTUAL, REAL, OTHER = map(
    endpoint, ("202.100.1.2:4000", "202.103.106.5:5000", "172.16.0.3:5000", "172.16.0.4:5000")
)
ITS, ANYBODYS = scope(17, CLIENT.address), scope(17, None)
STRANGERS = scope(17, endpoint("202.100.9.9:1").address)
SERVICE = VirtualService("dns", Udp, VIRTUAL._replace(port=53), Udp.seconds())


@pytest.fixture
def public() -> PublicEndpoints:
    return PublicEndpoints(ServiceTable([SERVICE]))


def opened(virtual: Endpoint = VIRTUAL, real: Endpoint = REAL) -> Connection:
    binding = Binding(Udp, virtual, real, (Traffic(), Traffic()))
    return Connection(FlowKey(17, CLIENT, virtual).to_bytes(), SERVICE, RealServer(real), binding, 0, 0.0)


def test_unused_endpoint_is_free_unless_a_service_has_it(public: PublicEndpoints) -> None:
    assert public.is_free(ITS, VIRTUAL, REAL)
    assert not public.is_free(ITS, VIRTUAL._replace(port=53), REAL)


def test_used_endpoint_is_free_for_the_same_real_endpoint_and_for_other_clients(public: PublicEndpoints) -> None:
    public.expect(ITS, VIRTUAL, REAL)
    assert [public.is_free(ITS, VIRTUAL, real) for real in (REAL, OTHER)] == [True, False]
    assert public.is_free(STRANGERS, VIRTUAL, OTHER)


def test_what_any_client_may_use_and_what_one_may_use_exclude_each_other(public: PublicEndpoints) -> None:
    public.expect(ITS, VIRTUAL, REAL)
    assert not public.is_free(ANYBODYS, VIRTUAL, OTHER)
    public.expect_no_more(ITS, VIRTUAL)
    public.expect(ANYBODYS, VIRTUAL, REAL)
    assert [public.is_free(ITS, VIRTUAL, real) for real in (REAL, OTHER)] == [True, False]


def test_endpoint_is_in_use_until_the_last_user_leaves(public: PublicEndpoints) -> None:
    connection = opened()
    public.expect(ITS, VIRTUAL, REAL)
    public.expect(ITS, VIRTUAL, REAL)
    public.connect(ITS, connection)
    for _ in range(2):
        public.expect_no_more(ITS, VIRTUAL)
        assert not public.is_free(ITS, VIRTUAL, OTHER)
    public.disconnect(ITS, connection)
    assert public.is_free(ITS, VIRTUAL, OTHER)
    assert public.of(17, CLIENT.address, REAL) is None


def test_real_endpoint_is_found_by_its_client_first_and_then_by_any(public: PublicEndpoints) -> None:
    public.expect(ANYBODYS, VIRTUAL, REAL)
    assert public.of(17, CLIENT.address, REAL) == (ANYBODYS, VIRTUAL)
    assert public.own(ITS, REAL) is None
    mine = VIRTUAL._replace(port=5002)
    public.expect(ITS, mine, REAL)
    assert public.of(17, CLIENT.address, REAL) == (ITS, mine)
    assert public.own(ITS, REAL) == mine


def test_connections_at_an_endpoint_are_listed(public: PublicEndpoints) -> None:
    first, second = opened(), opened()
    public.connect(ITS, first)
    public.connect(ITS, second)
    assert public.connections(ITS, VIRTUAL) == [first, second]
    public.disconnect(ITS, first)
    assert (public.connections(ITS, VIRTUAL), public.connections(STRANGERS, VIRTUAL)) == ([second], [])


def test_real_server_is_known_as_its_service_at_the_same_virtual_address() -> None:
    elsewhere = VirtualService("elsewhere", Udp, endpoint("202.103.106.6:53"), Udp.seconds())
    here = VirtualService("here", Udp, VIRTUAL._replace(port=53), Udp.seconds())
    for service, real in ((elsewhere, REAL), (elsewhere, OTHER), (here, REAL)):
        service.add(RealServer(real))
    public = PublicEndpoints(ServiceTable([elsewhere, here]))
    assert public.known_as(17, VIRTUAL.address, REAL) == VIRTUAL._replace(port=53)
    nobodys = (OTHER, REAL._replace(port=80), CLIENT)
    assert [public.known_as(17, VIRTUAL.address, real) for real in nobodys] == [None] * 3
    assert public.known_as(6, VIRTUAL.address, REAL) is None
