"""The event log: one line of one shape for each event."""

from __future__ import annotations

import logging

import pytest

from nat_lb.testing.packets import ACK, SYN
from nat_lb.testing.scenario import Scenario
from tests.scenario.nets import IPV4

LOGGED = "[director]\nlog_connections = true\n"


def test_events_of_a_connection_are_lines_of_one_shape(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "nat_lb.events"):
        s = Scenario(LOGGED + IPV4.web)
        s.client(f"{IPV4.client}:3000").sends(SYN)
        s.client(f"{IPV4.client}:3000").sends(ACK)
        s.time(901)
    flow = f"{IPV4.client}:3000 > {IPV4.vip}:80 > {IPV4.one}:8000"
    assert caplog.messages == [
        f"web: tcp {IPV4.vip}:80 - added",
        f"web: tcp {flow} - opened",
        f"web: tcp {flow} - NONE to SYN_RECV",
        f"web: tcp {flow} - SYN_RECV to ESTABLISHED",
        f"web: tcp {flow} - closed: expired",
    ]


def test_reload_turns_the_log_on_and_off_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "nat_lb.events"):
        s = Scenario(IPV4.web)
        s.client(f"{IPV4.client}:3000").sends(SYN)
        assert caplog.messages == []
        s.reload(LOGGED + IPV4.web)
        s.client(f"{IPV4.client}:3001").sends(SYN)
        s.reload(LOGGED + IPV4.service("web", 80, f"{IPV4.one}:8000 4"))
        assert caplog.messages[-2:] == [
            f"web: real server {IPV4.one}:8000, weight 4 - reweighted",
            f"web: tcp {IPV4.vip}:80 - changed",
        ]
        s.reload(IPV4.web)
        caplog.clear()
        s.client(f"{IPV4.client}:3002").sends(SYN)
        assert caplog.messages == []
