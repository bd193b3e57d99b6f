"""A flood of what is no sensible packet, from outside and inside: the director lives, answers and logs no error."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6

from nat_lb.testing import packets
from nat_lb.testing.lab import Host, Lab, RunningDirector
from nat_lb.testing.packets import ACK, PSH, SYN
from nat_lb.testing.servers import Dnsmasq, Nginx, Vsftpd
from tests.live.ground import Family, both_families, curl, fetch, of_both, probe

PROTOCOLS = (6, 6, 6, 17, 17, 1, 58, 0, 43, 44, 60, 132, 255)
COUNT = 3000


def services(family: Family) -> str:
    web = family.service("web", 80, servers="1:80 2:80")
    dns = family.service("dns", 53, servers="1:53", protocol="udp")
    return web + dns + family.service("files", 21, ['helpers = ["ftp"]'], servers="1:21")


@pytest.fixture(scope="module")
def director(shared_lab: Lab) -> Iterator[RunningDirector]:
    one, other = shared_lab.servers
    with Nginx(one), Nginx(other), Vsftpd(one), Dnsmasq(one):
        yield shared_lab.start_director(of_both(services))


def header(family: Family, source: str, destination: str, protocol: int, body: bytes) -> bytes:
    if family.version == 4:
        return bytes(IP(src=source, dst=destination, proto=protocol) / body)
    return bytes(IPv6(src=source, dst=destination, nh=protocol) / body)


def random_bodies(family: Family, source: str, destination: str, chance: random.Random) -> Iterator[bytes]:
    """Random octets behind a sound IP header, often with the ports of a service in front."""
    for _ in range(COUNT // 2):
        body = chance.randbytes(chance.choice((0, 1, 3, 7, 8, 19, 20, 21, 40, 100, 1200)))
        if chance.random() < 0.7:
            ends = (chance.choice((21, 53, 80, 4444)), chance.choice((21, 53, 80, 4444)))
            body = struct.pack("!HH", *ends) + body
        yield header(family, source, destination, chance.choice(PROTOCOLS), body)


def damaged(family: Family, source: str, destination: str, chance: random.Random) -> Iterator[bytes]:
    """Real packets of conversations, with a few octets behind the IP header changed, or cut off."""
    size = 20 if family.version == 4 else 40
    for number in range(COUNT // 2):
        own, other = (
            family.at(source, chance.choice((21, 80, 4500))),
            family.at(destination, chance.choice((21, 80, 53))),
        )
        flags = chance.choice((SYN, ACK, PSH | ACK, SYN | ACK, 0, 0xFF))
        payload = chance.choice((b"", b"PASV\r\n", b"PORT 1,2,3,4,5,6\r\n", b"227 (1,2,3,4,5,6)\r\n", bytes(999)))
        packet = bytearray(packets.tcp(own, other, flags, payload, seq=number, options=b"\x05\xff\x01\x00" * 5))
        for _ in range(chance.randrange(4)):
            packet[chance.randrange(size, len(packet))] = chance.randrange(256)
        body = bytes(packet[size : chance.randrange(size, len(packet) + 1)])
        yield header(family, source, destination, 6, body)


def flood(host: Host, family: Family, destination: str, seed: int) -> None:
    chance = random.Random(seed)
    source = family.of(host)
    junk = [*random_bodies(family, source, destination, chance), *damaged(family, source, destination, chance)]
    chance.shuffle(junk)
    probe(host, junk, seconds=0.2)


def all_is_well(lab: Lab, director: RunningDirector, family: Family) -> None:
    assert director.process.poll() is None
    answers = {fetch(lab, family) for _ in range(6)}  # what is left of the flood takes its turns too
    assert answers == {"server1\n", "server2\n"}
    listing = curl(lab.client, "--ftp-pasv", "--no-ftp-skip-pasv-ip", family.url(scheme="ftp", port=21))
    assert listing.returncode == 0, listing.stderr
    errors = [line for line in director.log().splitlines() if line.startswith(("ERROR", "Traceback"))]
    assert errors == []


@both_families
def test_junk_from_a_client_harms_nobody(shared_lab: Lab, director: RunningDirector, family: Family) -> None:
    flood(shared_lab.client, family, family.vip, 1)
    all_is_well(shared_lab, director, family)


@both_families
def test_junk_from_a_real_server_harms_nobody(shared_lab: Lab, director: RunningDirector, family: Family) -> None:
    flood(shared_lab.servers[0], family, family.of(shared_lab.client), 2)
    all_is_well(shared_lab, director, family)
