"""The pipeline's law and its fast way; what becomes of which packet is told by the scenarios."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from nat_lb import packet as packet_module
from nat_lb import pipeline as pipeline_module
from nat_lb.testing import packets
from nat_lb.testing.packets import ACK, PSH, SYN
from nat_lb.testing.scenario import Scenario
from nat_lb.verdict import Drop, NotForwarded, Replace
from tests.little_plugins import Shelf
from tests.scenario.nets import IPV4
from tests.scenario.talk import PLUGIN

KNOWN = packets.tcp(f"{IPV4.client}:3000", f"{IPV4.vip}:80", ACK, b"data")


@pytest.fixture
def scenario() -> Scenario:
    s = Scenario(IPV4.web)
    s.client(f"{IPV4.client}:3000").sends(SYN)
    s.client(f"{IPV4.client}:3000").sends(ACK)
    return s


def test_packet_of_a_known_connection_is_never_taken_apart_as_a_whole(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(data: bytes) -> Any:
        raise AssertionError("a Packet was made on the fast way")

    monkeypatch.setattr(pipeline_module, "Packet", refuse)
    monkeypatch.setattr(packet_module, "Packet", refuse)
    assert not isinstance(scenario.director.pipeline.process(KNOWN, 1001.0), NotForwarded)


def test_packet_of_a_known_connection_costs_a_handful_of_calls(scenario: Scenario) -> None:
    calls: list[str] = []

    def note(frame: Any, event: str, argument: object) -> None:
        if event == "call":
            calls.append(frame.f_code.co_name)

    process = scenario.director.pipeline.process
    sys.setprofile(note)
    try:
        process(KNOWN, 1001.0)
    finally:
        sys.setprofile(None)
    assert calls == ["process", "flow_key", "apply"]


def test_foreign_packet_is_returned_as_the_very_same_object(scenario: Scenario) -> None:
    foreign = packets.tcp("192.0.2.1:1", "192.0.2.2:2", SYN)
    assert scenario.director.pipeline.process(foreign, 1001.0) is foreign


def test_time_of_the_last_packet_is_noted(scenario: Scenario) -> None:
    scenario.director.pipeline.process(KNOWN, 1234.5)
    assert scenario.connections[0].last_seen == 1234.5


def test_refusals_are_counted_and_forwarded_packets_are_not(scenario: Scenario) -> None:
    process = scenario.director.pipeline.process
    process(KNOWN, 1001.0)
    for data in b"", b"\x45", b"nonsense" * 9:
        assert isinstance(process(data, 1001.0), Drop)
    assert sum(scenario.director.pipeline.refused.values()) == 3


def test_text_that_outgrew_its_segment_goes_on_as_several_translated_packets(shelf: Shelf) -> None:
    shelf.install("talk", PLUGIN)
    toml = IPV4.service("talk", 7000, f"{IPV4.one}:7000 1", more='helpers = ["talk"]')
    s = Scenario(toml, shelf.registry())
    client, server = s.client(f"{IPV4.client}:3000"), s.server(f"{IPV4.one}:7000", f"{IPV4.client}:3000")
    option = b"\x02\x04\x00\x16"  # no more than 22 octets a segment
    client.sends(SYN, seq=1000, options=option)
    server.sends(SYN | ACK, seq=5000, ack=1001, options=option)
    verdict = server.sends(ACK | PSH, f"AT {IPV4.one}:30000\r\n".encode(), seq=5001, ack=1001).verdict
    assert isinstance(verdict, Replace)
    assert verdict.reason == "resegmented"
    assert [packets.describe(packet) for packet in verdict.packets] == [
        f"tcp {IPV4.vip}:7000 > {IPV4.client}:3000 [A] 22 octets",
        f"tcp {IPV4.vip}:7000 > {IPV4.client}:3000 [PA] 2 octets",
    ]
    assert all(map(packets.checksums_are_right, verdict.packets))


def test_acknowledgement_of_held_octets_goes_back_to_the_server_untranslated(shelf: Shelf) -> None:
    shelf.install("talk", PLUGIN)
    s = Scenario(IPV4.service("talk", 7000, f"{IPV4.one}:7000 1", more='helpers = ["talk"]'), shelf.registry())
    client, server = s.client(f"{IPV4.client}:3000"), s.server(f"{IPV4.one}:7000", f"{IPV4.client}:3000")
    client.sends(SYN, seq=1000)
    server.sends(SYN | ACK, seq=5000, ack=1001)
    server.sends(ACK, b"AT 172", seq=5001, ack=1001)
    verdict = server.sends(ACK, b"AT 172", seq=5001, ack=1001).verdict
    assert isinstance(verdict, Replace)
    assert [packets.describe(packet) for packet in verdict.packets] == [
        f"tcp {IPV4.vip}:7000 > {IPV4.client}:3000 [A] 0 octets",
        f"tcp {IPV4.client}:3000 > {IPV4.one}:7000 [A] 0 octets",
    ]


def test_unused_helper_leaves_the_packets_alone_after_it_stopped(shelf: Shelf) -> None:
    shelf.install("talk", PLUGIN)
    s = Scenario(IPV4.service("talk", 7000, f"{IPV4.one}:7000 1", more='helpers = ["talk"]'), shelf.registry())
    client = s.client(f"{IPV4.client}:3000")
    client.sends(SYN, seq=1000)
    client.sends(ACK, b"STOP\n", seq=1001, ack=1)
    client.sends(ACK, b"out of order now", seq=9999, ack=1).expect_forwarded(dst=f"{IPV4.one}:7000")
