"""Virtual services and real servers: who may be chosen, what is found, what counts as one client."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from nat_lb.service import RealServer, ServiceTable, VirtualService
from nat_lb.testing.packets import endpoint
from nat_lb.trackers import Tcp, Udp


def service(where: str, *servers: str, udp: bool = False) -> VirtualService:
    tracker = Udp if udp else Tcp
    made = VirtualService("web", tracker, endpoint(where), tracker.seconds())
    for server in servers:
        made.add(RealServer(endpoint(server)))
    return made


def test_thresholds_set_and_clear_overload_with_a_gap_between() -> None:
    server = RealServer(endpoint("172.16.0.2:80"), 1, upper_threshold=4, lower_threshold=2)
    seen = []
    for change in (1, 1, 1, 1, -1, -1, -1, 1):
        server.count(change, 0)
        seen.append((server.connections, server.overloaded))
    assert seen == [(1, False), (2, False), (3, False), (4, True), (3, True), (2, True), (1, False), (2, False)]


@pytest.mark.parametrize(("upper", "lower"), [(4, 3), (100, 75), (1, 1), (0, 0)])
def test_lower_threshold_is_three_quarters_unless_it_is_given(upper: int, lower: int) -> None:
    assert RealServer(endpoint("172.16.0.2:80"), 1, upper).lower_threshold == lower


def test_inactive_connections_count_for_thresholds_too() -> None:
    server = RealServer(endpoint("172.16.0.2:80"), 1, 2)
    server.count(1, 1)
    assert server.overloaded


def test_new_thresholds_judge_the_load_anew() -> None:
    server = RealServer(endpoint("172.16.0.2:80"), 1, 2)
    server.count(3, 0)
    seen = []
    for upper in 10, 3, 0:
        server.configure(1, upper)
        seen.append(server.overloaded)
    assert seen == [False, True, False]


def test_quiesced_server_is_not_usable() -> None:
    assert not RealServer(endpoint("172.16.0.2:80"), 0).usable


def test_service_is_found_by_protocol_address_and_port_only() -> None:
    web, dns = service("202.103.106.5:80"), service("202.103.106.5:53", udp=True)
    found = ServiceTable([web, dns])
    address, port = endpoint("202.103.106.5:80").packed
    assert found.find(6, address, port) is web
    assert found.find(17, address, port) is None
    assert found.find(6, address, b"\0\x35") is None
    assert found.find(6, b"\xca\x67\x6a\x06", port) is None


def test_addresses_are_told_apart_and_listed_once_in_order() -> None:
    table = ServiceTable(
        [service("202.103.106.5:80", "172.16.0.3:80", "172.16.0.2:80"), service("202.103.106.5:21", "172.16.0.3:21")]
    )
    assert table.virtual_addresses == ["202.103.106.5"]
    assert table.real_addresses == ["172.16.0.3", "172.16.0.2"]
    vip, rip = ip_address("202.103.106.5").packed, ip_address("172.16.0.2").packed
    assert (table.is_virtual(vip), table.is_real(vip), table.is_virtual(rip), table.is_real(rip)) == (
        True,
        False,
        False,
        True,
    )


def test_real_server_is_found_by_its_endpoint() -> None:
    web = service("202.103.106.5:80", "172.16.0.3:8000")
    address, port = endpoint("172.16.0.3:8000").packed
    assert ServiceTable([web]).find_by_real(6, address, port) is web
    assert ServiceTable([web]).find_by_real(6, address, b"\0\x50") is None


def test_replaced_services_are_gone_in_every_view() -> None:
    table = ServiceTable([service("202.103.106.5:80", "172.16.0.3:80")])
    new = service("202.103.106.6:81", "172.16.0.4:81")
    table.replace([new])
    assert (list(table), table.virtual_addresses, table.real_addresses) == ([new], ["202.103.106.6"], ["172.16.0.4"])
    assert table.find_by_real(6, *endpoint("172.16.0.3:80").packed) is None


@pytest.mark.parametrize(
    ("client", "netmask", "network"),
    [
        ("10.1.2.3", 32, "10.1.2.3"),
        ("10.1.2.3", 24, "10.1.2.0"),
        ("10.1.2.255", 25, "10.1.2.128"),
        ("10.1.2.3", 1, "0.0.0.0"),
    ],
)
def test_netmask_says_which_clients_are_one(client: str, netmask: int, network: str) -> None:
    web = service("202.103.106.5:80")
    web.netmask = netmask
    assert web.client_network(ip_address(client)) == ip_address(network).packed


def test_servers_and_services_show_themselves_readably() -> None:
    web = service("202.103.106.5:80", "172.16.0.3:8000")
    assert (str(web), repr(web)) == ("web", "VirtualService(web, tcp 202.103.106.5:80)")
    assert (str(web.real_servers[0]), repr(web.real_servers[0])) == (
        "172.16.0.3:8000",
        "RealServer(172.16.0.3:8000, weight=1)",
    )
