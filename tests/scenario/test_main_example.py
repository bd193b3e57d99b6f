"""The example of the documentation: two web servers, one of them an FTP server too, behind one address."""

from __future__ import annotations

from collections import Counter

from nat_lb.testing.packets import ACK, FIN, PSH, SYN
from nat_lb.testing.scenario import Scenario
from tests.scenario.nets import Net


def test_weights_one_and_two_share_thirty_connections_ten_to_twenty(net: Net) -> None:
    s = Scenario(net.example)
    for port in range(3000, 3030):
        s.client(f"{net.client}:{port}", f"{net.vip}:80").sends(SYN)
    chosen = Counter(str(connection.real) for connection in s.connections)
    assert chosen == {f"{net.one}:80": 10, f"{net.two}:8000": 20}


def test_whole_web_connection_shows_the_client_only_the_virtual_address(net: Net) -> None:
    s = Scenario(net.example)
    client = s.client(f"{net.client}:3000", f"{net.vip}:80")
    server = s.server(f"{net.two}:8000", f"{net.client}:3000")
    client.sends(SYN).expect_forwarded(dst=server.own)
    server.sends(SYN | ACK).expect_forwarded(src=client.other)
    client.sends(ACK).expect_forwarded(dst=server.own)
    client.sends(ACK | PSH, b"GET / HTTP/1.0\r\n\r\n").expect_forwarded(
        dst=server.own, payload=b"GET / HTTP/1.0\r\n\r\n"
    )
    server.sends(ACK | PSH, b"HTTP/1.0 200 OK\r\n\r\nodd").expect_forwarded(src=client.other, payload=b"\r\n\r\nodd")
    server.sends(FIN | ACK).expect_forwarded(src=client.other)
    client.sends(FIN | ACK).expect_forwarded(dst=server.own)
    server.sends(ACK).expect_forwarded(src=client.other)
    assert s.state(f"{net.client}:3000") == "TIME_WAIT"
    s.time(61)
    assert s.connections == []


def test_file_service_goes_to_the_second_server(net: Net) -> None:
    s = Scenario(net.example)
    s.client(f"{net.client}:3001", f"{net.vip}:21").sends(SYN).expect_forwarded(dst=f"{net.two}:21")
    s.server(f"{net.two}:21", f"{net.client}:3001").sends(SYN | ACK).expect_forwarded(src=f"{net.vip}:21")


def test_every_other_port_of_the_virtual_address_is_rejected(net: Net) -> None:
    s = Scenario(net.example)
    for port in (1, 20, 22, 79, 81, 443, 8000, 65535):
        s.client(f"{net.client}:3002", f"{net.vip}:{port}").sends(SYN).expect_reset("no-service")
    kind = (3, 3) if net.version == 4 else (1, 4)
    s.client(f"{net.client}:3002", f"{net.vip}:80").sends_datagram(b"x").expect_icmp(*kind, "no-service")
    assert s.connections == []


def test_packets_of_other_hosts_pass_as_they_are(net: Net) -> None:
    s = Scenario(net.example)
    s.client(f"{net.client}:3000", f"{net.router}:80").sends(SYN).expect_untouched()
    s.server(f"{net.two}:40000", f"{net.router}:443").sends(SYN).expect_untouched()


def test_both_directions_of_a_connection_are_counted_for_its_real_server(net: Net) -> None:
    s = Scenario(net.web)
    client, server = s.client(f"{net.client}:3000"), s.server(f"{net.one}:8000", f"{net.client}:3000")
    client.sends(SYN)
    server.sends(SYN | ACK)
    client.sends(ACK, b"12345")
    original, reply = s.connection(client.own).real_server.traffic
    header = 40 if net.version == 4 else 60
    assert (original.packets, original.octets) == (2, 2 * header + 5)
    assert (reply.packets, reply.octets) == (1, header)
