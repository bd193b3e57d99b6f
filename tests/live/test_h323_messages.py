"""Every address that the helpers of H.323 overwrite, judged by tshark: it reads the new one, and all else as before.

The law: for each row of the helpers' table there is a message here, over both families. What tshark makes of it before
and after differs in nothing but addresses and ports that stand for one another.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

import pytest
from pycrate_asn1dir.H225 import H323_MESSAGES

from nat_lb.api import Direction, Endpoint, Helper, Peers
from nat_lb.io.capture import CaptureWriter
from nat_lb.testing import packets
from nat_lb.testing.packets import ACK, PSH, endpoint
from nat_lb.testing.recording import Recording
from nat_lb_h323 import H245, H323, Ras
from nat_lb_h323.rules import rows
from nat_lb_h323.testing import (
    Value,
    acknowledge_channel,
    address,
    control,
    control_address,
    fast_start,
    open_channel,
    ras,
    signal,
)
from tests.live.ground import IPV4, IPV6, Family, both_families

RAW_IP = 101
PORT = 6000  # of whatever is announced; it is not free, so the public one is another
HOSTS = {
    IPV4: ("203.0.113.10", "203.0.113.100", "10.77.0.11"),
    IPV6: ("[2001:db8::10]", "[2001:db8::100]", "[fd00::11]"),
}
EMBEDDED = ("h225.FastStart_item", "h225.H245Control_item")  # read again, bit by bit, right behind
BELOW = ("geninfo", "frame", "raw", "ip", "ipv6", "tcp", "udp")
PORTS: dict[type[Helper], int] = {H323: 1720, H245: 2000, Ras: 1719}
WITH_H245 = ("setup", "callProceeding", "alerting", "progress", "connect", "facility")
LISTED = frozenset(  # these have any number of addresses under one name
    {
        ("registrationRequest", "callSignalAddress"),
        ("registrationRequest", "rasAddress"),
        ("registrationConfirm", "callSignalAddress"),
        ("unregistrationRequest", "callSignalAddress"),
        ("infoRequestResponse", "callSignalAddress"),
        ("admissionReject", "callSignalAddress"),
    }
)
ASKED_OF_GATEKEEPERS = [
    ("gatekeeperConfirm", "rasAddress"),
    ("registrationRequest", "callSignalAddress", "rasAddress"),
    ("registrationConfirm", "callSignalAddress"),
    ("unregistrationRequest", "callSignalAddress"),
    ("admissionRequest", "srcCallSignalAddress", "destCallSignalAddress"),
    ("admissionConfirm", "destCallSignalAddress"),
    ("admissionReject", "callSignalAddress"),
    ("locationRequest", "replyAddress"),
    ("locationConfirm", "callSignalAddress", "rasAddress"),
    ("infoRequest", "replyAddress"),
    ("infoRequestResponse", "callSignalAddress", "rasAddress"),
]
ONLY_MENTIONED = (("setup", "destCallSignalAddress"), ("connect", "transportID"))  # names what is not announced here
MODE: dict[str, Any] = {"sessionID": 1, "sessionDescription": "x", "dataType": ("audioData", ("g711Alaw64k", 20))}
ADMITTED: dict[str, Any] = {"requestSeqNum": 1, "bandWidth": 640, "callModel": ("direct", 0)}

pytestmark = pytest.mark.live


class Case(NamedTuple):
    """A message of one helper's protocol with an address in it, and the row of the table that it is for."""

    helper: type[Helper]
    row: tuple[str, str]
    data: bytes


class Leaf(NamedTuple):
    """What tshark read at one place: the name, and the octets in hexadecimal."""

    name: str
    value: str


