"""What the helpers ask of a director, message by message, and what they refuse."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nat_lb.api import Direction, Helper, Peers
from nat_lb.testing.conformance import Dialogue, Variation
from nat_lb.testing.helper_play import play_of
from nat_lb.testing.packets import endpoint
from nat_lb.testing.recording import Recording
from nat_lb_h323 import H245, H323, H323Options, Ras, RasOptions, nat_lb_register_helpers
from nat_lb_h323.announcements import REMEMBERED
from nat_lb_h323.testing import (
    acknowledge_channel,
    address,
    control,
    control_address,
    fast_start,
    open_channel,
    ras,
    signal,
    tpkt,
)

CAPTURES = Path(__file__).parents[4] / "shared" / "captures"
CLIENT, VIP, REAL = "203.0.113.10", "203.0.113.100", "10.77.0.11"


class Talk:
    """A connection with a director that remembers what the helper asked of it."""

    def __init__(self, kind: type[Helper], **options: Any) -> None:
        port = kind.ports[0] if kind.ports else 2000
        peers = Peers(endpoint(f"{CLIENT}:1719"), endpoint(f"{VIP}:{port}"), endpoint(f"{REAL}:{port}"))
        self.recorded = Recording(peers)
        self.helper = kind(peers, kind.options(**options) if options and kind.options else None)

    def client(self, message: bytes) -> bytes:
        return self._passes(message, Direction.ORIGINAL)

    def server(self, message: bytes) -> bytes:
        return self._passes(message, Direction.REPLY)

    @property
    def timeouts(self) -> list[float | None]:
        """Those of the expectations since this was asked last."""
        found = [terms.timeout for terms in self.recorded.terms]
        self.recorded.terms.clear()
        return found

    @property
    def refused(self) -> list[str]:
        return self.recorded.refused

    def _passes(self, message: bytes, direction: Direction) -> bytes:
        passed = self.recorded.passes(self.helper, message, direction)
        assert len(passed) == len(message)
        return passed


def at(host: str, port: int) -> Any:
    return address(endpoint(f"{host}:{port}"))


def ack(host: str, rtp: int = 0, rtcp: int = 0) -> bytes:
    ports = {name: endpoint(f"{host}:{port}") for name, port in (("rtp", rtp), ("rtcp", rtcp)) if port}
    return control(acknowledge_channel(1, **ports))


def test_rtp_and_rtcp_are_one_pair_in_one_message_or_two() -> None:
    talk = Talk(H245)
    talk.recorded.taken = {6000}
    assert talk.server(control(open_channel(1, rtcp=endpoint(f"{REAL}:6001")))) == control(
        open_channel(1, rtcp=endpoint(f"{VIP}:6003"))
    )
    assert talk.server(ack(REAL, 6000, 6001)) == ack(VIP, 6002, 6003)
    assert talk.recorded.to_real == [f"{REAL}:6000"] * 3
    assert {(terms.ports, terms.protocol) for terms in talk.recorded.terms} == {(2, "udp")}


@pytest.mark.parametrize(
    ("rtp", "rtcp", "to_real"),
    [
        (6001, 0, [(6001, 1)]),
        (0, 6002, [(6002, 1)]),
        (6001, 6002, [(6001, 1), (6002, 1)]),
        (6000, 7001, [(6000, 2), (7000, 2)]),
        (65535, 0, [(65535, 1)]),
        (65534, 65535, [(65534, 2), (65534, 2)]),
    ],
)
def test_ports_that_make_no_pair_stand_alone(rtp: int, rtcp: int, to_real: list[tuple[int, int]]) -> None:
    talk = Talk(H245)
    assert talk.server(ack(REAL, rtp, rtcp)) == ack(VIP, rtp, rtcp)
    assert talk.client(ack(CLIENT, rtp, rtcp)) == ack(CLIENT, rtp, rtcp)
    found = [(port, terms.ports) for port, terms in zip(ports_of(talk.recorded), talk.recorded.terms, strict=True)]
    assert found == to_real * 2
    assert talk.refused == []


def ports_of(recorded: Recording) -> list[int]:
    return [endpoint(text).port for text in [*recorded.to_real, *recorded.to_client]]


def test_all_fields_of_a_message_are_edited_in_order() -> None:
    talk = Talk(H323)
    talk.recorded.taken = {2000, 6000}

    def connect(host: str, moved: int) -> bytes:
        rtp, rtcp = (endpoint(f"{host}:{port + 2 * moved}") for port in (6000, 6001))
        channel = open_channel(1, rtp=rtp, rtcp=rtcp)
        return signal(
            "connect",
            [acknowledge_channel(3, rtp=endpoint(f"{host}:8000"))],
            h245Address=at(host, 2000 + moved),
            fastStart=fast_start(channel, open_channel(5, t120=endpoint(f"{host}:1503"))),
        )

    assert talk.server(connect(REAL, 0)) == connect(VIP, 1)
    assert talk.refused == []


def test_embedded_message_that_cannot_be_read_is_told_and_the_rest_is_done() -> None:
    talk = Talk(H323)
    got = talk.server(signal("connect", h245Address=at(REAL, 2000), fastStart=[b"\xff\xff"]))
    assert got == signal("connect", h245Address=at(VIP, 2000), fastStart=[b"\xff\xff"])
    assert talk.recorded.kinds == ["unreadable"]
    assert talk.refused[0].startswith("OpenLogicalChannel: ")


@pytest.mark.parametrize(
    ("kind", "message", "why"),
    [
        (H323, b"\x03\x00\x00\x0a\x09\x02\x00\x01\x05\x00", "no Q.931 message but octet 0x09"),
        (H323, signal("connect")[:-3] + b"\xff\xff\xff", "H323-UserInformation: "),
        (H245, b"\x03\x00\x00\x06\xff\xff", "MultimediaSystemControlMessage: "),
        (Ras, b"\x0e\xff", "RasMessage: "),
    ],
)
def test_message_that_cannot_be_read_passes_and_is_told(kind: type[Helper], message: bytes, why: str) -> None:
    talk = Talk(kind)
    assert talk.server(message) == message
    assert talk.recorded.kinds == ["unreadable"]
    assert talk.refused[0].startswith(why)
    assert not talk.recorded.stopped


@pytest.mark.parametrize("kind", [H323, H245])
def test_connection_of_another_protocol_is_left_alone(kind: type[Helper]) -> None:
    talk = Talk(kind)
    assert talk.client(b"GET / HTTP/1.1\r\n\r\n") == b"GET / HTTP/1.1\r\n\r\n"
    assert talk.refused == ["the client does not speak H.323: no TPKT but 474554202f204854"]
    assert (talk.recorded.kinds, talk.recorded.stopped) == (["no TPKT"], True)


@pytest.mark.parametrize("kind", [H323, H245])
@given(content=st.binary(max_size=16), direction=st.sampled_from(Direction))
def test_what_is_ignored_is_too_short_to_announce_anything(
    kind: type[Helper], content: bytes, direction: Direction
) -> None:
    talk = Talk(kind)
    message = tpkt(content)
    if talk.helper.ignores(message, direction):
        assert (talk.recorded.shows(talk.helper, message, direction), talk.recorded.terms) == ([], [])
        assert not {"foreign address", "privileged port"} & set(talk.recorded.kinds)


@pytest.mark.parametrize("direction", Direction)
def test_keep_alives_are_ignored_and_no_announcement_is(direction: Direction) -> None:
    signalling, control_channel = Talk(H323).helper, Talk(H245).helper
    for helper in signalling, control_channel:
        assert helper.ignores(tpkt(b""), direction)
        assert not helper.ignores(tpkt(b"") + tpkt(b""), direction)
        assert not helper.ignores(tpkt(b"")[:3], direction)
        assert not helper.ignores(b"GET ", direction)
    assert signalling.ignores(tpkt(b"\x08\x02\x00\x01\x75"), direction)  # a STATUS ENQUIRY
    shortest = control(
        ("indication", ("mcLocationIndication", {"signalAddress": control_address(endpoint(f"{REAL}:2000"))}))
    )
    assert not control_channel.ignores(shortest, direction)
    assert not signalling.ignores(signal("facility", [acknowledge_channel(1, rtp=endpoint(f"{REAL}:6000"))]), direction)


def test_many_foreign_addresses_in_one_message_are_told_once() -> None:
    talk = Talk(H323)
    foreign = fast_start(*[open_channel(number, rtcp=endpoint(f"192.0.2.{number}:6001")) for number in range(1, 20)])
    talk.client(signal("setup", fastStart=foreign, h245Address=at(CLIENT, 80)))
    assert sorted(talk.recorded.kinds) == ["foreign address", "privileged port"]
    assert talk.refused == [
        f"h245Address of setup: {CLIENT}:80 for H.245 is below port 1024",
        f"mediaControlChannel of openLogicalChannel: 192.0.2.1:6001 is not the client's, who is {CLIENT}",
    ]


def test_full_director_changes_nothing() -> None:
    talk = Talk(H323)
    talk.recorded.full = True
    message = signal("connect", h245Address=at(REAL, 2000))
    assert talk.server(message) == message
    assert talk.recorded.kinds == ["no free port"]


def test_address_of_another_family_is_not_written_over() -> None:
    talk = Talk(H323, own_addresses=(endpoint("[fd00::11]:0").address,))
    message = signal("connect", h245Address=at("[fd00::11]", 2000))
    assert talk.server(message) == message
    assert talk.refused == [f"h245Address of connect: [fd00::11]:2000 has not the octets of an address like {REAL}"]
    assert (talk.recorded.kinds, talk.recorded.to_real) == (["other family"], [])


@pytest.mark.parametrize("host", ["10.99.0.1", VIP, REAL])
def test_real_server_may_name_any_address_of_its_own(host: str) -> None:
    talk = Talk(H323, own_addresses=(endpoint("10.99.0.1:0").address,))
    talk.recorded.taken = {2000}
    assert talk.server(signal("connect", h245Address=at(host, 2000))) == signal("connect", h245Address=at(VIP, 2001))
    assert (talk.recorded.to_real, talk.refused) == ([f"{REAL}:2000"], [])


def test_lowest_port_is_an_option() -> None:
    talk = Talk(H245, minimum_port=6000)
    talk.server(ack(REAL, 5998, 5999))
    talk.client(ack(CLIENT, 6000, 5999))
    assert (talk.recorded.to_real, talk.recorded.to_client) == ([], [f"{CLIENT}:6000"])
    assert talk.refused == [
        f"mediaChannel of openLogicalChannelAck: {REAL}:5998 for RTP is below port 6000",
        f"mediaControlChannel of openLogicalChannelAck: {CLIENT}:5999 for RTCP is below port 6000",
    ]


def test_server_that_calls_is_seen_at_the_virtual_address() -> None:
    """As on a connection that a gatekeeper opened to a terminal that registered at it."""
    talk = Talk(H323)
    got = talk.server(signal("setup", sourceCallSignalAddress=at(REAL, 1720), destCallSignalAddress=at(CLIENT, 1720)))
    assert got == signal("setup", sourceCallSignalAddress=at(VIP, 1720), destCallSignalAddress=at(CLIENT, 1720))
    assert (talk.recorded.to_real, talk.refused) == ([], [])


def test_alias_that_is_an_address_is_translated() -> None:
    talk = Talk(H323)
    got = talk.client(signal("setup", destinationAddress=[("transportID", at(VIP, 1720))]))
    assert got == signal("setup", destinationAddress=[("transportID", at(REAL, 1720))])
    got = talk.server(signal("connect", connectedAddress=[("transportID", at(REAL, 1720))]))
    assert got == signal("connect", connectedAddress=[("transportID", at(VIP, 1720))])


def test_what_was_announced_may_be_mentioned_in_both_directions() -> None:
    talk = Talk(Ras)
    talk.recorded.taken = {1720}
    talk.server(ras("registrationConfirm", callSignalAddress=[at(REAL, 1720)]))
    wanted = ras("admissionRequest", destCallSignalAddress=at(REAL, 1720))
    assert talk.client(ras("admissionRequest", destCallSignalAddress=at(VIP, 1721))) == wanted
    told = ras("unregistrationRequest", callSignalAddress=[at(REAL, 1720)])
    assert talk.server(told) == ras("unregistrationRequest", callSignalAddress=[at(VIP, 1721)])


def test_only_the_latest_announcements_are_remembered() -> None:
    talk = Talk(Ras)
    for port in range(2000, 2000 + 3 * REMEMBERED):
        talk.server(ras("registrationConfirm", callSignalAddress=[at(REAL, port)]))
        talk.client(ras("registrationRequest", callSignalAddress=[at(CLIENT, port)]))
    talk.recorded.to_client.clear()
    talk.server(ras("registrationConfirm"))
    latest = range(2000 + 2 * REMEMBERED, 2000 + 3 * REMEMBERED)
    assert talk.recorded.to_client == [f"{CLIENT}:{port}" for port in latest]
    oldest = ras("unregistrationRequest", callSignalAddress=[at(REAL, 2000)])
    assert talk.server(oldest) == oldest


def register(talk: Talk, wanted: dict[str, int], granted: dict[str, int]) -> list[float | None]:
    talk.client(ras("registrationRequest", callSignalAddress=[at(CLIENT, 1720)], **wanted))
    talk.server(ras("registrationConfirm", callSignalAddress=[at(REAL, 1720)], **granted))
    return talk.timeouts


def test_registration_counts_for_the_time_that_was_granted() -> None:
    talk = Talk(Ras)
    assert register(talk, {}, {}) == [None, None, None]  # the helper's own: 300 seconds
    assert register(talk, {"timeToLive": 600}, {"timeToLive": 120}) == [600, 120, 120]
    assert register(talk, {"timeToLive": 4294967295}, {"timeToLive": 4294967295}) == [3600] * 3
    assert register(Talk(Ras, longest_registration=60), {"timeToLive": 90}, {"timeToLive": 30}) == [60, 30, 30]


def test_short_registration_keeps_all_alive_that_the_full_one_announced() -> None:
    talk = Talk(Ras)
    register(talk, {"timeToLive": 60}, {"timeToLive": 60})
    talk.client(ras("registrationRequest", keepAlive=True, timeToLive=60))
    talk.recorded.to_client.clear()
    talk.server(ras("registrationConfirm", timeToLive=60))
    assert (talk.recorded.to_client, talk.timeouts) == ([f"{CLIENT}:1720"], [60])


def test_other_messages_do_not_shorten_an_announcement() -> None:
    talk = Talk(Ras)
    talk.server(ras("admissionConfirm", destCallSignalAddress=at(REAL, 1720)))
    assert talk.timeouts == [None]


def test_gatekeeper_that_answers_from_where_it_was_asked_opens_nothing() -> None:
    talk = Talk(Ras)
    got = talk.server(ras("gatekeeperConfirm", rasAddress=at(REAL, 1719)))
    assert got == ras("gatekeeperConfirm", rasAddress=at(VIP, 1719))
    talk.client(ras("gatekeeperRequest", rasAddress=at(CLIENT, 1719)))
    assert talk.timeouts == []


def test_alternate_gatekeeper_on_another_host_is_refused() -> None:
    talk = Talk(Ras)
    others = [
        {"rasAddress": at("10.77.0.12", 1719), "needToRegister": True, "priority": 1},
        {"rasAddress": at(REAL, 1729), "needToRegister": True, "priority": 2},
    ]
    got = talk.server(ras("registrationConfirm", alternateGatekeeper=others))
    others[1]["rasAddress"] = at(VIP, 1729)
    assert got == ras("registrationConfirm", alternateGatekeeper=others)
    assert talk.refused == [
        f"rasAddress of registrationConfirm: 10.77.0.12:1719 is not the real server's, which is {REAL}"
    ]


SERVICES = {"10.77.0.12:1720": f"{VIP}:1720", "10.77.0.12:1719": f"{VIP}:1719", "10.77.0.12:2000": f"{VIP}:2000"}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (H323, lambda host: signal("facility", alternativeAddress=at(host, 1720))),
        (H323, lambda host: signal("connect", connectedAddress=[("transportID", at(host, 1720))])),
        (Ras, lambda host: ras("admissionConfirm", destCallSignalAddress=at(host, 1720))),
        (Ras, lambda host: ras("locationConfirm", callSignalAddress=at(host, 1720), rasAddress=at(host, 1719))),
        (Ras, lambda host: ras("admissionReject", callSignalAddress=[at(host, 1720)])),
        (Ras, lambda host: ras("gatekeeperConfirm", rasAddress=at(host, 1719))),
    ],
)
def test_other_real_server_of_a_service_is_the_service(kind: type[Helper], message: Callable[[str], bytes]) -> None:
    talk = Talk(kind)
    talk.recorded.services = SERVICES
    assert talk.server(message("10.77.0.12")) == message(VIP)
    assert (talk.recorded.terms, talk.refused) == ([], [])
    unknown = message("10.77.0.13")
    assert talk.server(unknown) == unknown


def test_stream_to_another_real_server_is_refused_although_a_service_is_there() -> None:
    talk = Talk(H323)
    talk.recorded.services = SERVICES
    wanted = signal("connect", h245Address=at("10.77.0.12", 2000))
    assert talk.server(wanted) == wanted
    assert talk.refused == [f"h245Address of connect: 10.77.0.12:2000 is not the real server's, which is {REAL}"]


def test_client_that_names_another_real_server_learns_of_no_service() -> None:
    talk = Talk(H323)
    talk.recorded.services = SERVICES
    told = signal("facility", alternativeAddress=at("10.77.0.12", 1720))
    assert talk.client(told) == told
    assert talk.recorded.kinds == ["foreign address"]


def test_asn1_is_loaded_for_those_who_name_a_helper() -> None:
    told = "import sys, nat_lb_h323 as h; loaded = lambda: 'pycrate_asn1dir.H225' in sys.modules; print(loaded()); "
    done = subprocess.run([sys.executable, "-c", f"{told} h.H323Options(); print(loaded())"], capture_output=True)
    assert done.stdout.split() == [b"False", b"True"]


def test_both_helpers_are_offered_and_bring_the_third() -> None:
    assert nat_lb_register_helpers() == [H323, Ras]
    assert (H323.companions, Ras.companions) == ((H245,), (H323, H245))
    assert (H323.options, H245.options, Ras.options) == (H323Options, H323Options, RasOptions)
    assert issubclass(RasOptions, H323Options)  # as companions get the options of who brings them


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="the captures are not part of the project")
@pytest.mark.parametrize(
    ("kind", "port", "variations"),
    [
        (H323, 1720, [Variation(), Variation(octet_by_octet=True)]),
        (H245, 5555, [Variation(), Variation(octet_by_octet=True), Variation(merged=True)]),
    ],
)
def test_messages_become_what_the_kernels_helper_made_of_them(
    kind: type[Helper], port: int, variations: Sequence[Variation]
) -> None:
    inside, outside = (CAPTURES / f"h323-kernelnat-{side}.pcap" for side in ("rs", "client"))
    dialogue = Dialogue.from_captures(inside, outside, port)
    assert len(list(dialogue.says)) > 1
    for variation in variations:
        play_of(kind, {}, dialogue, variation).run()
