"""The helpers of H.323 against what every helper owes: their dialogues, however the octets travel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from nat_lb.api import Helper
from nat_lb.testing.conformance import (
    Dialogue,
    HelperConformance,
    Variation,
    client_connects,
    client_says,
    server_connects,
    server_says,
)
from nat_lb.testing.dialogue import Connects, Says
from nat_lb.testing.packets import endpoint
from nat_lb_h323 import H245, H323
from nat_lb_h323.recorded import recorded
from nat_lb_h323.testing import (
    Value,
    acknowledge_channel,
    address,
    control,
    fast_start,
    open_channel,
    ras,
    signal,
)

VIP, REAL, CLIENT = "203.0.113.100", "10.77.0.11", "203.0.113.10"
VIP6, REAL6, CLIENT6 = "[2001:db8::100]", "[fd00::11]", "[2001:db8::10]"
UDP = 17


def call(*steps: Says | Connects, left_over: int = 0) -> Dialogue:
    return Dialogue(*steps, virtual=f"{VIP}:1720", real=f"{REAL}:1720", left_over=left_over)


def at(host: str, port: int) -> Value:
    return address(endpoint(f"{host}:{port}"))


def media(kind: Any, number: int, host: str, rtp: int = 0, rtcp: int = 0, **more: Any) -> Value:
    """Return a message about a channel whose ports are at a host; 0 is none."""
    named = {"rtp": rtp, "rtcp": rtcp}
    ports = {name: endpoint(f"{host}:{port}") for name, port in named.items() if port}
    message: Value = kind(number, **ports, **more)
    return message


def stream_at(host: str) -> list[Value]:
    """Return how a side opens a stream of its own and accepts the other one's."""
    return [media(open_channel, 1, host, rtcp=6001), media(acknowledge_channel, 1, host, 6000, 6001)]


def t120(kind: Any, host: str) -> Value:
    message: Value = kind(5, t120=endpoint(f"{host}:1503"))
    return message


def setup(host: str, **more: Any) -> bytes:
    return signal("setup", destCallSignalAddress=at(host, 1720), sourceCallSignalAddress=at(CLIENT, 40000), **more)


def says(make: Callable[[str], bytes], named: str = REAL, read: str = VIP) -> Says:
    """Return the step in which the server says what names a host of its own, and the client reads the virtual one."""
    return server_says(make(named), arrives=make(read))


def rtp_both_ways(client_host: str = CLIENT, real: str = REAL, vip: str = VIP) -> list[Connects]:
    """Return the steps in which the server sends first, from the endpoints that it announced, and the client RTCP."""
    return [
        server_connects(f"{real}:6000", to=f"{client_host}:7000", seen_from=f"{vip}:6000", protocol=UDP),
        client_connects(f"{vip}:6001", reaches=f"{real}:6001", client=f"{client_host}:0", protocol=UDP),
    ]


PROPOSED = fast_start(
    media(open_channel, 1, CLIENT, rtcp=7001), media(open_channel, 2, CLIENT, rtp=7000, rtcp=7001, reverse=True)
)


def accepted(host: str) -> list[bytes]:
    """Return the answer of a called side, which names the caller's own endpoint again."""
    reverse = open_channel(2, rtp=endpoint(f"{CLIENT}:7000"), rtcp=endpoint(f"{host}:6001"), reverse=True)
    return fast_start(media(open_channel, 1, host, rtp=6000, rtcp=6001), reverse)


def recorded_setup(host: str) -> bytes:
    return recorded("setup", caller=endpoint(f"{CLIENT}:32803"), called=endpoint(f"{host}:1720"))


def recorded_media(message: str) -> Callable[[str], bytes]:
    """Return what makes a recorded message of a server's host; the client's endpoints are always its own."""
    client = {"client_rtp": endpoint(f"{CLIENT}:7000"), "client_rtcp": endpoint(f"{CLIENT}:7001")}
    return lambda host: recorded(message, rtp=endpoint(f"{host}:6000"), rtcp=endpoint(f"{host}:6001"), **client)


