"""Messages to test with: calls, logical channels and registrations, encoded by pycrate.

    signal("connect", h245Address=address("10.77.0.11:2000"))
    control(open_channel(1, rtcp="10.77.0.11:6001"))
    ras("gatekeeperConfirm", rasAddress=address("10.77.0.11:1719"))

The law: a message has only what it must have, and what is asked for; keywords are the names of the ASN.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple, TypeAlias

from pycrate_asn1dir.H225 import H323_MESSAGES, MULTIMEDIA_SYSTEM_CONTROL
from pycrate_asn1rt.codecs import ASN1CodecPER

from nat_lb.api import Endpoint

Value: TypeAlias = tuple[str, Any]  # of a CHOICE

_MOST_EXTENSIONS = 32  # that tshark can count

PROTOCOL = (0, 0, 8, 2250, 0, 4)  # H.225.0 version 4
_TERMINAL: dict[str, Any] = {"mc": False, "undefinedNode": False}
_ID = {"guid": bytes(range(16))}
_MESSAGE_TYPES = {
    "alerting": 0x01,
    "callProceeding": 0x02,
    "progress": 0x03,
    "setup": 0x05,
    "connect": 0x07,
    "releaseComplete": 0x5A,
    "facility": 0x62,
}
_BODIES: dict[str, dict[str, Any]] = {
    "alerting": {"protocolIdentifier": PROTOCOL, "destinationInfo": _TERMINAL, "callIdentifier": _ID},
    "callProceeding": {"protocolIdentifier": PROTOCOL, "destinationInfo": _TERMINAL, "callIdentifier": _ID},
    "connect": {
        "protocolIdentifier": PROTOCOL,
        "destinationInfo": _TERMINAL,
        "conferenceID": bytes(16),
        "callIdentifier": _ID,
    },
    "facility": {"protocolIdentifier": PROTOCOL, "reason": ("callForwarded", 0), "callIdentifier": _ID},
    "progress": {"protocolIdentifier": PROTOCOL, "destinationInfo": _TERMINAL, "callIdentifier": _ID},
    "releaseComplete": {"protocolIdentifier": PROTOCOL, "callIdentifier": _ID},
    "setup": {
        "protocolIdentifier": PROTOCOL,
        "sourceInfo": _TERMINAL,
        "activeMC": False,
        "conferenceID": bytes(16),
        "conferenceGoal": ("create", 0),
        "callType": ("pointToPoint", 0),
        "callIdentifier": _ID,
        "mediaWaitForConnect": False,
        "canOverlapSend": False,
    },
}
_REQUESTS: dict[str, dict[str, Any]] = {
    "admissionConfirm": {"bandWidth": 640, "callModel": ("direct", 0)},
    "admissionReject": {"rejectReason": ("routeCallToGatekeeper", 0)},
    "admissionRequest": {
        "callType": ("pointToPoint", 0),
        "endpointIdentifier": "one",
        "srcInfo": [("dialledDigits", "100")],
        "bandWidth": 640,
        "callReferenceValue": 1,
        "conferenceID": bytes(16),
        "activeMC": False,
        "answerCall": False,
        "canMapAlias": False,
        "callIdentifier": _ID,
        "willSupplyUUIEs": False,
    },
    "gatekeeperConfirm": {"protocolIdentifier": PROTOCOL},
    "gatekeeperRequest": {"protocolIdentifier": PROTOCOL, "endpointType": _TERMINAL},
    "infoRequest": {"callReferenceValue": 0},
    "infoRequestResponse": {
        "endpointType": _TERMINAL,
        "endpointIdentifier": "one",
        "callSignalAddress": [],
        "needResponse": False,
    },
    "locationConfirm": {},
    "locationRequest": {"destinationInfo": [("dialledDigits", "200")]},
    "registrationConfirm": {
        "protocolIdentifier": PROTOCOL,
        "callSignalAddress": [],
        "endpointIdentifier": "one",
        "willRespondToIRR": False,
        "maintainConnection": False,
    },
    "registrationRequest": {
        "protocolIdentifier": PROTOCOL,
        "discoveryComplete": False,
        "callSignalAddress": [],
        "rasAddress": [],
        "terminalType": _TERMINAL,
        "endpointVendor": {
            "vendor": {"t35CountryCode": 181, "t35Extension": 0, "manufacturerCode": 1},
        },
        "keepAlive": False,
        "willSupplyUUIEs": False,
        "maintainConnection": False,
    },
    "unregistrationRequest": {"callSignalAddress": []},
}


def address(endpoint: Endpoint) -> Value:
    """Return an endpoint as H.225.0 has it."""
    kind = "ipAddress" if endpoint.address.version == 4 else "ip6Address"
    return kind, {"ip": endpoint.address.packed, "port": endpoint.port}


def control_address(endpoint: Endpoint) -> Value:
    """Return an endpoint as H.245 has it."""
    kind = "iPAddress" if endpoint.address.version == 4 else "iP6Address"
    return "unicastAddress", (kind, {"network": endpoint.address.packed, "tsapIdentifier": endpoint.port})


def tpkt(content: bytes) -> bytes:
    """Return content in a TPKT."""
    return b"\x03\x00" + (len(content) + 4).to_bytes(2, "big") + content


def signal(kind: str, tunnelled: Sequence[Value] = (), **fields: Any) -> bytes:
    """Return a message of call signalling with these fields, and H.245 messages tunnelled in it, as a TPKT."""
    pdu: dict[str, Any] = {"h323-message-body": (kind, _BODIES[kind] | fields), "h245Tunnelling": bool(tunnelled)}
    if tunnelled:
        pdu["h245Control"] = [_encoded_control(message) for message in tunnelled]
    body = _Extensible(pdu["h323-message-body"][1], f"{_capital(kind)}_UUIE")
    user = _encoded(H323_MESSAGES.H323_UserInformation, {"h323-uu-pdu": pdu}, body)
    element = b"\x7e" + (len(user) + 1).to_bytes(2, "big") + b"\x05" + user
    return tpkt(b"\x08\x02\x00\x01" + bytes([_MESSAGE_TYPES[kind]]) + b"\x28\x04Test" + element)


def control(*messages: Value) -> bytes:
    """Return H.245 messages in one TPKT."""
    return tpkt(b"".join(map(_encoded_control, messages)))


def ras(kind: str, **fields: Any) -> bytes:
    """Return a RAS message with these fields."""
    body = {"requestSeqNum": 1} | _REQUESTS[kind] | fields
    return _encoded(H323_MESSAGES.RasMessage, (kind, body), _Extensible(body, _capital(kind)))


def fast_start(*channels: Value) -> list[bytes]:
    """Return the field `fastStart` that proposes or accepts these channels."""
    return [_encoded(MULTIMEDIA_SYSTEM_CONTROL.OpenLogicalChannel, channel[1][1]) for channel in channels]


def open_channel(
    number: int,
    *,
    rtp: Endpoint | None = None,
    rtcp: Endpoint | None = None,
    reverse: bool = False,
    t120: Endpoint | None = None,
) -> Value:
    """Return an OpenLogicalChannel: of audio, of T.120 if an endpoint for that is given.

    The endpoints are named for the direction from its sender, or with `reverse` for the other one.
    """
    transport: dict[str, Any] = {"sessionID": 1, **_media(rtp, rtcp)}
    audio = ("audioData", ("g711Alaw64k", 20))
    parameters = ("h2250LogicalChannelParameters", transport)
    body: dict[str, Any] = {
        "forwardLogicalChannelNumber": number,
        "forwardLogicalChannelParameters": {"dataType": audio, "multiplexParameters": parameters},
    }
    if reverse:
        nothing = ("none", 0)
        body["forwardLogicalChannelParameters"] = {"dataType": ("nullData", 0), "multiplexParameters": nothing}
        body["reverseLogicalChannelParameters"] = {"dataType": audio, "multiplexParameters": parameters}
    if t120:
        data = ("data", {"application": ("t120", ("separateLANStack", 0)), "maxBitRate": 6400})
        body["forwardLogicalChannelParameters"]["dataType"] = data
        body["separateStack"] = _stack(t120)
    return "request", ("openLogicalChannel", body)


def acknowledge_channel(
    number: int, *, rtp: Endpoint | None = None, rtcp: Endpoint | None = None, t120: Endpoint | None = None
) -> Value:
    """Return an OpenLogicalChannelAck that says where the channel's data are wanted."""
    body: dict[str, Any] = {"forwardLogicalChannelNumber": number}
    if t120:
        body["separateStack"] = _stack(t120)
    if rtp or rtcp:
        transport: dict[str, Any] = {"sessionID": 1, **_media(rtp, rtcp)}
        body["forwardMultiplexAckParameters"] = ("h2250LogicalChannelAckParameters", transport)
    return "response", ("openLogicalChannelAck", body)


