"""Whole dialogues: whose ids are translated, which calls are expected, when they end, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.layers.pptp import (
    PPTPCallClearRequest,
    PPTPCallDisconnectNotify,
    PPTPEchoReply,
    PPTPEchoRequest,
    PPTPIncomingCallConnected,
    PPTPIncomingCallReply,
    PPTPIncomingCallRequest,
    PPTPOutgoingCallReply,
    PPTPOutgoingCallRequest,
    PPTPSetLinkInfo,
    PPTPStartControlConnectionReply,
    PPTPStartControlConnectionRequest,
    PPTPStopControlConnectionReply,
    PPTPStopControlConnectionRequest,
    PPTPWANErrorNotify,
)
from scapy.utils import rdpcap

from nat_lb.api import Direction, Peers
from nat_lb.testing.packets import endpoint
from nat_lb.testing.recording import Recording
from nat_lb_pptp import Pptp, PptpOptions, nat_lb_register_helpers
from nat_lb_pptp.wire import LAYOUTS, Kind, message_length

CLIENT, VIRTUAL, REAL = "203.0.113.10", "203.0.113.100", "10.77.0.11"
CAPTURES = Path(__file__).parents[4] / "shared" / "captures"


def octets(message: Any) -> bytes:
    """Return scapy's message with its length set."""
    message.len = len(message)
    return bytes(message)


def outgoing_reply(own: int, peer: int, result: int = 1) -> bytes:
    return octets(PPTPOutgoingCallReply(call_id=own, peer_call_id=peer, result_code=result))


def incoming_reply(own: int, peer: int, result: int = 1) -> bytes:
    return octets(PPTPIncomingCallReply(call_id=own, peer_call_id=peer, result_code=result))


def disconnected(own: int) -> bytes:
    return octets(PPTPCallDisconnectNotify(call_id=own, result_code=4))


class Control(Recording):
    """A control connection with a director that remembers what the helper asked of it."""

    def __init__(self, taken: set[int] | None = None, **options: Any) -> None:
        super().__init__(Peers(*map(endpoint, (f"{CLIENT}:40000", f"{VIRTUAL}:1723", f"{REAL}:1723"))))
        self.taken = taken or set()
        self.pptp = Pptp(self.peers, PptpOptions(**options) if options else None)

    def client(self, message: bytes) -> bytes:
        return self._passes(message, Direction.ORIGINAL)

    def server(self, message: bytes) -> bytes:
        return self._passes(message, Direction.REPLY)

    def _passes(self, message: bytes, direction: Direction) -> bytes:
        passed = self.passes(self.pptp, message, direction)
        assert len(passed) == len(message)
        return passed

    @property
    def expected(self) -> list[tuple[str, str]]:
        """The client's and the real server's id of each expected call."""
        return [
            (client.rpartition(":")[2], real.rpartition(":")[2])
            for client, real in zip(self.to_client, self.to_real, strict=True)
        ]


@pytest.fixture
def control() -> Control:
    """A control connection for whose client the VIP has no id 0, 1 or 2 left."""
    return Control(taken={0, 1, 2})


def test_outgoing_call_of_the_client_is_expected_between_both_ids(control: Control) -> None:
    request = octets(PPTPOutgoingCallRequest(call_id=27718))
    assert control.client(request) == request
    assert control.to_real == []
    assert control.server(outgoing_reply(0, 27718)) == outgoing_reply(3, 27718)
    assert (control.to_client, control.to_real) == (["203.0.113.10:27718"], ["10.77.0.11:0"])
    [terms] = control.terms
    assert (terms.protocol, terms.bound, terms.many, terms.helper) == ("gre", True, False, None)


def test_id_that_is_free_outside_stays_as_it_is() -> None:
    control = Control()
    assert control.server(outgoing_reply(7, 9)) == outgoing_reply(7, 9)
    assert control.expected == [("9", "7")]


