"""What a director knows, as plain data."""

from __future__ import annotations

import json
import re

from nat_lb.report import PART, connections, connections_in_parts, faults, helpers, services, tables
from nat_lb.service import CarriedLoad
from nat_lb.testing.packets import ACK, PSH, SYN
from nat_lb.testing.scenario import Scenario
from tests.mirror import Mirror
from tests.scenario.nets import IPV4, IPV6


def everyone(_: object) -> bool:
    return True


def clients(s: Scenario, count: int, first: int = 3000) -> list[str]:
    """Open connections and return their clients."""
    names = [f"{IPV4.client}:{port}" for port in range(first, first + count)]
    for name in names:
        s.client(name).sends(SYN)
    return names


def test_connections_are_plain_data_in_the_documented_words() -> None:
    s = Scenario(IPV6.web)
    s.client(f"{IPV6.client}:3000").sends(SYN)
    s.now += 10.0
    (entry,) = json.loads(json.dumps(connections(s.director.lifecycle, s.now)))
    assert entry == {
        "service": "web",
        "protocol": "tcp",
        "client": f"{IPV6.client}:3000",
        "virtual": f"{IPV6.vip}:80",
        "real": f"{IPV6.one}:8000",
        "state": "SYN_RECV",
        "expires_in": 50.0,
    }


def test_connection_whose_time_is_over_is_not_told_even_before_the_tick() -> None:
    s = Scenario(IPV6.web)
    s.client(f"{IPV6.client}:3000").sends(SYN)
    assert len(s.connections) == 1
    assert connections(s.director.lifecycle, s.now + 60) == []


def test_expected_connection_says_which_one_announced_it() -> None:
    s = Scenario(IPV4.service("files", 21, f"{IPV4.one}:21 1", more='helpers = ["ftp"]'))
    client, server = s.client(f"{IPV4.client}:3000"), s.server(f"{IPV4.one}:21", f"{IPV4.client}:3000")
    client.sends(SYN, seq=1)
    server.sends(SYN | ACK, seq=1, ack=2)
    client.sends(ACK | PSH, b"EPSV\r\n", seq=2, ack=2)
    reply = server.sends(ACK | PSH, b"229 Entering Extended Passive Mode (|||50000|)\r\n", seq=2, ack=8).packet
    announced = re.search(rb"\|\|\|(\d+)\|", reply)
    assert announced is not None
    s.client(f"{IPV4.client}:3001", f"{IPV4.vip}:{int(announced[1])}").sends(SYN)
    control, data = connections(s.director.lifecycle, s.now)
    assert "announced_by" not in control
    assert (data["real"], data["announced_by"]) == (
        f"{IPV4.one}:50000", {"client": f"{IPV4.client}:3000", "virtual": f"{IPV4.vip}:21"},
    )  # fmt: skip
    (counted,) = helpers(s.director.lifecycle)
    assert (counted["helper"], counted["expected"], counted["met"], counted["refused"]) == ("ftp", 1, 1, {})


def test_parts_are_small_and_together_the_whole_table() -> None:
    s = Scenario(IPV4.web)
    clients(s, 5 * PART)
    parts = list(connections_in_parts(s.director.lifecycle, lambda: s.now, everyone))
    assert max(map(len, parts)) == PART and len(parts) == 5
    told = [entry for part in parts for entry in part]
    assert told == [entry | {"path": "slow"} for entry in connections(s.director.lifecycle, s.now)]


def test_parts_without_a_wanted_connection_are_empty_and_still_come() -> None:
    s = Scenario(IPV4.web)
    clients(s, 5 * PART)
    assert list(connections_in_parts(s.director.lifecycle, lambda: s.now, lambda _: False)) == [[]] * 5


def test_connections_that_stay_are_told_once_while_others_come_and_go() -> None:
    s = Scenario("[timeouts]\nsyn = 10\n" + IPV4.web)
    leaving = clients(s, 2 * PART)
    s.now += 9
    staying = clients(s, 2 * PART, 4000)
    parts = connections_in_parts(s.director.lifecycle, lambda: s.now, everyone)
    told = next(parts)
    clients(s, PART, 5000)
    s.time(5)
    assert len(s.connections) == 3 * PART, "those that were first are gone"
    told += [entry for part in parts for entry in part]
    names = [entry["client"] for entry in told]
    assert names == leaving[:PART] + staying
    assert told[-1]["expires_in"] == 5.0, "as it is when it is told"


