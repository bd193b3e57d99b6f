"""`nat-lb status`: everything in the JSON, what matters in the tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nat_lb.cli.status import short
from nat_lb.io.nfqueue import QueueStatistics
from nat_lb.testing.packets import SYN
from nat_lb.testing.scenario import Scenario
from tests.mirror import Mirror
from tests.scenario.nets import IPV4
from tests.unit.cli.answering import answering, run

WEB = IPV4.service(
    "web", 80, f"{IPV4.one}:80 0", f"{IPV4.two}:80 1 upper_threshold=1", more='fallback_scheduler = "lc"'
)


@pytest.fixture
def scenario() -> Scenario:
    s = Scenario(WEB + IPV4.dns)
    s.client(f"{IPV4.client}:3000").sends(SYN)
    for port in (81, 82, 83):
        s.client(f"{IPV4.client}:3000", f"{IPV4.vip}:{port}").sends(SYN)
    s.director.lifecycle.expectations.counts["ftp"].rewritten = 3
    s.director.lifecycle.expectations.counts["ftp"].expected = 2
    s.director.lifecycle.expectations.counts["ftp"].refused["foreign address"] = 1
    s.director.lifecycle.faults.report("nat_lb_schedule", "web", ValueError("no"), s.now)
    next(iter(s.director.lifecycle.services)).fallback.counts["late"] = 4
    return s


def test_tables_say_who_carries_what_and_what_went_wrong(scenario: Scenario, tmp_path: Path) -> None:
    with answering(scenario, tmp_path / "s") as answers:
        scenario.now += 7262
        answers.statistics = lambda: QueueStatistics(9, 1, 2, 3, 3, 0)
        done = run("status", "--control", tmp_path / "s")
    assert done.return_value in (None, 0), done.output
    lines = [" ".join(line.split()) for line in done.output.splitlines()]
    assert lines[0].startswith("nat-lb 0.") and lines[0].endswith(" (2 h 1 min), scenario.toml")
    assert lines[1:] == [
        "connections: 1 of at most 1000000, expectations: 0, persistence templates: 0",
        "packets: 9 received, 1 waiting, 5 lost, 3 not forwarded, 0 faults",
        "",
        "service weight active inactive opened packets in octets in packets out octets out state",
        "web tcp 202.103.106.5:80 rr (4 late)",
        "172.16.0.2:80 0 0 0 0 0 0 0 0 quiesced",
        "172.16.0.3:80 1 1 0 1 1 40 0 0 overloaded",
        "dns udp 202.103.106.5:53 rr",
        "172.16.0.2:5353 1 0 0 0 0 0 0 0",
        "",
        "not forwarded packets",
        "no-service 3",
        "",
        "helper rewritten expected met refused",
        "ftp 3 2 0 1 foreign address",
        "",
        "distribution failed in times",
        "nat-lb nat_lb_schedule 1",
    ]


class Busy(Mirror):
    """A mirror that has devices and counters to show."""

    def status(self) -> Mapping[str, Any]:
        devices = [{"device": "eth0", "datapath": "xdp"}, {"device": "ppp0", "datapath": "tc", "why": "no frames"}]
        return {"devices": devices, "counters": {"sent": 7, "table_full": 0, "sent_up": 2}}


def test_fast_path_is_told_with_its_devices_and_what_it_counted(scenario: Scenario, tmp_path: Path) -> None:
    scenario.director.lifecycle.start_offload(Busy(), scenario.now)
    scenario.client(f"{IPV4.client}:53", f"{IPV4.vip}:53").sends_datagram(b"?")
    with answering(scenario, tmp_path / "s"):
        done = run("status", "--control", tmp_path / "s")
    lines = [" ".join(line.split()) for line in done.output.splitlines()]
    assert ", mirror, since" in lines[0]
    assert lines[1].startswith("connections: 1 of at most 1000000 and 1 in the fast path, expectations: 0")
    at = lines.index("device packets by not better because")
    assert lines[at + 1 : at + 6] == ["eth0 xdp", "ppp0 tc no frames", "", "fast path count", "sent 7"]
    assert lines[at + 6] == "sent up 2", "what did not happen is not told"


def test_json_is_one_object_with_the_services_in_it(scenario: Scenario, tmp_path: Path) -> None:
    with answering(scenario, tmp_path / "s"):
        done = run("status", "--json", "--control", tmp_path / "s")
    status = json.loads(done.output)
    assert (status["connections"], status["refused"], status["queue"]) == (1, {"no-service": 3}, None)
    assert status["helpers"] == [
        {"helper": "ftp", "rewritten": 3, "expected": 2, "met": 0, "refused": {"foreign address": 1}}
    ]
    web, dns = status["services"]
    assert (web["fallback"], web["late"], dns["service"]) == ("lc", 4, "dns")
    assert [(real["opened"], real["octets_in"]) for real in web["real_servers"]] == [(0, 0), (1, 40)]


def test_names_with_brackets_are_printed_as_they_are(tmp_path: Path) -> None:
    s = Scenario(IPV4.service("[bold]web", 80, f"{IPV4.one}:80 1"))
    with answering(s, tmp_path / "s"):
        assert "[bold]web tcp" in run("status", "--control", tmp_path / "s").output


def test_counts_are_shortened_as_ipvsadm_does() -> None:
    numbers = (0, 99_999, 100_000, 9_999_999, 10_000_000, 9_999_999_999, 10_000_000_000, 10**16)
    assert list(map(short, numbers)) == ["0", "99999", "100K", "9999K", "10M", "9999M", "10G", "10000T"]
