"""Control messages read from octets, held against what scapy writes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers import pptp

from nat_lb.api import Refusal
from nat_lb_pptp.wire import LAYOUTS, LONGEST_MESSAGE, Control, Kind, kind_of, message_length, parse

SCAPY: dict[Kind, type[Any]] = {
    Kind.START_REQUEST: pptp.PPTPStartControlConnectionRequest,
    Kind.START_REPLY: pptp.PPTPStartControlConnectionReply,
    Kind.STOP_REQUEST: pptp.PPTPStopControlConnectionRequest,
    Kind.STOP_REPLY: pptp.PPTPStopControlConnectionReply,
    Kind.ECHO_REQUEST: pptp.PPTPEchoRequest,
    Kind.ECHO_REPLY: pptp.PPTPEchoReply,
    Kind.OUTGOING_CALL_REQUEST: pptp.PPTPOutgoingCallRequest,
    Kind.OUTGOING_CALL_REPLY: pptp.PPTPOutgoingCallReply,
    Kind.INCOMING_CALL_REQUEST: pptp.PPTPIncomingCallRequest,
    Kind.INCOMING_CALL_REPLY: pptp.PPTPIncomingCallReply,
    Kind.INCOMING_CALL_CONNECTED: pptp.PPTPIncomingCallConnected,
    Kind.CALL_CLEAR_REQUEST: pptp.PPTPCallClearRequest,
    Kind.CALL_DISCONNECT_NOTIFY: pptp.PPTPCallDisconnectNotify,
    Kind.WAN_ERROR_NOTIFY: pptp.PPTPWANErrorNotify,
    Kind.SET_LINK_INFO: pptp.PPTPSetLinkInfo,
}
OWN, PEER = 0x1234, 0xFEDC


def written_by_scapy(kind: Kind, **fields: int) -> bytes:
    """Return a message as scapy writes it, its length set."""
    return bytes(SCAPY[kind](len=len(SCAPY[kind]()), **fields))


def ids_of(kind: Kind) -> dict[str, int]:
    names = {field.name for field in SCAPY[kind].fields_desc}
    return {name: value for name, value in (("call_id", OWN), ("peer_call_id", PEER)) if name in names}


@pytest.mark.parametrize("kind", Kind)
def test_ids_stand_where_scapy_writes_them(kind: Kind) -> None:
    ids = ids_of(kind)
    message = written_by_scapy(kind, **ids)
    assert message_length(message) == len(message) == LAYOUTS[kind].length
    control = parse(message)
    assert control is not None
    assert control[:3] == (kind, ids.get("call_id"), ids.get("peer_call_id"))


@pytest.mark.parametrize("kind", [Kind.OUTGOING_CALL_REPLY, Kind.INCOMING_CALL_REPLY])
@pytest.mark.parametrize("result", range(9))
def test_only_result_one_connects_a_call(kind: Kind, result: int) -> None:
    message = written_by_scapy(kind, call_id=OWN, peer_call_id=PEER, result_code=result)
    assert parse(message) == Control(kind, OWN, PEER, connected=result == 1)


@pytest.mark.parametrize("kind", Kind)
def test_no_other_message_connects_a_call(kind: Kind) -> None:
    control = parse(written_by_scapy(kind)[:12] + b"\1" * (LAYOUTS[kind].length - 12))
    assert control is not None
    assert control.connected is (LAYOUTS[kind].result is not None)


def test_length_is_known_as_soon_as_the_cookie_is_complete() -> None:
    message = written_by_scapy(Kind.SET_LINK_INFO)
    assert [message_length(message[:size]) for size in range(8)] == [0] * 8
    assert [message_length(message[:size]) for size in (8, 11, 24)] == [24] * 3
    assert message_length(message * 2) == 24


@pytest.mark.parametrize(
    "start",
    ["000b", "0401", "ffff", "0018 01", "0018 0000", "0018 0003", "0018 0001 1b", "0018 0001 1a2b3c4e", "0018 0002 00"],
)
def test_no_message_begins_with_a_wrong_length_type_or_cookie(start: str) -> None:
    assert message_length(bytes.fromhex(start)) is None
    assert message_length(bytes.fromhex(start) + bytes(40)) is None


def test_type_is_known_before_the_message_is_complete() -> None:
    message = written_by_scapy(Kind.CALL_DISCONNECT_NOTIFY)
    assert [kind_of(message[:size]) for size in range(10)] == [None] * 10
    assert kind_of(message[:10]) is Kind.CALL_DISCONNECT_NOTIFY


def test_management_messages_say_nothing_of_calls() -> None:
    message = bytes.fromhex("0018 0002 1a2b3c4d 0008") + bytes(14)
    assert (message_length(message), kind_of(message), parse(message)) == (24, None, None)


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ("0010 0001 1a2b3c4d 0000 0000 00000000", "control message of unknown type 0"),
        ("0010 0001 1a2b3c4d 0010 0000 00000000", "control message of unknown type 16"),
        ("0010 0001 1a2b3c4d 0008 0000 00000000", "Outgoing-Call-Reply of 16 octets, expected 32"),
        ("0012 0001 1a2b3c4d 000c 0000 000000000000", "Call-Clear-Request of 18 octets, expected 16"),
        ("000c 0001 1a2b3c4d 000d 0000", "Call-Disconnect-Notify of 12 octets, expected 148"),
    ],
)
def test_malformed_messages_are_named(message: str, problem: str) -> None:
    with pytest.raises(Refusal) as refusal:
        parse(bytes.fromhex(message))
    assert (str(refusal.value), refusal.value.kind) == (problem, "malformed")


@given(st.binary(max_size=300))
def test_random_octets_are_read_or_refused(data: bytes) -> None:
    length = message_length(data)
    assert length is None or length == 0 or 12 <= length <= LONGEST_MESSAGE
    if length is None:
        assert message_length(data + b"\0") is None
    kind_of(data)
