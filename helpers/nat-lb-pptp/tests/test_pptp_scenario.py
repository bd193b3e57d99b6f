"""Calls through a whole director: whose packets go where, from when on, and until when."""

from __future__ import annotations

from itertools import count
from typing import Any, NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.l2 import GRE_PPTP
from scapy.layers.pptp import (
    PPTPCallDisconnectNotify,
    PPTPIncomingCallReply,
    PPTPIncomingCallRequest,
    PPTPOutgoingCallReply,
    PPTPSetLinkInfo,
    PPTPStopControlConnectionRequest,
)

from nat_lb.testing.helper_play import SCHEDULER, registry_with
from nat_lb.testing.packets import ACK, FIN, PSH, RST, SYN
from nat_lb.testing.scenario import Outcome, Scenario

VIP, CLIENT, OTHER = "202.103.106.5", "202.100.1.2", "202.100.1.3"
REALS = "172.16.0.2", "172.16.0.3"
CONFIGURATION = f"""
[timeouts]
gre_stream = 3000
[[service]]
protocol = "tcp"
address = "{VIP}"
port = 1723
scheduler = "{SCHEDULER}"
helpers = ["pptp"]
real_server = [{{ address = "{REALS[0]}" }}, {{ address = "{REALS[1]}", port = 1724 }}]
"""


def octets(message: Any) -> bytes:
    """Return scapy's message with its length set."""
    message.len = len(message)
    return bytes(message)


class Control:
    """One control connection: what either end says comes out as the other reads it."""

    def __init__(self, scenario: Scenario, client: str = CLIENT, port: int = 40000) -> None:
        self.scenario = scenario
        self.client = scenario.client(f"{client}:{port}")
        opened = IP(self.client.sends(SYN, seq=999).packet)
        self.real = opened.dst
        self.server = scenario.server(f"{self.real}:{opened[TCP].dport}", f"{client}:{port}")
        self.server.sends(SYN | ACK, seq=4999, ack=1000)
        self.said = {True: 1000, False: 5000}

    def client_says(self, message: bytes) -> bytes:
        return self._says(message, from_client=True)

    def server_says(self, message: bytes) -> bytes:
        return self._says(message, from_client=False)

    def _says(self, message: bytes, *, from_client: bool) -> bytes:
        speaker = self.client if from_client else self.server
        seq, ack = self.said[from_client], self.said[not from_client]
        self.said[from_client] += len(message)
        return bytes(IP(speaker.sends(PSH | ACK, message, seq=seq, ack=ack).packet)[TCP].payload)

    def connects(self, own: int, peer: int) -> int:
        """Let the real server reply to a call of the client's; return the id that the client reads."""
        message = octets(PPTPOutgoingCallReply(call_id=own, peer_call_id=peer))
        arrived = PPTPOutgoingCallReply(self.server_says(message))
        assert (arrived.peer_call_id, arrived.result_code) == (peer, 1)
        return int(arrived.call_id)

    def closes(self) -> None:
        """Close the TCP connection from both ends, without a word of PPTP's."""
        self.client.sends(FIN | ACK, seq=self.said[True])
        self.server.sends(FIN | ACK, seq=self.said[False])


@pytest.fixture
def scenario() -> Scenario:
    return Scenario(CONFIGURATION, registry_with(), staged=True)


def sends_gre(scenario: Scenario, source: str, destination: str, call: int, data: bytes = b"\xff\x03\0\1hi") -> Outcome:
    packet = IP(src=source, dst=destination) / GRE_PPTP(call_id=call, seqnum_present=1, sequence_number=4) / data
    inside = source in REALS
    peer = scenario.server(source, destination) if inside else scenario.client(source, destination)
    return peer.sends_packet(bytes(packet))


def arrived(outcome: Outcome) -> tuple[str, str, int]:
    """Return source, destination and call id of what became of a GRE packet; all else must be as it was."""
    packet, wanted = IP(outcome.packet), IP(outcome.sent)
    result = wanted.src, wanted.dst, wanted[GRE_PPTP].call_id = packet.src, packet.dst, packet[GRE_PPTP].call_id
    del wanted.chksum  # scapy computes it anew
    assert bytes(wanted) == outcome.packet
    return result