@pytest.mark.parametrize("result", [0, 2, 3, 7])
def test_outgoing_call_that_is_refused_is_not_expected(control: Control, result: int) -> None:
    assert control.server(outgoing_reply(0, 27718, result)) == outgoing_reply(0, 27718, result)
    assert (control.terms, control.refused) == ([], [])


def test_several_calls_of_one_control_connection_have_ids_of_their_own(control: Control) -> None:
    assert control.server(outgoing_reply(0, 500)) == outgoing_reply(3, 500)
    control.taken.add(3)
    assert control.server(outgoing_reply(1, 501)) == outgoing_reply(4, 501)
    assert control.expected == [("500", "0"), ("501", "1")]
    for public, real in (3, 0), (4, 1):
        message = octets(PPTPSetLinkInfo(peer_call_id=public))
        assert control.client(message) == octets(PPTPSetLinkInfo(peer_call_id=real))


def test_incoming_call_of_the_server_is_reserved_first_and_expected_when_it_is_accepted(control: Control) -> None:
    request = octets(PPTPIncomingCallRequest(call_id=1))
    assert control.server(request) == octets(PPTPIncomingCallRequest(call_id=3))
    assert (control.to_real, control.to_client) == (["10.77.0.11:1"], [])
    assert control.client(incoming_reply(900, 3)) == incoming_reply(900, 1)
    assert (control.to_real[1:], control.to_client) == (["10.77.0.11:1"], ["203.0.113.10:900"])
    assert {terms.protocol for terms in control.terms} == {"gre"}
    assert all(terms.bound for terms in control.terms)
    connected = octets(PPTPIncomingCallConnected(peer_call_id=900))
    assert control.server(connected) == connected
    assert control.server(disconnected(1)) == disconnected(3)
    assert control.forgotten == ["203.0.113.100:3"]


@pytest.mark.parametrize("result", [2, 3])
def test_incoming_call_that_the_client_declines_is_forgotten(control: Control, result: int) -> None:
    control.server(octets(PPTPIncomingCallRequest(call_id=1)))
    assert control.client(incoming_reply(900, 3, result)) == incoming_reply(900, 1, result)
    assert (control.to_client, control.forgotten) == ([], ["203.0.113.100:3"])


def test_outgoing_call_of_a_network_server_inside_works_as_well(control: Control) -> None:
    assert control.server(octets(PPTPOutgoingCallRequest(call_id=2))) == octets(PPTPOutgoingCallRequest(call_id=3))
    assert control.client(outgoing_reply(77, 3)) == outgoing_reply(77, 2)
    assert control.to_client == ["203.0.113.10:77"]
    assert control.client(octets(PPTPWANErrorNotify(peer_call_id=3))) == octets(PPTPWANErrorNotify(peer_call_id=2))
    assert control.server(octets(PPTPCallClearRequest(call_id=2))) == octets(PPTPCallClearRequest(call_id=3))
    assert control.forgotten == []
    assert control.client(disconnected(77)) == disconnected(77)
    assert control.forgotten == ["203.0.113.100:3"]


def test_incoming_call_to_a_network_server_inside_works_as_well(control: Control) -> None:
    request = octets(PPTPIncomingCallRequest(call_id=77))
    assert control.client(request) == request
    assert control.server(incoming_reply(2, 77)) == incoming_reply(3, 77)
    assert control.expected == [("77", "2")]
    message = octets(PPTPIncomingCallConnected(peer_call_id=3))
    assert control.client(message) == octets(PPTPIncomingCallConnected(peer_call_id=2))


def test_ids_of_the_client_are_never_changed(control: Control) -> None:
    control.server(outgoing_reply(0, 3))  # the client's id is the public one: no mistake may be made between them
    for message in (
        octets(PPTPCallClearRequest(call_id=3)),
        octets(PPTPOutgoingCallRequest(call_id=3)),
        octets(PPTPIncomingCallRequest(call_id=3)),
    ):
        assert control.client(message) == message
    for message in (octets(PPTPWANErrorNotify(peer_call_id=3)), octets(PPTPSetLinkInfo(peer_call_id=0))):
        assert control.server(message) == message