def cases(at: Endpoint) -> Iterator[Case]:
    """Yield messages that name an endpoint: every row, and ways to say it that have a code of their own."""
    there = address(at)
    for kind in WITH_H245:
        yield Case(H323, (kind, "h245Address"), signal(kind, h245Address=there))
    yield Case(H323, ("setup", "destCallSignalAddress"), signal("setup", destCallSignalAddress=there))
    yield Case(H323, ("setup", "sourceCallSignalAddress"), signal("setup", sourceCallSignalAddress=there))
    yield Case(H323, ("facility", "alternativeAddress"), signal("facility", alternativeAddress=there))
    yield Case(H323, ("connect", "transportID"), signal("connect", connectedAddress=[("transportID", there)]))
    of_a_version_to_come = signal("connect", h245Address=there, _ext_30=b"\x00\x01\x02")
    yield Case(H323, ("connect", "h245Address"), of_a_version_to_come)
    for number, row, message in channels(at):
        yield Case(H245, row, control(message))
        yield Case(H323, row, signal("facility", [message]))
        if number:
            yield Case(H323, row, signal("callProceeding", fastStart=fast_start(message)))
    for kind, *names in ASKED_OF_GATEKEEPERS:
        fields = {name: [there] if (kind, name) in LISTED else there for name in names}
        yield from (Case(Ras, (kind, name), ras(kind, **fields)) for name in names)
    yield from nested(there)


def channels(at: Endpoint) -> Iterator[tuple[int, tuple[str, str], Value]]:
    """Yield H.245's messages with their rows; those with a number may also be said in a fast start."""
    odd = at._replace(port=at.port + 1)
    yield 1, ("openLogicalChannel", "mediaChannel"), open_channel(1, rtp=at)
    yield 2, ("openLogicalChannel", "mediaControlChannel"), open_channel(2, reverse=True, rtcp=odd)
    yield 0, ("openLogicalChannel", "localAreaAddress"), open_channel(3, t120=at)
    yield 0, ("openLogicalChannelAck", "mediaChannel"), acknowledge_channel(1, rtp=at)
    yield 0, ("openLogicalChannelAck", "mediaControlChannel"), acknowledge_channel(1, rtcp=odd)
    yield 0, ("openLogicalChannelAck", "localAreaAddress"), acknowledge_channel(3, t120=at)
    for name, named in ("mediaChannel", at), ("mediaControlChannel", odd):
        table = ("communicationModeTable", [MODE | {name: control_address(named)}])
        yield 0, ("communicationModeCommand", name), ("command", ("communicationModeCommand", dict([table])))
        yield 0, ("communicationModeResponse", name), ("response", ("communicationModeResponse", table))
    located = ("mcLocationIndication", {"signalAddress": control_address(at)})
    yield 0, ("mcLocationIndication", "signalAddress"), ("indication", located)


def nested(there: Value) -> Iterator[Case]:
    """Yield messages of RAS that name an endpoint further inside."""
    more = {"destCallSignalAddress": there, "alternateEndpoints": [{"callSignalAddress": [there]}]}
    gatekeepers = [{"rasAddress": there, "needToRegister": True, "priority": 1}]
    H323_MESSAGES.RasMessage.set_val(("admissionConfirmSequence", [ADMITTED | more]))
    sequence = H323_MESSAGES.RasMessage.to_aper()
    yield Case(Ras, ("admissionConfirm", "callSignalAddress"), ras("admissionConfirm", **more))
    yield from (
        Case(Ras, ("admissionConfirmSequence", name), sequence)
        for name in ("destCallSignalAddress", "callSignalAddress")
    )
    yield Case(Ras, ("registrationConfirm", "rasAddress"), ras("registrationConfirm", alternateGatekeeper=gatekeepers))


def rewritten(case: Case, peers: Peers, direction: Direction) -> bytes:
    """Return what becomes of a message, after the helper has heard who is where."""
    recorded = Recording(peers)
    recorded.taken = {PORT, PORT + 1}
    helper = case.helper(peers)
    if case.helper is Ras:  # what is only mentioned was announced before
        said = ras("registrationConfirm", callSignalAddress=[address(Endpoint(peers.real.address, PORT))])
        recorded.shows(helper, said, Direction.REPLY)
    result = case.data
    for start, end, text in recorded.shows(helper, case.data, direction):
        assert end - start == len(text)
        result = result[:start] + text + result[end:]
    assert recorded.refused == []
    return result


def write(path: Path, family: Family, said: Sequence[tuple[type[Helper], bytes]]) -> Path:
    """Write each message into a packet of a connection of its own."""
    client, _, real = HOSTS[family]
    with CaptureWriter(path, RAW_IP) as writer:
        for number, (helper, data) in enumerate(said):
            ends = f"{real}:{PORTS[helper]}", f"{client}:{40000 + number}"
            packet = packets.udp(*ends, data) if helper is Ras else packets.tcp(*ends, PSH | ACK, data, seq=1, ack=1)
            writer.write(0, packet)
    return path


