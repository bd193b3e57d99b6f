"""The four legs of a request are found by sequence number, and a leg that is not there is named."""

from __future__ import annotations

import pytest

from nat_lb.demo.legs import follow
from nat_lb.demo.wire import Endpoint, Segment

CLIENT, EARLIER = Endpoint("202.100.1.2", 3456), Endpoint("202.100.1.2", 3455)
VIRTUAL, REAL = Endpoint("202.103.106.5", 80), Endpoint("172.16.0.3", 8000)


def segment(source: Endpoint, target: Endpoint, seq: int, payload: bytes = b"data") -> Segment:
    return Segment(0.0, source, target, seq, "PA", payload, 64, 0)


AT_CLIENT = [
    segment(EARLIER, VIRTUAL, 50),
    segment(CLIENT, VIRTUAL, 99, b""),
    segment(CLIENT, VIRTUAL, 100),
    segment(VIRTUAL, CLIENT, 700),
]
AT_SERVER = [segment(CLIENT, REAL, 99, b""), segment(CLIENT, REAL, 100), segment(REAL, CLIENT, 700)]


def test_request_and_reply_are_found_on_all_legs() -> None:
    way = follow(AT_CLIENT, AT_SERVER, VIRTUAL, REAL)
    legs = way.request_in, way.request_out, way.reply_in, way.reply_out
    ends = [(leg.segment.source, leg.segment.target, leg.segment.seq) for leg in legs]
    assert ends == [
        (CLIENT, VIRTUAL, 100),
        (CLIENT, REAL, 100),
        (REAL, CLIENT, 700),
        (VIRTUAL, CLIENT, 700),
    ]


@pytest.mark.parametrize(
    ("at_client", "at_server", "missing"),
    [
        (AT_CLIENT, AT_SERVER[:1], "request to 172.16.0.3:8000"),
        (AT_CLIENT[:2], AT_SERVER, "request 202.100.1.2:3456 -> 202.103.106.5:80, sequence number 100"),
        (AT_CLIENT, AT_SERVER[:2], "reply 172.16.0.3:8000 -> 202.100.1.2:3456"),
        (AT_CLIENT[:3], AT_SERVER, "reply 202.103.106.5:80 -> 202.100.1.2:3456, sequence number 700"),
    ],
)
def test_missing_leg_is_named(at_client: list[Segment], at_server: list[Segment], missing: str) -> None:
    with pytest.raises(LookupError, match=f"no capture has the {missing}"):
        follow(at_client, at_server, VIRTUAL, REAL)


def test_reply_with_another_sequence_number_is_another_packet() -> None:
    with pytest.raises(LookupError, match="sequence number 700"):
        follow([*AT_CLIENT[:3], segment(VIRTUAL, CLIENT, 701)], AT_SERVER, VIRTUAL, REAL)
