"""What a director knows, as plain data."""

from __future__ import annotations

import json

from nat_lb.report import connections, real_servers, schedulers
from nat_lb.testing.packets import SYN
from nat_lb.testing.scenario import Scenario
from tests.scenario.nets import IPV6


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


def test_real_servers_are_told_with_load_and_traffic() -> None:
    s = Scenario(IPV6.web)
    s.client(f"{IPV6.client}:3000").sends(SYN)
    (entry,) = real_servers(s.director.lifecycle)
    assert (entry["real"], entry["opened"], entry["active"], entry["inactive"]) == (f"{IPV6.one}:8000", 1, 1, 0)
    assert (entry["packets_in"], entry["octets_in"], entry["packets_out"], entry["octets_out"]) == (1, 60, 0, 0)


def test_schedulers_are_told_with_their_fallback_and_its_counts() -> None:
    s = Scenario(IPV6.web)
    (service,) = s.director.lifecycle.services
    service.fallback.counts["late"] = 2
    assert schedulers(s.director.lifecycle) == [
        {"service": "web", "scheduler": "rr", "fallback": None, "failed": 0, "late": 2, "resting": 0}
    ]
