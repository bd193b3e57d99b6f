"""ICMP through the director: path-MTU discovery in both directions, echo, and packets at the end of their time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, IPerror, TCPerror
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6TimeExceeded, IPerror6, IPv6
from scapy.packet import Packet

from nat_lb.testing import packets
from nat_lb.testing.lab import Lab
from nat_lb.testing.packets import ACK, PSH, SYN
from tests.live.ground import Family, Site, curl, probe, select, watched

MTU = 1300
MSS_1460 = bytes.fromhex("020405b4")
TOO_BIG = "(icmp.type == 3 && icmp.code == 4) || icmpv6.type == 2"


def web(family: Family) -> str:
    return family.service("web", 80, servers="1:80")


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def family(request: pytest.FixtureRequest) -> Family:
    return Family(request.param)


@pytest.fixture
def site(lab: Lab, family: Family) -> Iterator[Site]:
    with Site(lab.servers[0]) as site:
        lab.start_director(web(family))
        yield site


def narrow(lab: Lab, device: str) -> None:
    """Lower the MTU of one of the director's devices, unknown to the hosts of that segment."""
    lab.director.run(["ip", "link", "set", device, "mtu", str(MTU)], check=True)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def quoted_addresses(pcap: Path, family: Family) -> list[tuple[set[str], str]]:
    """Return of each too-big message all addresses, outside and quoted, and the MTU that it tells."""
    kind = "ip" if family.version == 4 else "ipv6"
    mtu = "icmp.mtu" if family.version == 4 else "icmpv6.mtu"
    lines = select(pcap, TOO_BIG, f"{kind}.src", f"{kind}.dst", mtu)
    rows = [line.split("\t") for line in lines]
    return [({*row[0].split(","), *row[1].split(",")}, row[2]) for row in rows]


def test_upload_finds_the_narrow_segment_of_the_real_servers(
    lab: Lab, site: Site, family: Family, tmp_path: Path
) -> None:
    narrow(lab, "inside")
    (tmp_path / "up.bin").write_bytes(os.urandom(1_000_000))
    with watched(lab) as legs:
        curl(lab.client, "--fail", "-T", tmp_path / "up.bin", family.url("/up.bin"), check=True)
    assert digest((site.root / "up.bin").read_bytes()) == digest((tmp_path / "up.bin").read_bytes())
    told = quoted_addresses(legs.client, family)
    assert told, "the client was told that its packets are too big"
    assert all(mtu == str(MTU) for _, mtu in told)
    assert all(addresses == {family.vip, family.of(lab.client)} for addresses, _ in told)
    assert max(map(int, select(legs.servers[0], f"tcp.dstport == 80 && !({TOO_BIG})", "tcp.len"))) <= MTU - 40


def test_download_finds_the_narrow_segment_of_the_client(lab: Lab, site: Site, family: Family) -> None:
    narrow(lab, "outside")
    content = os.urandom(1_000_000)
    (site.root / "down.bin").write_bytes(content)
    target = lab.directory / "down.bin"
    with watched(lab) as legs:
        curl(lab.client, "-o", target, family.url("/down.bin"), check=True)
    assert digest(target.read_bytes()) == digest(content)
    told = quoted_addresses(legs.servers[0], family)
    assert told, "the real server was told that its packets are too big"
    assert all({family.of(lab.servers[0]), family.of(lab.client)} <= addresses for addresses, _ in told)
    assert all(family.vip not in addresses for addresses, _ in told)


@pytest.fixture
def deaf(lab: Lab, family: Family) -> None:
    """A client whose kernel does not reset the connections that a test makes by hand."""
    program = "iptables" if family.version == 4 else "ip6tables"
    rule = ["OUTPUT", "-p", "tcp", "--tcp-flags", "RST", "RST", "-j", "DROP"]
    lab.client.run([program, "-A", *rule], check=True)


@pytest.mark.usefixtures("deaf")
def test_router_beyond_the_director_is_heard_by_the_real_server(lab: Lab, site: Site, family: Family) -> None:
    (site.root / "down.bin").write_bytes(bytes(500_000))
    own, virtual = family.at(family.of(lab.client), 4100), family.at(family.vip, 80)
    [answer] = probe(lab.client, [packets.tcp(own, virtual, SYN, seq=1, options=MSS_1460)])
    ack = dissect(answer)[TCP].seq + 1
    request = packets.tcp(own, virtual, PSH | ACK, b"GET /down.bin HTTP/1.0\r\n\r\n", seq=2, ack=ack)
    large = next(packet for packet in probe(lab.client, [request], count=8) if len(packet) > MTU)
    size = 28 if family.version == 4 else 60  # the least that is quoted: header and eight octets (RFC 792)
    kind = (3, 4) if family.version == 4 else (2, 0)
    error = packets.icmp_error(family.of(lab.client), family.vip, kind, large[:size], value=MTU)
    with watched(lab) as legs:
        assert probe(lab.client, [error], longest=MTU), "sent again, in smaller pieces"
    told = quoted_addresses(legs.servers[0], family)
    assert told[0] == ({family.of(lab.servers[0]), family.of(lab.client)}, str(MTU))
    sizes = {int(size) for size in select(legs.client, f"tcp.srcport == 80 && !({TOO_BIG})", "tcp.len")}
    assert MTU - (40 if family.version == 4 else 60) in sizes


def dissect(packet: bytes) -> Packet:
    return IP(packet) if packet[0] >> 4 == 4 else IPv6(packet)


@pytest.mark.usefixtures("site")
def test_echo_to_the_vip_is_answered_by_the_director(lab: Lab, family: Family) -> None:
    [answer] = probe(lab.client, [packets.echo(family.of(lab.client), family.vip, b"anybody there?")])
    reply = dissect(answer)
    assert (reply.src, reply.dst) == (family.vip, family.of(lab.client))
    assert reply[ICMP].type == 0 if family.version == 4 else ICMPv6EchoReply in reply
    assert bytes(reply).endswith(b"anybody there?")


@pytest.mark.usefixtures("site")
def test_last_hop_is_the_vip_and_one_more_reaches_the_server(lab: Lab, family: Family) -> None:
    own, virtual = family.at(family.of(lab.client), 4101), family.at(family.vip, 80)
    syn = packets.tcp(own, virtual, SYN, seq=1)
    with watched(lab):
        [late, reply] = [probe(lab.client, [packets.with_hops(syn, hops)])[0] for hops in (1, 2)]
    error = dissect(late)
    assert error.src == family.vip
    if family.version == 4:
        assert (error[ICMP].type, error[IPerror].dst, error[TCPerror].dport) == (11, family.vip, 80)
    else:
        assert (error[ICMPv6TimeExceeded].code, error[IPerror6].dst) == (0, family.vip)
    assert (dissect(reply).src, str(dissect(reply)[TCP].flags)) == (family.vip, "SA")


def test_error_about_an_unknown_connection_goes_nowhere(lab: Lab, site: Site, family: Family) -> None:
    """An error about a connection that nobody has shows nothing and disturbs nobody."""
    (site.root / "small.txt").write_text("here\n")
    own, virtual = family.at(family.of(lab.client), 4102), family.at(family.vip, 80)
    kind = (3, 4) if family.version == 4 else (2, 0)
    error = packets.icmp_error(family.of(lab.client), family.vip, kind, packets.tcp(virtual, own, SYN), value=MTU)
    with watched(lab) as legs:
        assert probe(lab.client, [error], seconds=0.2) == []
        assert curl(lab.client, family.url("/small.txt"), check=True).stdout == "here\n"
    assert quoted_addresses(legs.servers[0], family) == []
