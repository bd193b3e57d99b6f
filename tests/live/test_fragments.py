"""Datagrams larger than a packet: reassembled, translated, cut again; whatever order their pieces come in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, fragment6
from scapy.packet import Raw

from nat_lb.testing.lab import Lab
from tests.live.ground import Family, both_families, of_both, probe, select, watched

ECHO = Path(__file__).with_name("echo.py")
SIZES = (1, 1452, 1453, 1472, 1473, 3700, 3900, 4096, 6000, 9000, 30000, 60000)


def echo(family: Family) -> str:
    return family.service("echo", 7000, servers="1:5000 2:5000", protocol="udp")


@pytest.fixture(scope="module")
def echoes(shared_lab: Lab) -> Lab:
    for number, host in enumerate(shared_lab.servers, 1):
        host.spawn([sys.executable, ECHO, "serve", "5000", str(number)])
        host.wait_listening(5000, "udp")
    shared_lab.start_director(of_both(echo))
    return shared_lab


def ask(lab: Lab, family: Family, *sizes: int) -> list[str]:
    command: list[str | Path] = [sys.executable, ECHO, "ask", family.vip, "7000", *map(str, sizes)]
    return lab.client.run(command, check=True).stdout.splitlines()


@both_families
def test_large_datagrams_come_back_intact(echoes: Lab, family: Family) -> None:
    with watched(echoes) as legs:
        answers = ask(echoes, family, *SIZES)
    assert {answer.split()[0] for answer in answers} in ({"1"}, {"2"})
    assert [answer.split()[1] for answer in answers] == ["ok"] * len(SIZES)
    own = f"{'ip' if family.version == 4 else 'ipv6'}.src == {family.vip}"
    pieces = "ip.flags.mf == 1" if family.version == 4 else "ipv6.fraghdr.more == 1"
    assert len(select(legs.client, f"{own} && {pieces}")) > 60, "the answers came in fragments"


@both_families
def test_datagrams_of_many_clients_are_not_mixed_up(echoes: Lab, family: Family) -> None:
    answers = [ask(echoes, family, *[8000] * 10) for _ in range(4)]
    assert [{line.split()[1] for line in lines} for lines in answers] == [{"ok"}] * 4
    assert {lines[0].split()[0] for lines in answers} == {"1", "2"}


def pieces(lab: Lab, family: Family, data: bytes) -> list[bytes]:
    datagram = UDP(sport=4321, dport=7000) / Raw(data)
    if family.version == 4:
        whole = IP(src=lab.client.v4, dst=family.vip, id=77) / datagram
        return [bytes(part) for part in fragment(whole, 1000)]  # type: ignore[no-untyped-call]
    plain = IPv6(bytes(IPv6(src=lab.client.v6, dst=family.vip) / datagram))  # with its checksum, before it is cut
    marked = IPv6(src=plain.src, dst=plain.dst) / IPv6ExtHdrFragment(id=77) / plain.payload
    return [bytes(part) for part in fragment6(marked, 1100)]  # type: ignore[no-untyped-call]


@both_families
def test_fragments_in_reverse_order_are_put_together(echoes: Lab, family: Family) -> None:
    data = bytes(range(256)) * 12
    parts = pieces(echoes, family, data)
    assert len(parts) >= 3
    with watched(echoes):
        answers = probe(echoes.client, parts[::-1], count=3)
    assert len(answers) == 3
    assert b"".join(payload(answer, family) for answer in answers)[9:] == data


def payload(piece: bytes, family: Family) -> bytes:
    """Return what a fragment carries, the UDP header included in the first."""
    return bytes(piece[20:]) if family.version == 4 else bytes(piece[48:])


@both_families
def test_incomplete_datagram_reaches_no_real_server(echoes: Lab, family: Family) -> None:
    with watched(echoes) as legs:
        assert probe(echoes.client, pieces(echoes, family, bytes(3000))[1:], count=1, seconds=0.3) == []
    assert [select(leg, "udp || ip.flags.mf == 1 || ipv6.fraghdr") for leg in legs.servers] == [[], []]