class TestH323(HelperConformance):
    helper = "h323"
    dialogues: ClassVar[dict[str, Dialogue]] = {
        "recorded": call(
            client_says(recorded_setup(VIP), arrives=recorded_setup(REAL)),
            says(lambda host: recorded("connect", h245=endpoint(f"{host}:5555"))),
            client_connects(f"{VIP}:5555", reaches=f"{REAL}:5555"),
        ),
        "H.245 on a connection of its own": call(
            client_says(setup(VIP), arrives=setup(REAL)),
            says(lambda host: signal("connect", h245Address=at(host, 2000))),
            client_connects(f"{VIP}:2000", reaches=f"{REAL}:2000"),
            client_says(signal("releaseComplete")),
        ),
        "fast start": call(
            client_says(setup(VIP, fastStart=PROPOSED), arrives=setup(REAL, fastStart=PROPOSED)),
            says(lambda host: signal("connect", fastStart=accepted(host))),
            *rtp_both_ways(),
            left_over=2,
        ),
        "forwarded to another port of the same server, all else refused": call(
            says(lambda host: signal("facility", alternativeAddress=at(host, 1730))),
            client_connects(f"{VIP}:1730", reaches=f"{REAL}:1730"),
            client_connects(f"{VIP}:1730", reaches=f"{REAL}:1730"),
            client_says(signal("progress", h245Address=at("192.0.2.9", 2000))),
            server_says(signal("connect", h245Address=at("10.77.0.12", 2000))),
            server_says(b"\x03\x00\x00\x09\x08\x02\x00\x01\x07" + b"\x03\x00\x00\x04"),
            left_over=1,
        ),
    }


class OtherCalls(HelperConformance):
    """More dialogues, of messages like those above: cut at every octet, but not in every other way."""

    helper = "h323"
    dialogues: ClassVar[dict[str, Dialogue]] = {
        "H.245 offered twice, and by the client": call(
            client_says(signal("facility", h245Address=at(CLIENT, 2001))),
            says(lambda host: signal("progress", h245Address=at(host, 2000))),
            client_connects(f"{VIP}:2000", reaches=f"{REAL}:2000"),
            client_says(signal("facility")),
            says(lambda host: signal("connect", h245Address=at(host, 2000))),
            server_connects(f"{REAL}:41000", to=f"{CLIENT}:2001", seen_from=f"{VIP}:41000"),
            left_over=1,
        ),
        "tunnelled": call(
            client_says(signal("facility", [media(open_channel, 1, CLIENT, rtcp=7001)])),
            says(lambda host: signal("facility", stream_at(host))),
            client_says(signal("facility", [media(acknowledge_channel, 1, CLIENT, 7000, 7001)])),
            *rtp_both_ways(),
            left_over=2,
        ),
        "IPv6": Dialogue(
            client_says(signal("facility", [media(acknowledge_channel, 1, CLIENT6, 7000, 7001)])),
            says(
                lambda host: signal(
                    "connect", [media(acknowledge_channel, 1, host, 6000, 6001)], h245Address=at(host, 2000)
                ),
                REAL6,
                VIP6,
            ),
            client_connects(f"{VIP6}:2000", reaches=f"{REAL6}:2000", client=f"{CLIENT6}:0"),
            *rtp_both_ways(CLIENT6, REAL6, VIP6),
            client=f"{CLIENT6}:40000",
            virtual=f"{VIP6}:1720",
            real=f"{REAL6}:1720",
            left_over=2,
        ),
    }


@pytest.mark.parametrize("name", OtherCalls.dialogues)
@pytest.mark.parametrize(
    "variation",
    [
        Variation(),
        Variation(second=True),
        Variation(octet_by_octet=True),
        Variation(merged=True),
        *(Variation(seed=seed, loss=0.1, duplicate=0.1, reorder=0.3, mss=88) for seed in range(5)),
    ],
    ids=repr,
)
def test_other_calls_arrive_as_expected(name: str, variation: Variation) -> None:
    OtherCalls().replay(name, variation)


@pytest.mark.parametrize("name", OtherCalls.dialogues)
def test_other_calls_cut_at_every_octet_arrive_as_expected(name: str) -> None:
    for at in range(1, max(len(step.data) for _, step in OtherCalls.dialogues[name].says)):
        OtherCalls().replay(name, Variation(cut=(0, at)))