def read(path: Path) -> list[list[Leaf]]:
    """Return what tshark reads in each packet above TCP and UDP, to the last bit."""
    command = ["tshark", "-n", "-r", str(path), "-d", f"tcp.port=={PORTS[H245]},h245", "-T", "pdml"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=120)
    return [list(leaves(packet)) for packet in ET.fromstring(done.stdout)]


def leaves(packet: ET.Element) -> Iterator[Leaf]:
    """Yield what has nothing inside, and what tells of a protocol."""
    above = [protocol for protocol in packet.findall("proto") if protocol.get("name") not in BELOW]
    for element in (element for protocol in above for element in protocol.iter()):
        if element.tag == "proto" or (len(element) == 0 and element.get("name") not in EMBEDDED):
            yield Leaf(element.get("name", ""), element.get("unmaskedvalue") or element.get("value") or "")


def judged(
    folder: Path, family: Family, told: Sequence[Case], direction: Direction
) -> Iterator[tuple[Case, set[tuple[str, str]]]]:
    """Let a helper rewrite messages; yield, for each, which octets tshark reads as which others afterwards."""
    heard = [rewritten(case, peers_of(case.helper, family), direction) for case in told]
    before = read(write(folder / "told", family, [(case.helper, case.data) for case in told]))
    after = read(write(folder / "heard", family, [(one.helper, data) for one, data in zip(told, heard, strict=True)]))
    for case, old, new in zip(told, before, after, strict=True):
        names = {leaf.name for leaf in new}
        assert names & {"h225", "h245"}, case
        assert not names & {"_ws.malformed", "data"}, case
        assert [leaf.name for leaf in new] == [leaf.name for leaf in old], case
        yield case, {(one.value, other.value) for one, other in zip(old, new, strict=True) if one != other}


def peers_of(helper: type[Helper], family: Family) -> Peers:
    client, virtual, real = (endpoint(f"{host}:{PORTS[helper]}") for host in HOSTS[family])
    return Peers(client, virtual, real)


def octets(host: str, port: int) -> tuple[str, str]:
    found, number = endpoint(f"{host}:{port}").packed
    return found.hex(), number.hex()


def test_each_row_of_the_table_is_judged() -> None:
    known = {(message, name) for message, name, _ in rows()}
    assert known - {case.row for case in cases(endpoint(f"{HOSTS[IPV4][2]}:{PORT}"))} == set()


@both_families
def test_tshark_reads_the_public_endpoint_and_all_else_as_it_was(tmp_path: Path, family: Family) -> None:
    _, virtual, real = HOSTS[family]
    told = [case for case in cases(endpoint(f"{real}:{PORT}")) if case.row not in ONLY_MENTIONED]
    (old_host, even), (new_host, new_even) = octets(real, PORT), octets(virtual, PORT + 2)
    odd, new_odd = octets(real, PORT + 1)[1], octets(virtual, PORT + 3)[1]
    for case, changed in judged(tmp_path, family, told, Direction.REPLY):
        assert (old_host, new_host) in changed, case
        assert changed <= {(old_host, new_host), (even, new_even), (odd, new_odd)}, case
        assert len(changed) > 1, case


@both_families
def test_tshark_reads_the_real_endpoint_where_a_client_names_the_service(tmp_path: Path, family: Family) -> None:
    _, virtual, real = HOSTS[family]
    at = address(endpoint(f"{virtual}:1720"))
    told = [
        Case(H323, ("setup", "destCallSignalAddress"), signal("setup", destCallSignalAddress=at)),
        Case(H323, ("setup", "transportID"), signal("setup", destinationAddress=[("transportID", at)])),
        Case(Ras, ("admissionRequest", "destCallSignalAddress"), ras("admissionRequest", destCallSignalAddress=at)),
    ]
    for case, changed in judged(tmp_path, family, told, Direction.ORIGINAL):
        assert changed == {(octets(virtual, 0)[0], octets(real, 0)[0])}, case