def test_id_that_the_client_uses_again_means_the_new_call() -> None:
    control = Control(most_calls=1)
    assert control.server(outgoing_reply(1, 500)) == outgoing_reply(1, 500)
    assert control.server(outgoing_reply(2, 500)) == outgoing_reply(2, 500)
    assert (control.expected, control.forgotten) == ([("500", "1"), ("500", "2")], [f"{VIRTUAL}:1"])
    assert control.client(disconnected(500)) == disconnected(500)
    assert control.forgotten == [f"{VIRTUAL}:1", f"{VIRTUAL}:2"]


def test_call_that_is_disconnected_is_forgotten_under_its_public_id(control: Control) -> None:
    for number in 0, 1:
        control.server(outgoing_reply(number, 500 + number))
        control.taken.add(3 + number)
    clear = octets(PPTPCallClearRequest(call_id=501))
    assert control.client(clear) == clear
    assert control.forgotten == []
    assert control.server(disconnected(1)) == disconnected(4)
    assert control.forgotten == ["203.0.113.100:4"]
    assert control.server(disconnected(1)) == disconnected(1)
    assert control.server(disconnected(0)) == disconnected(3)
    assert control.forgotten == ["203.0.113.100:4", "203.0.113.100:3"]


@pytest.mark.parametrize("from_client", [True, False])
def test_all_calls_end_when_either_end_stops_the_control_connection(control: Control, from_client: bool) -> None:
    for number in 0, 1:
        control.server(outgoing_reply(number, 500 + number))
        control.taken.add(3 + number)
    stop = octets(PPTPStopControlConnectionRequest())
    assert (control.client(stop) if from_client else control.server(stop)) == stop
    assert control.forgotten == ["203.0.113.100:3", "203.0.113.100:4"]
    control.server(octets(PPTPStopControlConnectionReply()))
    assert len(control.forgotten) == 2


def test_id_that_the_server_uses_again_means_the_new_call(control: Control) -> None:
    control.server(outgoing_reply(0, 500))
    assert control.server(outgoing_reply(0, 600)) == outgoing_reply(3, 600)
    assert control.expected == [("500", "0"), ("600", "0")]
    assert control.client(disconnected(500)) == disconnected(500)
    assert control.forgotten == []


def test_reply_that_comes_again_leaves_the_call_alone(control: Control) -> None:
    for _ in range(2):
        assert control.server(outgoing_reply(0, 500)) == outgoing_reply(3, 500)
    assert (control.expected, control.forgotten) == ([("500", "0")], [])


@pytest.mark.parametrize("kind", [PPTPSetLinkInfo, PPTPIncomingCallConnected, PPTPWANErrorNotify])
def test_ids_that_stand_for_no_call_pass_without_a_word(control: Control, kind: type[Any]) -> None:
    message = octets(kind(peer_call_id=3))
    assert control.client(message) == message
    assert control.client(incoming_reply(900, 3)) == incoming_reply(900, 3)
    assert control.client(disconnected(900)) == disconnected(900)
    assert (control.terms, control.forgotten, control.refused) == ([], [], [])


def test_calls_beyond_the_limit_are_refused_until_one_ends() -> None:
    control = Control(most_calls=2)
    for number in range(3):
        control.server(outgoing_reply(number, 500 + number))
    assert control.expected == [("500", "0"), ("501", "1")]
    assert control.refused == ["call 2 is one more than most_calls, 2, allows"]
    assert control.kinds == ["too many calls"]
    control.server(octets(PPTPIncomingCallRequest(call_id=3)))
    assert len(control.refused) == 2
    control.server(disconnected(0))
    control.server(outgoing_reply(4, 504))
    assert control.expected[2:] == [("504", "4")]


def test_refusal_of_the_director_passes_the_message_on(control: Control) -> None:
    control.full = True
    assert control.server(outgoing_reply(0, 500)) == outgoing_reply(0, 500)
    assert control.refused == ["no public port is free"]
    control.full = False
    assert control.server(disconnected(0)) == disconnected(0)


