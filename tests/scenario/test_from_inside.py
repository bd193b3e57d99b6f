"""Real servers that speak first: where a helper wants that, their packets open connections to whom they are for."""

from __future__ import annotations

import pytest

from nat_lb.testing.scenario import Scenario
from tests.little_plugins import Shelf
from tests.scenario.nets import Net

PLUGIN = """
class Post(Helper):
    name = "post"
    protocol = "udp"
    opens_from_inside = True

    def rewrite(self, message):
        return [Edit(0, 5, b"HELLO")] if message.data == b"hello" else ()


@hookimpl
def nat_lb_register_helpers():
    return [Post]
"""


def post(net: Net, helpers: str = 'helpers = ["post"]') -> str:
    return net.service("post", 7000, f"{net.one}:7001 1", f"{net.two}:7001 1", protocol="udp", more=helpers)


@pytest.fixture
def s(shelf: Shelf, net: Net) -> Scenario:
    shelf.install("post", PLUGIN)
    return Scenario(post(net), shelf.registry(), staged=True)


def test_datagram_of_a_real_server_opens_a_connection_to_whom_it_is_for(s: Scenario, net: Net) -> None:
    server = s.server(f"{net.two}:7001", f"{net.client}:9000")
    server.sends_datagram(b"hello").expect_forwarded(src=f"{net.vip}:7000", payload=b"HELLO")
    s.client(f"{net.client}:9000").sends_datagram(b"yes").expect_forwarded(dst=f"{net.two}:7001")
    [connection] = s.connections
    assert (str(connection.client), str(connection.virtual)) == (f"{net.client}:9000", f"{net.vip}:7000")
    assert connection.real_server.connections == 1
    s.time(301)
    assert s.connections == []


def test_two_real_servers_speak_to_one_peer_from_ports_of_their_own(shelf: Shelf, net: Net) -> None:
    shelf.install("post", PLUGIN)
    taken = net.service("taken", 7001, f"{net.one}:53 1", protocol="udp")
    s = Scenario(post(net) + taken, shelf.registry(), staged=True)
    for server, seen_from in ((net.one, 7000), (net.two, 7002)):
        public = f"{net.vip}:{seen_from}"
        s.server(f"{server}:7001", f"{net.client}:9000").sends_datagram(b"a").expect_forwarded(src=public)
        answer = s.client(f"{net.client}:9000", public).sends_datagram(b"b")
        answer.expect_forwarded(dst=f"{server}:7001")
    s.server(f"{net.two}:7001", f"{net.router}:9000").sends_datagram(b"c").expect_forwarded(src=f"{net.vip}:7000")


def test_only_packets_from_the_endpoint_of_a_real_server_open_connections(s: Scenario, net: Net) -> None:
    s.server(f"{net.two}:7002", f"{net.client}:9000").sends_datagram().expect_untouched()
    s.client(f"{net.two}:7001", f"{net.client}:9000").sends_datagram().expect_untouched()  # before routing
    assert s.connections == []


def test_real_server_that_speaks_first_is_refused_where_no_helper_wants_it(shelf: Shelf, net: Net) -> None:
    shelf.install("post", PLUGIN)
    s = Scenario(post(net, ""), shelf.registry())
    server = s.server(f"{net.two}:7001", f"{net.client}:9000")
    server.sends_datagram(b"hello").expect_dropped("reply-without-connection")
    s.reload(post(net))
    server.sends_datagram(b"hello").expect_forwarded(src=f"{net.vip}:7000")
    s.reload(post(net, ""))
    s.time(301)
    server.sends_datagram(b"hello").expect_dropped("reply-without-connection")


def test_full_table_has_no_room_for_those_from_inside_either(s: Scenario, net: Net) -> None:
    s.director.lifecycle.connections.limit = 0
    s.server(f"{net.one}:7001", f"{net.client}:9000").sends_datagram(b"hello").expect_dropped("table-full")