def test_calls_of_two_servers_with_one_id_stay_apart(scenario: Scenario) -> None:
    first, second = Control(scenario), Control(scenario, port=40001)
    assert {first.real, second.real} == set(REALS)
    publics = first.connects(0, 500), second.connects(0, 600)
    assert publics == (0, 1)
    for public, control, number in zip(publics, (first, second), (500, 600), strict=True):
        assert arrived(sends_gre(scenario, CLIENT, VIP, public)) == (CLIENT, control.real, 0)
        assert arrived(sends_gre(scenario, control.real, CLIENT, number)) == (VIP, CLIENT, number)


def test_another_client_has_the_same_ids_for_itself(scenario: Scenario) -> None:
    first, second = Control(scenario), Control(scenario, OTHER)
    assert (first.connects(0, 500), second.connects(0, 500)) == (0, 0)
    assert arrived(sends_gre(scenario, CLIENT, VIP, 0)) == (CLIENT, first.real, 0)
    assert arrived(sends_gre(scenario, OTHER, VIP, 0)) == (OTHER, second.real, 0)


def test_two_calls_of_one_control_connection_stay_apart(scenario: Scenario) -> None:
    blocking, control = Control(scenario), Control(scenario, port=40001)
    assert blocking.connects(0, 1) == 0
    publics = control.connects(0, 500), control.connects(1, 501)
    assert publics == (1, 2)
    for public, real, number in zip(publics, (0, 1), (500, 501), strict=True):
        assert arrived(sends_gre(scenario, CLIENT, VIP, public)) == (CLIENT, control.real, real)
        assert arrived(sends_gre(scenario, control.real, CLIENT, number)) == (VIP, CLIENT, number)


@pytest.mark.parametrize("client_first", [True, False])
def test_either_end_may_speak_first(scenario: Scenario, client_first: bool) -> None:
    control = Control(scenario)
    public = control.connects(7, 500)
    directions = [(CLIENT, VIP, public), (control.real, CLIENT, 500)]
    states = []
    for source, destination, call in directions if client_first else reversed(directions):
        arrived(sends_gre(scenario, source, destination, call))
        states.append(scenario.connections[-1].state_name)
    assert states == ["GRE_CLIENT" if client_first else "GRE_SERVER", "GRE_STREAM"]


def test_nothing_passes_before_the_call_is_connected(scenario: Scenario) -> None:
    control = Control(scenario)
    request = PPTPIncomingCallRequest(control.server_says(octets(PPTPIncomingCallRequest(call_id=3))))
    assert request.call_id == 3
    sends_gre(scenario, CLIENT, VIP, 3).expect_dropped("no-service")
    sends_gre(scenario, control.real, CLIENT, 500).expect_dropped("reply-without-connection")
    control.client_says(octets(PPTPIncomingCallReply(call_id=500, peer_call_id=3)))
    assert arrived(sends_gre(scenario, control.real, CLIENT, 500)) == (VIP, CLIENT, 500)


def test_call_that_is_disconnected_ends_and_its_neighbour_goes_on(scenario: Scenario) -> None:
    control = Control(scenario)
    for number in 0, 1:
        control.connects(number, 500 + number)
        sends_gre(scenario, control.real, CLIENT, 500 + number)
    control.server_says(octets(PPTPCallDisconnectNotify(call_id=0, result_code=4)))
    assert len(scenario.connections) == 2
    sends_gre(scenario, CLIENT, VIP, 0).expect_dropped("no-service")
    sends_gre(scenario, control.real, CLIENT, 500).expect_dropped("reply-without-connection")
    assert arrived(sends_gre(scenario, CLIENT, VIP, 1)) == (CLIENT, control.real, 1)
    assert arrived(sends_gre(scenario, control.real, CLIENT, 501)) == (VIP, CLIENT, 501)


