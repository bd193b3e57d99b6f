"""What the director refuses, and how: at once, from the VIP, and showing nothing of the inside."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scapy.layers.inet import ICMP, IP, TCP, IPerror, UDPerror
from scapy.layers.inet6 import ICMPv6DestUnreach, IPerror6, IPv6
from scapy.packet import Packet

from nat_lb.testing import packets
from nat_lb.testing.lab import Host, Lab, RunningDirector
from nat_lb.testing.packets import ACK, FIN, PSH, RST, SYN
from nat_lb.testing.servers import Nginx
from tests.live.ground import (
    Family,
    both_families,
    curl,
    fetch,
    no_syn_sent_again,
    of_both,
    probe,
    reload,
    select,
    watched,
)

REFUSED = 7  # curl's exit status; 28 is a timeout
KNOCK = """
import socket, sys
address, port, kind = sys.argv[1], int(sys.argv[2]), getattr(socket, sys.argv[3])
client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
client.settimeout(float(sys.argv[4]))
try:
    client.connect((address, port))
    client.send(b"knock")
    client.recv(1)
    print("answered")
except OSError as error:
    print(type(error).__name__)
"""


def services(family: Family) -> str:
    web = family.service("web", 80, servers="1:80 2:80")
    nobody = family.service("nobody", 81, servers="1:80*0 2:80*0")
    nothing = family.service("nothing", 82, servers="")
    dead = family.service("dead", 83, servers="1:9999")
    quiesced = family.service("quiesced", 84, servers="1:80*0 2:80*1")
    datagrams = [family.service("dns", 53, servers="", protocol="udp")]
    datagrams.append(family.service("mdns", 5353, servers="1:5353", protocol="udp"))
    return "\n".join([web, nobody, nothing, dead, quiesced, *datagrams])


def configuration(*lines: str) -> str:
    return "\n".join(["[director]", *lines, of_both(services)])


@pytest.fixture(scope="module")
def running(shared_lab: Lab) -> Iterator[RunningDirector]:
    with Nginx(shared_lab.servers[0]), Nginx(shared_lab.servers[1]), watched(shared_lab):
        yield shared_lab.start_director(configuration())


@pytest.fixture
def director(running: RunningDirector) -> Iterator[RunningDirector]:
    """The director of the module, with its own configuration again after the test."""
    yield running
    reload(running, configuration())


def knock(host: Host, family: Family, port: int, kind: str, seconds: float = 20.0) -> str:
    return host.python(KNOCK, family.vip, str(port), kind, str(seconds), check=True).stdout.strip()


def refused_at_once(lab: Lab, family: Family, port: int) -> None:
    with no_syn_sent_again(lab.client):
        assert curl(lab.client, family.url(port=port)).returncode == REFUSED


def dissect(packet: bytes) -> Packet:
    return IP(packet) if packet[0] >> 4 == 4 else IPv6(packet)


def segment(lab: Lab, family: Family, flags: int, *, port: int = 80, own: int = 4000) -> bytes:
    client = family.at(family.of(lab.client), own)
    return packets.tcp(client, family.at(family.vip, port), flags, b"data" if flags & PSH else b"", seq=7000, ack=9000)


@both_families
@pytest.mark.usefixtures("running")
def test_other_tcp_port_is_reset_at_once(shared_lab: Lab, family: Family) -> None:
    refused_at_once(shared_lab, family, 8080)
    [answer] = probe(shared_lab.client, [segment(shared_lab, family, SYN, port=8080)])
    reset = dissect(answer)
    assert (reset.src, reset[TCP].sport, str(reset[TCP].flags)) == (family.vip, 8080, "RA")
    assert reset[TCP].ack == 7001


@both_families
@pytest.mark.usefixtures("running")
def test_other_udp_port_is_unreachable_at_once(shared_lab: Lab, family: Family) -> None:
    assert knock(shared_lab.client, family, 9, "SOCK_DGRAM") == "ConnectionRefusedError"
    own = family.at(family.of(shared_lab.client), 4001)
    [answer] = probe(shared_lab.client, [packets.udp(own, family.at(family.vip, 9), b"knock")])
    error = dissect(answer)
    assert error.src == family.vip
    if family.version == 4:
        assert (error[ICMP].type, error[ICMP].code, error[IPerror].dst) == (3, 3, family.vip)
        assert error[UDPerror].dport == 9
    else:
        assert (error[ICMPv6DestUnreach].code, error[IPerror6].dst) == (4, family.vip)


@both_families
@pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_DGRAM"])
def test_other_ports_can_be_dropped(shared_lab: Lab, director: RunningDirector, kind: str, family: Family) -> None:
    reload(director, configuration('other_ports = "drop"'))
    assert knock(shared_lab.client, family, 8080, kind, 0.5) == "TimeoutError"


@both_families
def test_other_ports_can_be_left_to_the_director_itself(
    shared_lab: Lab, director: RunningDirector, family: Family
) -> None:
    reload(director, configuration('other_ports = "accept"'))
    with Nginx(shared_lab.director, 8081, name="the director itself"):
        assert fetch(shared_lab, family, port=8081) == "the director itself\n"
    refused_at_once(shared_lab, family, 8081)


@both_families
@pytest.mark.usefixtures("running")
@pytest.mark.parametrize("flags", [ACK, PSH | ACK, FIN | ACK, SYN | ACK], ids=["ACK", "PSH-ACK", "FIN-ACK", "SYN-ACK"])
def test_segment_without_connection_is_reset(shared_lab: Lab, flags: int, family: Family) -> None:
    [answer] = probe(shared_lab.client, [segment(shared_lab, family, flags)])
    reset = dissect(answer)
    assert (reset.src, reset[TCP].sport, str(reset[TCP].flags), reset[TCP].seq) == (family.vip, 80, "R", 9000)


@both_families
@pytest.mark.usefixtures("running")
def test_reset_without_connection_is_not_answered(shared_lab: Lab, family: Family) -> None:
    assert probe(shared_lab.client, [segment(shared_lab, family, RST | ACK)], seconds=0.3) == []


@both_families
@pytest.mark.usefixtures("running")
@pytest.mark.parametrize("port", [81, 82], ids=["all-quiesced", "none-configured"])
def test_service_without_usable_server_is_unreachable_at_once(shared_lab: Lab, port: int, family: Family) -> None:
    refused_at_once(shared_lab, family, port)
    [answer] = probe(shared_lab.client, [segment(shared_lab, family, SYN, port=port, own=4002)])
    error = dissect(answer)
    assert error.src == family.vip
    kind = (error[ICMP].type, error[ICMP].code) if family.version == 4 else (error.type, error.code)
    assert kind == ((3, 3) if family.version == 4 else (1, 4))


@both_families
@pytest.mark.usefixtures("running")
def test_udp_service_without_server_is_unreachable_at_once(shared_lab: Lab, family: Family) -> None:
    assert knock(shared_lab.client, family, 53, "SOCK_DGRAM") == "ConnectionRefusedError"


@both_families
@pytest.mark.usefixtures("running")
def test_real_server_that_refuses_is_heard_as_the_vip(shared_lab: Lab, family: Family) -> None:
    refused_at_once(shared_lab, family, 83)
    [answer] = probe(shared_lab.client, [segment(shared_lab, family, SYN, port=83, own=4003)])
    reset = dissect(answer)
    assert (reset.src, reset[TCP].sport, str(reset[TCP].flags), reset[TCP].ack) == (family.vip, 83, "RA", 7001)


@both_families
@pytest.mark.usefixtures("running")
def test_quiesced_server_gets_no_new_connection(shared_lab: Lab, family: Family) -> None:
    assert [fetch(shared_lab, family, port=84) for _ in range(4)] == ["server2\n"] * 4


ASKED_BY_NOBODY = "tcp.port == 4004 || udp.port == 4004"


def unexpected(lab: Lab, family: Family) -> list[bytes]:
    """What a real server sends from a service's port, although nobody asked."""
    server, client = family.of(lab.servers[0]), family.at(family.of(lab.client), 4004)
    segment = packets.tcp(family.at(server, 80), client, SYN | ACK, seq=1, ack=2)
    return [packets.udp(family.at(server, 5353), client, b"leak"), segment]


@both_families
def test_reply_without_connection_does_not_leak(shared_lab: Lab, director: RunningDirector, family: Family) -> None:
    with watched(shared_lab) as legs:  # which fails if the client sees an address of the inside
        assert probe(shared_lab.servers[0], unexpected(shared_lab, family), seconds=0.3) == []
    assert select(legs.client, ASKED_BY_NOBODY) == []
    assert len(select(legs.servers[0], ASKED_BY_NOBODY)) == 2, "the real server did send them"
    reload(director, configuration('orphan_replies = "reject"'))
    with watched(shared_lab) as legs:
        [error, reset] = probe(shared_lab.servers[0], unexpected(shared_lab, family), count=2)
    assert select(legs.client, ASKED_BY_NOBODY) == []
    assert dissect(error).src == family.of(shared_lab.client)
    assert str(dissect(reset)[TCP].flags) == "R"