def _media(rtp: Endpoint | None, rtcp: Endpoint | None) -> dict[str, Value]:
    named = {"mediaChannel": rtp, "mediaControlChannel": rtcp}
    return {name: control_address(endpoint) for name, endpoint in named.items() if endpoint}


def _stack(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "networkAddress": ("localAreaAddress", control_address(endpoint)),
        "associateConference": False,
        "distribution": ("unicast", 0),
    }


def _encoded_control(message: Value) -> bytes:
    return _encoded(MULTIMEDIA_SYSTEM_CONTROL.MultimediaSystemControlMessage, message)


class _Extensible(NamedTuple):
    """The part of a message that may get an extension of a version to come, and the name of its type."""

    body: dict[str, Any]
    kind: str

    def extended(self) -> Iterator[None]:
        """Give it one extension after the other."""
        known = len(getattr(H323_MESSAGES, self.kind)._ext_nest)
        for number in range(known + 1, _MOST_EXTENSIONS + 1):
            self.body[f"_ext_{number}"] = bytes(1)
            yield
            del self.body[f"_ext_{number}"]


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]


def _encoded(kind: Any, value: Any, part: _Extensible | None = None) -> bytes:
    """Return the encoding of a value, as long as it can be decoded again.

    pycrate 0.8 pads extensions wrongly after some lengths of what is before them. Then one more, of a version to come,
    is added to a part of it, so that the padding is right.
    """
    for _ in chain([None], part.extended() if part else ()):
        octets = bytes(kind.to_aper(value))
        if _decodes_to(kind, octets, value):
            return octets
    raise ValueError(f"{value} cannot be encoded")


def _decodes_to(kind: Any, octets: bytes, value: Any) -> bool:
    depth = len(ASN1CodecPER._off)
    try:
        kind.from_aper(octets)
    except Exception:  # the decoder's own of many kinds
        del ASN1CodecPER._off[depth:]
        return False
    return bool(_known(kind.get_val()) == _known(value))


def _known(value: Any) -> Any:
    """Return a value without extensions of versions to come: the decoder numbers them otherwise than the encoder."""
    if isinstance(value, dict):
        return {name: _known(part) for name, part in value.items() if not name.startswith("_ext_")}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_known, value))
    return value