def carrying(s: Scenario) -> Mirror:
    """Give a scenario's director a mirror for a fast path."""
    mirror = Mirror()
    s.director.lifecycle.start_offload(mirror, s.now)
    return mirror


def test_connections_of_both_paths_are_one_table() -> None:
    s = Scenario(IPV4.web)
    slow = clients(s, PART)
    mirror = carrying(s)
    fast = clients(s, 3 * PART, 4000)
    parts = list(connections_in_parts(s.director.lifecycle, lambda: s.now, everyone))
    assert max(map(len, parts)) == PART and len(mirror) == 3 * PART
    told = [(entry["client"], entry["path"], entry["expires_in"]) for part in parts for entry in part]
    assert told == [(name, "slow", 60.0) for name in slow] + [(name, "fast", 60.0) for name in fast]
    assert tables(s.director.lifecycle)["carried"] == 3 * PART


def test_connection_that_is_handed_over_meanwhile_is_told_once() -> None:
    s = Scenario(IPV4.web)
    mirror = carrying(s)
    mirror.room = 0
    names = clients(s, 2 * PART)
    mirror.room = 10 * PART
    parts = connections_in_parts(s.director.lifecycle, lambda: s.now, everyone)
    told = next(parts)
    for name in (names[0], names[-1]):  # told already, and not yet
        s.director.lifecycle.hand_over(s.connection(name))
    told += [entry for part in parts for entry in part]
    assert sorted(entry["client"] for entry in told) == names
    assert [entry["client"] for entry in told if entry["path"] == "fast"] == [names[-1]]


def test_real_servers_are_told_with_what_is_carried() -> None:
    s = Scenario(IPV6.web)
    mirror = carrying(s)
    mirror.room = 0
    clients6 = s.client(f"{IPV6.client}:3000")
    clients6.sends(SYN)
    mirror.loads[f"{IPV6.one}:8000"] = CarriedLoad(5, 2, 9, (10, 20), (1000, 2000))
    (service,) = services(s.director.lifecycle)
    (server,) = service["real_servers"]
    assert (server["active"], server["inactive"], server["opened"]) == (6, 2, 10)
    assert (server["packets_in"], server["octets_out"]) == (11, 2000)


def test_services_are_told_with_scheduler_fallback_and_the_load_of_real_servers() -> None:
    s = Scenario(IPV6.web)
    s.client(f"{IPV6.client}:3000").sends(SYN)
    (service,) = s.director.lifecycle.services
    service.fallback.counts["late"] = 2
    assert list(services(s.director.lifecycle)) == [
        {
            "service": "web", "protocol": "tcp", "virtual": f"{IPV6.vip}:80",
            "scheduler": "rr", "fallback": None, "failed": 0, "late": 2, "resting": 0,
            "real_servers": [
                {
                    "real": f"{IPV6.one}:8000", "weight": 1, "quiesced": False, "overloaded": False,
                    "active": 1, "inactive": 0, "opened": 1,
                    "packets_in": 1, "octets_in": 60, "packets_out": 0, "octets_out": 0,
                }
            ],
        }
    ]  # fmt: skip


def test_tables_are_counted_with_templates_and_limit() -> None:
    s = Scenario(IPV4.service("web", 80, f"{IPV4.one}:80 1", more="persistence = 60"))
    clients(s, 3)
    assert tables(s.director.lifecycle) == {
        "connections": 3, "carried": 0, "max_connections": 1_000_000, "expectations": 0, "persistence_templates": 1,
    }  # fmt: skip


def test_faults_are_told_with_the_most_frequent_first() -> None:
    s = Scenario(IPV4.web)
    for where in ("one", "other", "other"):
        s.director.lifecycle.faults.report(where, "web", ValueError(), s.now)
    assert [(fault["where"], fault["faults"]) for fault in faults(s.director.lifecycle)] == [("other", 2), ("one", 1)]
