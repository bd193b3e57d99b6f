"""The tracker "gre": which packets it knows, and who has spoken so far."""

from __future__ import annotations

import pytest
from scapy.layers.l2 import GRE_PPTP

from nat_lb.testing.conformance import TrackerConformance
from nat_lb_pptp import nat_lb_register_trackers
from nat_lb_pptp.tracker import Gre


class TestGre(TrackerConformance):
    tracker = "gre"
    distribution = "nat-lb-pptp"


@pytest.mark.parametrize("data", [b"", b"\xff\x03\xc0\x21"])
@pytest.mark.parametrize("acknowledged", [False, True])
def test_packets_of_scapy_are_recognised_and_name_their_call(data: bytes, acknowledged: bool) -> None:
    numbered = GRE_PPTP(call_id=0xABCD, seqnum_present=bool(data), acknum_present=acknowledged)
    octets = bytes(numbered / data)
    assert Gre.recognises(octets)
    at = Gre.ports_at[1]
    assert at is not None
    assert octets[at : at + 2] == b"\xab\xcd"


@pytest.mark.parametrize(
    ("octets", "what"),
    [
        ("0000 0800 0000 0000", "version 0"),
        ("2000 6558 0000 0001", "version 0 with a key"),
        ("1001 880b 0000 0000", "no key"),
        ("b001 880b 0000 0000", "a checksum"),
        ("7001 880b 0000 0000", "routing"),
        ("3801 880b 0000 0000", "a strict source route"),
        ("3101 880b 0000 0000", "recursion"),
        ("3009 880b 0000 0000", "flags that must be 0"),
        ("3002 880b 0000 0000", "version 2"),
        ("3001 0800 0000 0000", "another protocol than PPP"),
        ("3001 880b 0000 00", "no whole header"),
    ],
)
def test_other_packets_of_protocol_47_are_none_of_its_business(octets: str, what: str) -> None:
    assert not Gre.recognises(bytes.fromhex(octets)), what


def test_calls_that_nobody_answers_are_forgotten_after_ten_minutes() -> None:
    assert Gre.seconds() == (600.0, 600.0, 600.0, 18000.0)
    assert Gre.seconds({"gre_unanswered": 20, "gre_stream": 60}) == (20.0, 20.0, 20.0, 60.0)


def test_plugin_offers_the_tracker_by_name() -> None:
    assert list(nat_lb_register_trackers()) == [Gre]
    assert (Gre.name, Gre.protocol, Gre.has_ports()) == ("gre", 47, False)
    Gre.check()
