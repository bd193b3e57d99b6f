"""The table of cases in docs/explanation/packet-path.md is what the pipeline answers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, TCPerror
from scapy.packet import Packet

from nat_lb.config import parse
from nat_lb.director import Director
from nat_lb.verdict import Drop, NotForwarded, Reject, Stage

PAGE = (Path(__file__).parents[2] / "docs" / "explanation" / "packet-path.md").read_text()
TOML = """
[[service]]
protocol = "tcp"
address = "202.103.106.5"
port = 80
real_server = [{ address = "172.16.0.2" }]
[[service]]
protocol = "tcp"
address = "202.103.106.5"
port = 81
real_server = [{ address = "172.16.0.2", weight = 0 }]
[[service]]
protocol = "tcp"
address = "202.103.106.5"
port = 82
real_server = [{ address = "172.16.0.2", port = 80 }]
"""
CLIENT, VIP, SERVER = "202.100.1.2", "202.103.106.5", "172.16.0.2"
QUOTED = IPerror(src=CLIENT, dst=SERVER) / TCPerror(sport=1024, dport=80)


def client(layer: Packet, **fields: Any) -> Packet:
    return IP(src=CLIENT, dst=VIP, **fields) / layer


def server(layer: Packet) -> Packet:
    return IP(src=SERVER, dst=CLIENT) / layer


FIRST = client(TCP(sport=1024, dport=80, flags="S"))
CASES: dict[str, Packet] = {
    "TCP SYN to a port of the VIP that no service has": client(TCP(sport=1025, dport=9, flags="S")),
    "UDP to a port of the VIP that no service has": client(UDP(sport=1025, dport=9)),
    "TCP SYN to a service without a usable real server": client(TCP(sport=1025, dport=81, flags="S")),
    "TCP ACK of no connection": client(TCP(sport=1025, dport=80, flags="A")),
    "TCP RST of no connection": client(TCP(sport=1025, dport=80, flags="R")),
    "SYN that would be one too many": client(TCP(sport=1025, dport=80, flags="S")),
    "SYN from a port that reaches the same real server by another service": client(
        TCP(sport=1024, dport=82, flags="S")
    ),
    "Client's packet with TTL 1": client(TCP(sport=1024, dport=80, flags="A"), ttl=1),
    "Real server's reply of no connection": server(TCP(sport=80, dport=1025, flags="SA")),
    "Fragment to the VIP": client(TCP(sport=1024, dport=80, flags="A"), flags="MF"),
    "Packet shorter than it says": client(TCP(sport=1025, dport=80, flags="S"), len=60),
    "ICMP parameter problem about a connection": server(ICMP(type=12) / QUOTED),
    "ICMP error with a wrong checksum": server(ICMP(type=3, code=3, chksum=1) / QUOTED),
}
ROWS = [
    [cell.strip() for cell in row.strip("|").split("|")]
    for row in re.findall(r"^\| .*\| (?:drop|reject) \|.*\|$", PAGE, re.MULTILINE)
]


def told(verdict: NotForwarded) -> str:
    """Say in the page's words what the sender gets."""
    if not verdict.packets:
        return "nothing"
    (packet,) = map(IP, verdict.packets)
    if TCP in packet and ICMP not in packet:
        return "TCP reset" if "R" in packet[TCP].flags else "a segment"
    return {(3, 3): "ICMP port unreachable", (11, 0): "ICMP time exceeded"}[packet[ICMP].type, packet[ICMP].code]


def test_every_row_of_the_table_is_a_case_here() -> None:
    assert [row[0] for row in ROWS] == list(CASES)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_pipeline_answers_as_the_row_says(row: list[str]) -> None:
    full = row[2] == "`table-full`"
    director = Director(parse(f"[director]\nmax_connections = {1 if full else 2}\n{TOML}", "page"), "page")
    case = CASES[row[0]]
    assert isinstance(director.pipeline.process(bytes(FIRST), 0.0, Stage.BEFORE_ROUTING), bytes)
    stage = Stage.AFTER_ROUTING if case.src == SERVER else Stage.BEFORE_ROUTING
    verdict = director.pipeline.process(bytes(case), 1.0, stage)
    assert isinstance(verdict, NotForwarded)
    kind = {Drop: "drop", Reject: "reject"}[type(verdict)]
    assert [kind, f"`{verdict.reason}`", told(verdict)] == row[1:]
    assert director.pipeline.refused == {verdict.reason: 1}
