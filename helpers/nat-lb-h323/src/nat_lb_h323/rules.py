"""Which address in which message announces what: the one table of this helper.

The law: a field is listed here with what it means when a real server names itself in it, and when a client does; what
is not listed is left alone.

An address that only says where somebody is (`MENTIONED`) is translated where it names an end of this very connection,
or something that was announced before, and opens nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Channel:
    """The connections that are expected because of an announcement: arguments of `Message.expect_client`."""

    what: str  # in the words of a log line
    protocol: str
    helper: str | None = None
    paired_at: int | None = None  # which of an even and the odd port above it is announced, the other one is too
    many: bool = False
    any_client: bool = False

    def span(self, port: int) -> range:
        """Return the ports that an announced one stands for; RTP is even and its RTCP is above it (RFC 3550 §11)."""
        if self.paired_at is None or port % 2 != self.paired_at:
            return range(port, port + 1)
        return range(port - self.paired_at, port - self.paired_at + 2)


CONTROL = Channel("H.245", "tcp", helper="h245")
CALLS = Channel("calls", "tcp", helper="h323", many=True)
CALLS_OF_ANYBODY = Channel("calls", "tcp", helper="h323", many=True, any_client=True)
RAS = Channel("RAS", "udp", helper="ras", many=True)
RAS_OF_ANYBODY = Channel("RAS", "udp", helper="ras", many=True, any_client=True)
RTP = Channel("RTP", "udp", paired_at=0)
RTCP = Channel("RTCP", "udp", paired_at=1)
T120 = Channel("T.120", "tcp", many=True)


@dataclass(frozen=True)
class Rule:
    """What an address means: `server` when the real server names itself, `client` when the client does."""

    server: Channel | None = None
    client: Channel | None = None
    here: bool = False  # it may name an end of this very connection, and then announces nothing
    others: bool = False  # it may name somebody else, which is none of our business


MENTIONED = Rule(here=True, others=True)
_CALLS = Rule(CALLS, CALLS)
_CALLS_OR_OTHERS = Rule(CALLS, CALLS, others=True)  # a call may go straight to the other terminal
_MEDIA = {"mediaChannel": Rule(RTP, RTP), "mediaControlChannel": Rule(RTCP, RTCP)}
_CHANNEL = {**_MEDIA, "localAreaAddress": Rule(T120, T120)}
_H245 = {"h245Address": Rule(CONTROL, CONTROL)}
_ENDPOINT = {"callSignalAddress": Rule(CALLS_OF_ANYBODY, CALLS), "rasAddress": Rule(RAS_OF_ANYBODY, RAS, here=True)}
_ADMISSION = {"destCallSignalAddress": _CALLS_OR_OTHERS, "callSignalAddress": _CALLS_OR_OTHERS}

_TABLE = {
    # H.225.0 call signalling
    "setup": {
        **_H245,
        "destCallSignalAddress": MENTIONED,
        "sourceCallSignalAddress": Rule(CALLS, here=True, others=True),
    },
    "callProceeding": _H245,
    "alerting": _H245,
    "progress": _H245,
    "connect": _H245,
    "facility": {**_H245, "alternativeAddress": _CALLS},
    # H.245
    "openLogicalChannel": _CHANNEL,
    "openLogicalChannelAck": _CHANNEL,
    "communicationModeCommand": _MEDIA,
    "communicationModeResponse": _MEDIA,
    "mcLocationIndication": {"signalAddress": _CALLS},
    # RAS
    "registrationRequest": _ENDPOINT,
    "registrationConfirm": {"callSignalAddress": _CALLS_OR_OTHERS},
    "unregistrationRequest": {"callSignalAddress": MENTIONED},
    "admissionRequest": {"srcCallSignalAddress": MENTIONED, "destCallSignalAddress": MENTIONED},
    "admissionConfirm": _ADMISSION,
    "admissionConfirmSequence": _ADMISSION,
    "admissionReject": {"callSignalAddress": _CALLS_OR_OTHERS},
    "locationRequest": {"replyAddress": Rule(RAS, RAS, here=True)},
    "locationConfirm": {"callSignalAddress": _CALLS_OR_OTHERS, "rasAddress": Rule(RAS, RAS, here=True, others=True)},
    "infoRequest": {"replyAddress": Rule(RAS, RAS, here=True)},
    "infoRequestResponse": {"callSignalAddress": MENTIONED, "rasAddress": MENTIONED},
}
_ANYWHERE = {
    "rasAddress": Rule(RAS, RAS, here=True),  # gatekeepers are named in most answers
    "transportID": MENTIONED,  # an address as somebody's name
}


def rule_for(message: str, name: str) -> Rule | None:
    """Return what an address under this name means in a message; None if it is left alone."""
    return _TABLE.get(message, {}).get(name) or _ANYWHERE.get(name)


def rows() -> Iterable[tuple[str, str, Rule]]:
    """Return the table row by row."""
    return ((message, name, rule) for message, fields in _TABLE.items() for name, rule in fields.items())
