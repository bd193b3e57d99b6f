"""The helper "pptp" against what every helper owes: its dialogues, however their octets travel."""

from __future__ import annotations

from typing import Any, ClassVar

from scapy.layers import pptp

from nat_lb.testing.conformance import Dialogue, HelperConformance, client_says, server_says
from nat_lb.testing.dialogue import Says


def talk(*steps: Says, left_over: int = 0) -> Dialogue:
    return Dialogue(*steps, virtual="203.0.113.100:1723", real="10.77.0.11:1723", left_over=left_over)


def octets(kind: type[Any], **fields: Any) -> bytes:
    """Return a message as scapy writes it, its length set."""
    return bytes(kind(len=len(kind()), **fields))


def padded(text: bytes) -> bytes:
    return text.ljust(64, b"\0")


# What pptp 1.10.0 and pptpd 1.4.0 say to each other.
START = client_says(
    octets(
        pptp.PPTPStartControlConnectionRequest,
        framing_capabilities=3,
        bearer_capabilities=3,
        firmware_revision=1,
        host_name=padded(b"local"),
        vendor_string=padded(b"cananian"),
    )
)
STARTED = server_says(
    octets(
        pptp.PPTPStartControlConnectionReply,
        framing_capabilities=0,
        bearer_capabilities=0,
        maximum_channels=1,
        firmware_revision=1,
        host_name=padded(b"local"),
        vendor_string=padded(b"linux"),
    )
)
RATES = {"maximum_bps": 10000000, "pkt_window_size": 3}


def call(number: int, serial: int = 0) -> Says:
    return client_says(
        octets(pptp.PPTPOutgoingCallRequest, call_id=number, call_serial_number=serial, minimum_bps=2400, **RATES)
    )


def connected(own: int, peer: int, result: int = 1) -> Says:
    fields = {"connect_speed": 10000000, "pkt_window_size": 3, "result_code": result}
    return server_says(octets(pptp.PPTPOutgoingCallReply, call_id=own, peer_call_id=peer, **fields))


def clear(number: int) -> Says:
    return client_says(octets(pptp.PPTPCallClearRequest, call_id=number))


def disconnected(number: int) -> Says:
    return server_says(octets(pptp.PPTPCallDisconnectNotify, call_id=number, result_code=4))


ECHO = client_says(octets(pptp.PPTPEchoRequest, identifier=7)), server_says(octets(pptp.PPTPEchoReply, identifier=7))
STOP = client_says(octets(pptp.PPTPStopControlConnectionRequest, reason=1))
STOPPED = server_says(octets(pptp.PPTPStopControlConnectionReply))


class TestPptp(HelperConformance):
    helper = "pptp"
    dialogues: ClassVar[dict[str, Dialogue]] = {
        "recorded": talk(START, STARTED, call(27718), connected(0, 27718), clear(27718), left_over=1),
        "two calls, one cleared, and the connection stopped": talk(
            START, STARTED, call(40334), call(58761, 1), connected(0, 40334), connected(1, 58761),
            *ECHO, clear(40334), disconnected(0), STOP, STOPPED,
        ),
        "incoming": talk(
            START, STARTED,
            server_says(octets(pptp.PPTPIncomingCallRequest, call_id=5)),
            client_says(octets(pptp.PPTPIncomingCallReply, call_id=9, peer_call_id=5)),
            server_says(octets(pptp.PPTPIncomingCallConnected, peer_call_id=9)),
            client_says(octets(pptp.PPTPSetLinkInfo, peer_call_id=5)),
            server_says(octets(pptp.PPTPWANErrorNotify, peer_call_id=9)),
            left_over=1,
        ),
        "declined": talk(
            START, STARTED, call(27718), connected(0, 27718, result=7),
            server_says(octets(pptp.PPTPIncomingCallRequest, call_id=5)),
            client_says(octets(pptp.PPTPIncomingCallReply, call_id=0, peer_call_id=5, result_code=3)),
        ),
    }  # fmt: skip


class TestPptpWithOneCall(HelperConformance):
    helper = "pptp"
    options: ClassVar[dict[str, Any]] = {"most_calls": 1}
    dialogues: ClassVar[dict[str, Dialogue]] = {
        "one too many": talk(START, STARTED, call(1), connected(0, 1), call(2, 1), connected(1, 2), left_over=1)
    }