def test_disconnected_call_is_known_to_the_client_by_its_public_id(scenario: Scenario) -> None:
    Control(scenario).connects(0, 400)
    control = Control(scenario, port=40001)
    assert control.connects(0, 500) == 1
    message = octets(PPTPCallDisconnectNotify(call_id=0, result_code=4))
    assert PPTPCallDisconnectNotify(control.server_says(message)).call_id == 1


def test_call_that_was_never_used_is_not_expected_once_it_is_disconnected(scenario: Scenario) -> None:
    control = Control(scenario)
    control.connects(0, 500)
    control.server_says(octets(PPTPCallDisconnectNotify(call_id=0, result_code=4)))
    sends_gre(scenario, CLIENT, VIP, 0).expect_dropped("no-service")
    assert len(scenario.director.lifecycle.expectations) == 0


def test_stopping_the_control_connection_ends_all_calls(scenario: Scenario) -> None:
    control = Control(scenario)
    for number in 0, 1:
        control.connects(number, 500 + number)
        sends_gre(scenario, CLIENT, VIP, number)
    control.server_says(octets(PPTPStopControlConnectionRequest()))
    assert len(scenario.connections) == 1
    sends_gre(scenario, CLIENT, VIP, 1).expect_dropped("no-service")


def test_calls_end_with_a_control_connection_that_is_reset(scenario: Scenario) -> None:
    control = Control(scenario)
    control.connects(0, 500)
    for _ in range(2):
        sends_gre(scenario, CLIENT, VIP, 0)
        sends_gre(scenario, control.real, CLIENT, 500)
    control.client.sends(RST | ACK, seq=control.said[True])
    for _ in range(15):
        sends_gre(scenario, CLIENT, VIP, 0)
        scenario.time(1)
    assert scenario.connections == []


def test_calls_end_with_a_control_connection_that_is_closed(scenario: Scenario) -> None:
    control = Control(scenario)
    control.connects(0, 500)
    sends_gre(scenario, CLIENT, VIP, 0)
    control.closes()
    for _ in range(65):
        sends_gre(scenario, control.real, CLIENT, 500)
        scenario.time(1)
    assert scenario.connections == []


def test_id_is_used_again_after_a_control_connection_that_was_closed_without_a_word(scenario: Scenario) -> None:
    control = Control(scenario)
    control.connects(0, 500)
    sends_gre(scenario, CLIENT, VIP, 0)
    control.closes()
    Control(scenario, OTHER)  # so that the next one comes to the same real server
    again = Control(scenario, port=40001)
    assert again.real == control.real
    public = again.connects(0, 600)
    assert arrived(sends_gre(scenario, again.real, CLIENT, 600)) == (VIP, CLIENT, 600)
    assert arrived(sends_gre(scenario, CLIENT, VIP, public)) == (CLIENT, again.real, 0)


def test_id_that_is_used_again_in_one_control_connection_means_the_new_call(scenario: Scenario) -> None:
    control = Control(scenario)
    for number in 500, 600:
        assert control.connects(0, number) == 0
        assert arrived(sends_gre(scenario, control.real, CLIENT, number)) == (VIP, CLIENT, number)
        assert arrived(sends_gre(scenario, CLIENT, VIP, 0)) == (CLIENT, control.real, 0)
    assert len(scenario.connections) == 2
    sends_gre(scenario, control.real, CLIENT, 500).expect_dropped("reply-without-connection")


def test_id_of_the_client_that_is_used_again_in_one_control_connection_means_the_new_call(scenario: Scenario) -> None:
    control = Control(scenario)
    for number in 0, 1:
        assert control.connects(number, 500) == number
        assert arrived(sends_gre(scenario, CLIENT, VIP, number)) == (CLIENT, control.real, number)
        assert arrived(sends_gre(scenario, control.real, CLIENT, 500)) == (VIP, CLIENT, 500)
    assert len(scenario.connections) == 2
    sends_gre(scenario, CLIENT, VIP, 0).expect_dropped("no-service")