class TestH245(HelperConformance):
    """The companion, as if a service had it: how it is reached is shown by the dialogues of "h323"."""

    helper = "h245"
    dialogues: ClassVar[dict[str, Dialogue]] = {
        "recorded": call(
            client_says(recorded_media("client opens")(REAL)),
            says(recorded_media("server opens")),
            says(recorded_media("server accepts")),
            client_says(recorded_media("client accepts")(REAL)),
            *rtp_both_ways(),
            left_over=2,
        ),
        "two streams": call(
            client_says(control(media(open_channel, 1, CLIENT, rtcp=7001))),
            says(lambda host: control(media(open_channel, 1, host, rtcp=6001))),
            says(lambda host: control(media(acknowledge_channel, 1, host, 6000, 6001))),
            client_says(control(media(acknowledge_channel, 1, CLIENT, 7000, 7001))),
            *rtp_both_ways(),
            left_over=2,
        ),
        "T.120 from both sides": call(
            says(lambda host: control(t120(open_channel, host))),
            client_connects(f"{VIP}:1503", reaches=f"{REAL}:1503"),
            client_connects(f"{VIP}:1503", reaches=f"{REAL}:1503"),
            client_says(control(t120(acknowledge_channel, CLIENT))),
            server_connects(f"{REAL}:41000", to=f"{CLIENT}:1503", seen_from=f"{VIP}:41000"),
            left_over=2,
        ),
        "several messages in one TPKT": call(
            says(lambda host: control(*stream_at(host))),
            client_connects(f"{VIP}:6000", reaches=f"{REAL}:6000", protocol=UDP),
            client_connects(f"{VIP}:6001", reaches=f"{REAL}:6001", protocol=UDP),
        ),
    }

    @classmethod
    def helper_class(cls) -> type[Helper]:
        return H245

    def test_plugin_is_found_under_its_entry_point_name(self) -> None:
        """It is no helper of services, but comes with one."""
        assert H323.companions == (H245,)


def calls_at(host: str) -> dict[str, Any]:
    return {"callSignalAddress": [at(host, 1720)]}


class TestRas(HelperConformance):
    helper = "ras"
    distribution = "nat-lb-h323"
    dialogues: ClassVar[dict[str, Dialogue]] = {
        "registered at a gatekeeper on the real server": Dialogue(
            client_says(ras("gatekeeperRequest", rasAddress=at(CLIENT, 1719))),
            says(lambda host: ras("gatekeeperConfirm", rasAddress=at(host, 1719))),
            client_says(ras("registrationRequest", rasAddress=[at(CLIENT, 1719)], **calls_at(CLIENT), timeToLive=60)),
            says(lambda host: ras("registrationConfirm", **calls_at(host), timeToLive=60)),
            client_connects(f"{VIP}:1720", reaches=f"{REAL}:1720"),
            client_connects(f"{VIP}:1720", reaches=f"{REAL}:1720"),
            server_connects(f"{REAL}:41000", to=f"{CLIENT}:1720", seen_from=f"{VIP}:41000"),
            client_says(
                ras("admissionRequest", destCallSignalAddress=at(VIP, 1720)),
                arrives=ras("admissionRequest", destCallSignalAddress=at(REAL, 1720)),
            ),
            server_says(ras("admissionConfirm", destCallSignalAddress=at("192.0.2.9", 1720))),
            client=f"{CLIENT}:1719",
            virtual=f"{VIP}:1719",
            real=f"{REAL}:1719",
            left_over=2,
        ),
        "a terminal on the real server": Dialogue(
            says(lambda host: ras("gatekeeperRequest", rasAddress=at(host, 1719))),
            client_says(ras("gatekeeperConfirm", rasAddress=at(CLIENT, 1719))),
            says(lambda host: ras("registrationRequest", rasAddress=[at(host, 1719)], **calls_at(host))),
            client_says(ras("registrationConfirm", **calls_at(CLIENT))),
            client_connects(f"{VIP}:1720", reaches=f"{REAL}:1720", client="198.51.100.7:0"),
            server_connects(f"{REAL}:41000", to=f"{CLIENT}:1720", seen_from=f"{VIP}:41000"),
            client_says(ras("infoRequest", replyAddress=at(CLIENT, 1719))),
            says(lambda host: ras("infoRequestResponse", rasAddress=at(host, 1719), **calls_at(host))),
            client=f"{CLIENT}:1719",
            virtual=f"{VIP}:1719",
            real=f"{REAL}:1719",
            left_over=2,
        ),
    }