def test_malformed_message_is_refused_and_the_next_one_is_read(control: Control) -> None:
    short = outgoing_reply(0, 500)[:20]
    short = b"\0\x14" + short[2:]
    assert control.server(short) == short
    assert control.kinds == ["malformed"]
    assert control.server(outgoing_reply(0, 500)) == outgoing_reply(3, 500)
    assert not control.stopped


def test_helper_leaves_when_no_message_begins_where_one_should(control: Control) -> None:
    assert control.pptp.frame(b"GET / HTTP/1.1\r\n", Direction.ORIGINAL) == 16
    control.client(b"GET / HTTP/1.1\r\n")
    assert control.stopped
    assert control.kinds == ["malformed"]


def test_messages_are_cut_by_their_length(control: Control) -> None:
    first, second = octets(PPTPEchoRequest()), outgoing_reply(0, 500)
    for size in range(len(first)):
        assert control.pptp.frame(first[:size], Direction.REPLY) == 0
    assert control.pptp.frame(first + second, Direction.REPLY) == len(first)


@pytest.mark.parametrize(
    ("message", "direction", "held_from"),
    [
        (outgoing_reply(0, 1), Direction.REPLY, 13),
        (outgoing_reply(0, 1), Direction.ORIGINAL, 15),
        (octets(PPTPSetLinkInfo()), Direction.ORIGINAL, 13),
        (octets(PPTPSetLinkInfo()), Direction.REPLY, None),
        (octets(PPTPOutgoingCallRequest()), Direction.ORIGINAL, None),
        (octets(PPTPOutgoingCallRequest()), Direction.REPLY, 13),
        (disconnected(0), Direction.REPLY, 13),
        (octets(PPTPEchoRequest()), Direction.REPLY, None),
        (octets(PPTPStartControlConnectionRequest()), Direction.ORIGINAL, None),
    ],
)
def test_message_is_held_from_an_id_on_that_may_change(
    control: Control, message: bytes, direction: Direction, held_from: int | None
) -> None:
    held = [control.pptp.holds(message[:size], direction) for size in range(len(message))]
    assert held == [held_from is not None and size >= held_from for size in range(len(message))]


@pytest.mark.parametrize("table", ['{"most_calls": 0}', '{"most_calls": 257}', '{"most_calls": "few"}', '{"most": 1}'])
def test_options_that_make_no_sense_are_refused(table: str) -> None:
    with pytest.raises(ValueError, match="validation error"):
        PptpOptions.model_validate_json(table)


def test_plugin_offers_the_helper_by_name() -> None:
    assert list(nat_lb_register_helpers()) == [Pptp]
    assert (Pptp.name, Pptp.protocol, Pptp.ports, Pptp.expectation_timeout) == ("pptp", "tcp", (1723,), 600.0)
    assert PptpOptions().most_calls == 16


@pytest.mark.skipif(not CAPTURES.is_dir(), reason=f"{CAPTURES} is not there: captures of real programs")
@pytest.mark.parametrize(
    ("capture", "real", "expected"),
    [
        ("pptp-1call-client", VIRTUAL, [("27718", "0")]),
        ("pptp-2calls-kernelnat-rs", REAL, [("46146", "128"), ("46146", "129")]),
    ],
)
def test_captured_calls_are_understood(capture: str, real: str, expected: list[tuple[str, str]]) -> None:
    control = Control()
    for packet in rdpcap(str(CAPTURES / f"{capture}.pcap")):
        if TCP in packet and 1723 in (packet[TCP].sport, packet[TCP].dport) and packet[TCP].payload:
            data = bytes(packet[TCP].payload)
            if message_length(data) is not None:
                (control.client if packet[IP].src == CLIENT else control.server)(data)
            assert packet[IP].dst in (real, CLIENT)
    assert (control.expected, control.refused, control.stopped) == (expected, [], False)