def test_client_that_starts_anew_and_counts_from_the_same_id_has_its_call(scenario: Scenario) -> None:
    lost = Control(scenario)
    assert lost.connects(0, 500) == 0
    sends_gre(scenario, CLIENT, VIP, 0)
    Control(scenario, OTHER)  # so that the next one comes to the same real server
    again = Control(scenario, port=40001)
    assert again.real == lost.real
    public = again.connects(1, 500)
    assert arrived(sends_gre(scenario, CLIENT, VIP, public)) == (CLIENT, again.real, 1)
    assert arrived(sends_gre(scenario, again.real, CLIENT, 500)) == (VIP, CLIENT, 500)
    sends_gre(scenario, CLIENT, VIP, 0).expect_dropped("no-service")


def test_reply_that_comes_twice_leaves_the_call_alone(scenario: Scenario) -> None:
    control = Control(scenario)
    for _ in range(2):
        control.connects(0, 500)
        sends_gre(scenario, CLIENT, VIP, 0)
        sends_gre(scenario, control.real, CLIENT, 500)
    assert [connection.state_name for connection in scenario.connections] == ["ESTABLISHED", "GRE_STREAM"]


def test_silent_call_is_forgotten_at_its_states_time(scenario: Scenario) -> None:
    control = Control(scenario)
    for number in 0, 1:
        control.connects(number, 500 + number)
        sends_gre(scenario, CLIENT, VIP, number)
    sends_gre(scenario, control.real, CLIENT, 501)
    for seconds, left in (598, 3), (4, 2), (2390, 2), (15, 1):
        for _ in range(seconds // 299):
            scenario.time(299)
            control.client.sends(ACK, seq=control.said[True], ack=control.said[False])
        scenario.time(seconds % 299)
        assert len(scenario.connections) == left, seconds


def test_packets_of_no_call_and_of_other_kinds_of_gre_are_told_apart(scenario: Scenario) -> None:
    control = Control(scenario)
    control.connects(0, 500)
    sends_gre(scenario, CLIENT, VIP, 9).expect_dropped("no-service")
    sends_gre(scenario, OTHER, VIP, 0).expect_dropped("no-service")
    sends_gre(scenario, control.real, CLIENT, 9).expect_dropped("reply-without-connection")
    other = bytes(IP(src=CLIENT, dst=VIP, proto=47) / bytes.fromhex("0000080000000000"))
    scenario.client(CLIENT, VIP).sends_packet(other).expect_untouched()


def test_icmp_error_about_a_calls_packet_shows_the_public_side(scenario: Scenario) -> None:
    control = Control(scenario)
    Control(scenario, port=40001).connects(5, 400)
    control.connects(0, 1)
    public = control.connects(5, 500)
    sent = sends_gre(scenario, CLIENT, VIP, public)
    quoted = sent.packet[:28]
    error = IP(src=control.real, dst=CLIENT) / ICMP(type=3, code=2) / quoted
    outcome = scenario.server(control.real, CLIENT).sends_packet(bytes(error))
    answer = IP(outcome.packet)
    assert (answer.src, answer.dst) == (VIP, CLIENT)
    inner = bytes(answer[ICMP].payload)
    assert inner[12:20] == sent.sent[12:20]
    assert inner[26:28] == public.to_bytes(2, "big")


@pytest.mark.parametrize("from_client", [True, False])
def test_message_in_two_segments_is_translated_wherever_it_is_cut(from_client: bool) -> None:
    for cut in range(1, 24 if from_client else 32):
        scenario = Scenario(CONFIGURATION, registry_with())
        Control(scenario).connects(0, 400)
        control = Control(scenario, port=40001)
        if from_client:
            assert control.connects(0, 500) == 1
            message, wanted = octets(PPTPSetLinkInfo(peer_call_id=1)), octets(PPTPSetLinkInfo(peer_call_id=0))
            assert control.client_says(message[:cut]) + control.client_says(message[cut:]) == wanted
        else:
            message = octets(PPTPOutgoingCallReply(call_id=0, peer_call_id=500))
            wanted = octets(PPTPOutgoingCallReply(call_id=1, peer_call_id=500))
            assert control.server_says(message[:cut]) + control.server_says(message[cut:]) == wanted
            assert arrived(sends_gre(scenario, CLIENT, VIP, 1)) == (CLIENT, control.real, 0)


def test_messages_of_one_segment_are_all_translated(scenario: Scenario) -> None:
    Control(scenario).connects(0, 400)
    control = Control(scenario, port=40001)
    replies = [octets(PPTPOutgoingCallReply(call_id=own, peer_call_id=500 + own)) for own in (0, 1)]
    wanted = [octets(PPTPOutgoingCallReply(call_id=own + 1, peer_call_id=500 + own)) for own in (0, 1)]
    assert control.server_says(b"".join(replies)) == b"".join(wanted)


class Known(NamedTuple):
    """A call that is connected: its public id, and the client's."""

    control: Control
    public: int
    number: int


class Machine(RuleBasedStateMachine):
    """One client's control connections to two real servers that both count from 0, in any order of events."""

    @initialize()
    def begin(self) -> None:
        self.scenario = Scenario(CONFIGURATION, registry_with(), staged=True)
        self.controls: list[Control] = []
        self.calls: dict[tuple[str, int], Known] = {}  # by real server and its id
        self.numbers = count(1)

    @rule()
    def control_connection_opens(self) -> None:
        if len(self.controls) < 4:
            self.controls.append(Control(self.scenario, port=40000 + next(self.numbers)))

    @rule(data=st.data())
    def call_is_connected(self, data: st.DataObject) -> None:
        if self.controls:
            control = data.draw(st.sampled_from(self.controls))
            own = next(own for own in count() if (control.real, own) not in self.calls)
            number = 1000 + next(self.numbers)
            self.calls[control.real, own] = Known(control, control.connects(own, number), number)

    @rule(data=st.data())
    def call_is_disconnected(self, data: st.DataObject) -> None:
        if self.calls:
            real, own = data.draw(st.sampled_from(sorted(self.calls)))
            control, public, number = self.calls.pop((real, own))
            told = control.server_says(octets(PPTPCallDisconnectNotify(call_id=own, result_code=4)))
            assert PPTPCallDisconnectNotify(told).call_id == public
            self.nothing_passes(real, public, number)

    @rule(data=st.data(), politely=st.booleans())
    def control_connection_ends(self, data: st.DataObject, politely: bool) -> None:
        if not self.controls:
            return
        control = self.controls.pop(data.draw(st.integers(0, len(self.controls) - 1)))
        ended = [place for place, call in self.calls.items() if call.control is control]
        if politely:
            control.client_says(octets(PPTPStopControlConnectionRequest()))
        control.closes()
        for place in ended:
            _, public, number = self.calls.pop(place)
            if politely:
                self.nothing_passes(place[0], public, number)

    @rule()
    def time_passes(self) -> None:
        self.scenario.time(30)
        for control in self.controls:
            control.client.sends(ACK, seq=control.said[True], ack=control.said[False])

    @invariant()
    def packets_of_each_call_find_their_way(self) -> None:
        assert len({call.public for call in self.calls.values()}) == len(self.calls)
        for (real, own), (_, public, number) in self.calls.items():
            assert arrived(sends_gre(self.scenario, real, CLIENT, number)) == (VIP, CLIENT, number)
            assert arrived(sends_gre(self.scenario, CLIENT, VIP, public)) == (CLIENT, real, own)

    def nothing_passes(self, real: str, public: int, number: int) -> None:
        sends_gre(self.scenario, CLIENT, VIP, public).expect_dropped("no-service")
        sends_gre(self.scenario, real, CLIENT, number).expect_dropped("reply-without-connection")


TestCallsInAnyOrder = Machine.TestCase
TestCallsInAnyOrder.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
