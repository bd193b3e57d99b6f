"""Every row of the table, in both directions: what is written, what is expected, and on what terms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pycrate_asn1dir.H225 import H323_MESSAGES, MULTIMEDIA_SYSTEM_CONTROL

from nat_lb.api import Direction, Edit, Endpoint, Message, Peers
from nat_lb.testing.packets import endpoint
from nat_lb.testing.recording import Recording
from nat_lb_h323.announcements import Announcements
from nat_lb_h323.asn1 import _ADDRESSES, _UNTOLD
from nat_lb_h323.content import Content, Field
from nat_lb_h323.rules import rows, rule_for

PEERS = Peers(endpoint("203.0.113.10:40000"), endpoint("203.0.113.100:1720"), endpoint("10.77.0.11:1720"))
CONTROL, CALLS, T120 = "tcp x1 h245", "tcp x1 h323 many", "tcp x1 None many"
RTP, RAS = "udp x2 None", "udp x1 ras many"
ANYBODYS = " any"
MESSAGES_WITH_H245 = ("setup", "callProceeding", "alerting", "progress", "connect", "facility")

# message, name, what is expected if the real server names itself, and if the client does
TABLE = [
    *((message, "h245Address", CONTROL, CONTROL) for message in MESSAGES_WITH_H245),
    ("setup", "destCallSignalAddress", "", ""),
    ("setup", "sourceCallSignalAddress", CALLS, ""),
    ("facility", "alternativeAddress", CALLS, CALLS),
    ("openLogicalChannel", "mediaChannel", RTP, RTP),
    ("openLogicalChannel", "mediaControlChannel", RTP, RTP),
    ("openLogicalChannel", "localAreaAddress", T120, T120),
    ("openLogicalChannelAck", "mediaChannel", RTP, RTP),
    ("openLogicalChannelAck", "mediaControlChannel", RTP, RTP),
    ("openLogicalChannelAck", "localAreaAddress", T120, T120),
    ("communicationModeCommand", "mediaChannel", RTP, RTP),
    ("communicationModeCommand", "mediaControlChannel", RTP, RTP),
    ("communicationModeResponse", "mediaChannel", RTP, RTP),
    ("communicationModeResponse", "mediaControlChannel", RTP, RTP),
    ("mcLocationIndication", "signalAddress", CALLS, CALLS),
    ("registrationRequest", "callSignalAddress", CALLS + ANYBODYS, CALLS),
    ("registrationRequest", "rasAddress", RAS + ANYBODYS, RAS),
    ("registrationConfirm", "callSignalAddress", CALLS, CALLS),
    ("unregistrationRequest", "callSignalAddress", "", ""),
    ("admissionRequest", "srcCallSignalAddress", "", ""),
    ("admissionRequest", "destCallSignalAddress", "", ""),
    ("admissionConfirm", "destCallSignalAddress", CALLS, CALLS),
    ("admissionConfirm", "callSignalAddress", CALLS, CALLS),
    ("admissionConfirmSequence", "destCallSignalAddress", CALLS, CALLS),
    ("admissionConfirmSequence", "callSignalAddress", CALLS, CALLS),
    ("admissionReject", "callSignalAddress", CALLS, CALLS),
    ("locationRequest", "replyAddress", RAS, RAS),
    ("locationConfirm", "callSignalAddress", CALLS, CALLS),
    ("locationConfirm", "rasAddress", RAS, RAS),
    ("infoRequest", "replyAddress", RAS, RAS),
    ("infoRequestResponse", "callSignalAddress", "", ""),
    ("infoRequestResponse", "rasAddress", "", ""),
]
ANYWHERE = [("gatekeeperConfirm", "rasAddress", RAS, RAS), ("setup", "transportID", "", "")]
every_row = pytest.mark.parametrize(("message", "name", "server", "client"), [*TABLE, *ANYWHERE])


class Told:
    """What comes of one announcement."""

    def __init__(self, message: str, name: str, named: str, direction: Direction) -> None:
        field = Field(message, name, endpoint(named), 2)
        data = b"__" + b"".join(field.endpoint.packed) + b"__"
        self.recorded = Recording(PEERS)
        self.recorded.taken = {5000, 5001, 1720}
        announcements = Announcements(PEERS, (), 1024)
        told = Message(data, direction, PEERS, self.recorded)
        self.read_as = apply(announcements.edits(told, Content([field])), field)

    @property
    def terms(self) -> str:
        found = []
        for terms in self.recorded.terms:
            flags = f"{' many' * terms.many}{' any' * terms.any_client}"
            found.append(f"{terms.protocol} x{terms.ports} {terms.helper}{flags}")
            assert (terms.bound, terms.timeout) == (False, None)
        return ", ".join(found)


def apply(edits: list[Edit], field: Field) -> str:
    """Return the endpoint that is read where a field is, after the edits."""
    if not edits:
        return str(field.endpoint)
    [edit] = edits
    assert (edit.start, edit.end - edit.start) == (field.at, len(edit.text))
    address, port = edit.text[:-2], int.from_bytes(edit.text[-2:], "big")
    return str(Endpoint(type(field.endpoint.address)(address), port))


@every_row
def test_endpoint_of_the_real_server(message: str, name: str, server: str, client: str) -> None:
    port = 5001 if name == "mediaControlChannel" else 5000
    told = Told(message, name, f"10.77.0.11:{port}", Direction.REPLY)
    public = {CONTROL: 5002, RTP: port + 2, "": port}.get(server, 5002)
    address = "203.0.113.100" if server else "10.77.0.11"
    assert (told.terms, told.read_as) == (server, f"{address}:{public}")
    assert told.recorded.to_real == (["10.77.0.11:5000"] if server else [])
    assert (told.recorded.to_client, told.recorded.refused) == ([], [])


@every_row
def test_endpoint_of_the_client(message: str, name: str, server: str, client: str) -> None:
    port = 5001 if name == "mediaControlChannel" else 5000
    told = Told(message, name, f"203.0.113.10:{port}", Direction.ORIGINAL)
    assert (told.terms, told.read_as) == (client, f"203.0.113.10:{port}")
    assert told.recorded.to_client == (["203.0.113.10:5000"] if client else [])
    assert (told.recorded.to_real, told.recorded.refused) == ([], [])


@every_row
def test_client_that_is_named_by_the_real_server_stays(message: str, name: str, server: str, client: str) -> None:
    told = Told(message, name, "203.0.113.10:5000", Direction.REPLY)
    assert (told.terms, told.read_as, told.recorded.refused) == ("", "203.0.113.10:5000", [])


@every_row
def test_third_host_opens_nothing_and_stays(message: str, name: str, server: str, client: str) -> None:
    rule = rule_for(message, name)
    assert rule is not None
    for direction, owner in (
        (Direction.REPLY, "real server's, which is 10.77.0.11"),
        (Direction.ORIGINAL, "client's, who is 203.0.113.10"),
    ):
        told = Told(message, name, "192.0.2.9:5000", direction)
        assert (told.terms, told.read_as) == ("", "192.0.2.9:5000")
        why = [] if rule.others else [f"{name} of {message}: 192.0.2.9:5000 is not the {owner}"]
        assert (told.recorded.refused, told.recorded.kinds) == (why, ["foreign address"] * len(why))


@every_row
def test_privileged_port_opens_nothing(message: str, name: str, server: str, client: str) -> None:
    for direction, host, expected in (
        (Direction.REPLY, "10.77.0.11", server),
        (Direction.ORIGINAL, "203.0.113.10", client),
    ):
        told = Told(message, name, f"{host}:23", direction)
        assert (told.terms, told.read_as) == ("", f"{host}:23")
        assert told.recorded.kinds == (["privileged port"] if expected else [])


@every_row
def test_client_that_names_the_service_reaches_the_real_server(
    message: str, name: str, server: str, client: str
) -> None:
    told = Told(message, name, "203.0.113.100:1720", Direction.ORIGINAL)
    assert (told.terms, told.read_as, told.recorded.refused) == ("", "10.77.0.11:1720", [])


def test_table_has_no_row_that_is_not_tested() -> None:
    assert {(message, name) for message, name, *_ in TABLE} == {(message, name) for message, name, _ in rows()}
    assert len(TABLE) == len(list(rows()))


def test_every_row_is_a_field_of_the_asn1() -> None:
    found = {(path[0], path[-1]) for path in all_paths()}
    missing = {row[:2] for row in [*TABLE, *ANYWHERE]} - found
    assert missing == set()


@pytest.mark.parametrize(
    ("message", "name"), [("infoRequestResponse", "recvAddress"), ("setup", "annexE"), ("nonsense", "h245Address")]
)
def test_what_is_not_in_the_table_is_left_alone(message: str, name: str) -> None:
    told = Told(message, name, "10.77.0.11:5000", Direction.REPLY)
    assert (told.terms, told.read_as, told.recorded.refused) == ("", "10.77.0.11:5000", [])


def all_paths() -> Iterator[tuple[str, ...]]:
    """Return the names that lead to every transport address there is."""
    for kind in (
        H323_MESSAGES.H323_UserInformation,
        H323_MESSAGES.RasMessage,
        MULTIMEDIA_SYSTEM_CONTROL.MultimediaSystemControlMessage,
    ):
        yield from paths(kind, (), ())


def paths(kind: Any, path: tuple[str, ...], seen: tuple[Any, ...]) -> Iterator[tuple[str, ...]]:
    name = kind._typeref.called if kind._typeref is not None else None
    if name is not None and name in seen:
        return
    inner: Any = getattr(kind, "_cont", None)
    if kind.TYPE.endswith(" OF"):
        yield from paths(inner, path, (*seen, name))
    elif kind.TYPE in ("SEQUENCE", "SET", "CHOICE"):
        for part, below in inner.items():
            if part in _ADDRESSES:
                yield path
            else:
                yield from paths(below, path if part in _UNTOLD else (*path, part), (*seen, name))