SAID_TO_NOBODY = [
    octets(kind())
    for kind in (
        PPTPStartControlConnectionRequest,
        PPTPStartControlConnectionReply,
        PPTPStopControlConnectionReply,
        PPTPEchoRequest,
        PPTPEchoReply,
    )
]
NUMBERS = st.integers(0, 3)
MESSAGES = st.one_of(
    st.builds(outgoing_reply, NUMBERS, NUMBERS, st.sampled_from([1, 1, 2])),
    st.builds(incoming_reply, NUMBERS, NUMBERS, st.sampled_from([1, 1, 2])),
    st.builds(disconnected, NUMBERS),
    st.builds(lambda number: octets(PPTPIncomingCallRequest(call_id=number)), NUMBERS),
    st.builds(lambda number: octets(PPTPSetLinkInfo(peer_call_id=number)), NUMBERS),
    st.just(octets(PPTPStopControlConnectionRequest())),
    st.builds(
        lambda kind, body: (
            (12 + len(body)).to_bytes(2, "big") + b"\0\1\x1a\x2b\x3c\x4d" + bytes((0, kind, 0, 0)) + body
        ),
        st.sampled_from(range(20)),
        st.binary(max_size=60),
    ),
)


@given(st.lists(st.tuples(st.sampled_from(Direction), MESSAGES), max_size=30))
def test_no_dialogue_raises_or_expects_more_than_it_may(dialogue: list[tuple[Direction, bytes]]) -> None:
    control = Control(taken={0, 2}, most_calls=3)
    for direction, message in dialogue:
        held = [control.pptp.holds(message[:size], direction) for size in range(len(message))]
        assert control.pptp.frame(message, direction) == len(message)
        edits = control.shows(control.pptp, message, direction)
        assert all(held[start + 1 :] for start, _, _ in edits if start + 1 < len(message))
        assert all(end - start == len(text) == 2 for start, end, text in edits)
        assert len(control.pptp._calls) <= 3
    assert all(text.startswith(f"{REAL}:") for text in control.to_real)
    assert all(text.startswith(f"{CLIENT}:") for text in control.to_client)


@given(st.binary(max_size=60), st.sampled_from(Direction))
def test_random_octets_raise_nothing(data: bytes, direction: Direction) -> None:
    control = Control()
    for message in (data, outgoing_reply(0, 1)[:12] + data):
        size = control.pptp.frame(message, direction)
        assert 0 <= size <= len(message)
        control.pptp.holds(message, direction)
        control.shows(control.pptp, message[:size], direction)


def test_every_message_with_an_id_of_the_servers_is_translated_in_one_place() -> None:
    from_server = {kind for kind in Kind if LAYOUTS[kind].own is not None}
    to_server = {kind for kind in Kind if LAYOUTS[kind].peer is not None}
    assert {kind.value for kind in from_server} == {7, 8, 9, 10, 12, 13}
    assert {kind.value for kind in to_server} == {8, 10, 11, 14, 15}


@given(st.lists(st.tuples(st.sampled_from(Direction), MESSAGES | st.sampled_from(SAID_TO_NOBODY)), max_size=30))
def test_what_it_ignores_means_no_more_than_if_it_were_shown(dialogue: list[tuple[Direction, bytes]]) -> None:
    one, other = Control(), Control()
    for direction, message in dialogue:
        shown = other.shows(other.pptp, message, direction)
        if one.pptp.ignores(message, direction):
            assert shown == []
        else:
            assert one.shows(one.pptp, message, direction) == shown
        assert state(one) == state(other)


def state(control: Control) -> object:
    asked = (control.to_real, control.to_client, control.forgotten, control.refused, control.stopped)
    return vars(control.pptp._calls), asked


@pytest.mark.parametrize("message", SAID_TO_NOBODY)
def test_messages_that_say_nothing_of_calls_are_ignored_if_they_are_whole(control: Control, message: bytes) -> None:
    for direction in Direction:
        assert control.pptp.ignores(message, direction)
        assert not control.pptp.ignores(message[:-1], direction)
        assert not control.pptp.ignores(message + message[:1], direction)
        assert not control.pptp.ignores(octets(PPTPStopControlConnectionRequest()), direction)
