"""What is found in messages, where it stands, and that nothing a peer sends does any harm."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycrate_asn1dir.H225 import MULTIMEDIA_SYSTEM_CONTROL
from pycrate_asn1rt.codecs import ASN1CodecPER
from scapy.layers.inet import TCP, UDP
from scapy.utils import rdpcap

from nat_lb.api import Endpoint
from nat_lb.testing.packets import endpoint
from nat_lb_h323 import asn1
from nat_lb_h323.content import Content, UnreadableError
from nat_lb_h323.framing import TPKT_HEADER, find_user_information, tpkt_length
from nat_lb_h323.testing import acknowledge_channel, address, control, fast_start, open_channel, ras, signal

CAPTURES = Path(__file__).parents[4] / "shared" / "captures"
A, B, C = endpoint("10.77.0.11:6000"), endpoint("203.0.113.10:6001"), endpoint("[fd00::11]:6003")


def signalling(message: bytes) -> Content:
    found = find_user_information(message)
    assert found is not None
    return asn1.read_signalling(message, *found)


def controlling(message: bytes) -> Content:
    return asn1.read_control(message, TPKT_HEADER)


def told(content: Content) -> list[tuple[str, str, Endpoint]]:
    return [(field.message, field.name, field.endpoint) for field in content.fields]


def test_addresses_of_call_signalling_are_found_with_their_names() -> None:
    content = signalling(
        signal("setup", h245Address=address(A), destCallSignalAddress=address(B), sourceCallSignalAddress=address(C))
    )
    assert told(content) == [
        ("setup", "h245Address", A),
        ("setup", "destCallSignalAddress", B),
        ("setup", "sourceCallSignalAddress", C),
    ]
    assert content.failure == ""


def test_fast_start_and_tunnelled_messages_are_read_too() -> None:
    message = signal(
        "connect",
        [open_channel(1, rtcp=A), acknowledge_channel(2, rtp=B, rtcp=C)],
        h245Address=address(A),
        fastStart=fast_start(open_channel(1, rtp=A, rtcp=B), open_channel(2, reverse=True, rtcp=C)),
    )
    assert told(signalling(message)) == [
        ("connect", "h245Address", A),
        ("openLogicalChannel", "mediaChannel", A),
        ("openLogicalChannel", "mediaControlChannel", B),
        ("openLogicalChannel", "mediaControlChannel", C),
        ("openLogicalChannel", "mediaControlChannel", A),
        ("openLogicalChannelAck", "mediaChannel", B),
        ("openLogicalChannelAck", "mediaControlChannel", C),
    ]


@pytest.mark.parametrize("number", [20, 40, 64, 90])
def test_message_of_a_version_to_come_is_read(number: int) -> None:
    message = signal("connect", h245Address=address(A), fastStart=fast_start(open_channel(1, rtp=B)), **unknown(number))
    assert told(signalling(message)) == [("connect", "h245Address", A), ("openLogicalChannel", "mediaChannel", B)]


def unknown(number: int) -> dict[str, Any]:
    """Return an extension that no version of H.225.0 has yet; its bit is in a longer bitmap than any of today."""
    return {f"_ext_{number}": b"\x00\x01\x02"}


def test_parallel_h245_of_a_setup_is_read() -> None:
    inner = control(open_channel(1, rtcp=A))[TPKT_HEADER:]
    assert told(signalling(signal("setup", parallelH245Control=[inner]))) == [
        ("openLogicalChannel", "mediaControlChannel", A)
    ]


def test_several_control_messages_in_one_tpkt_are_all_read() -> None:
    message = control(open_channel(1, rtcp=A), acknowledge_channel(1, rtp=B), open_channel(3, t120=C))
    assert told(controlling(message)) == [
        ("openLogicalChannel", "mediaControlChannel", A),
        ("openLogicalChannelAck", "mediaChannel", B),
        ("openLogicalChannel", "localAreaAddress", C),
    ]


def test_time_to_live_of_a_registration_is_read() -> None:
    content = asn1.read_ras(ras("registrationRequest", callSignalAddress=[address(A), address(C)], timeToLive=120))
    assert (content.message, content.time_to_live) == ("registrationRequest", 120)
    assert told(content) == [("registrationRequest", "callSignalAddress", at) for at in (A, C)]
    assert asn1.read_ras(ras("gatekeeperConfirm", rasAddress=address(A))).time_to_live is None


MESSAGES: dict[str, tuple[bytes, Callable[[bytes], Content]]] = {
    "setup": (signal("setup", sourceCallSignalAddress=address(A), h245Address=address(B)), signalling),
    "fast start": (signal("alerting", fastStart=fast_start(open_channel(1, rtp=A, rtcp=C))), signalling),
    "tunnelled": (signal("facility", [acknowledge_channel(1, rtp=A, rtcp=C)]), signalling),
    "OpenLogicalChannel": (control(open_channel(1, rtcp=A), open_channel(2, t120=B)), controlling),
    "registration": (ras("registrationRequest", callSignalAddress=[address(A), address(A), address(C)]), asn1.read_ras),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_octets_at_the_place_of_a_field_are_its_address_and_its_port(name: str) -> None:
    data, read = MESSAGES[name]
    fields = read(data).fields
    assert len(fields) > 1
    for field in fields:
        octets = b"".join(field.endpoint.packed)
        assert data[field.at : field.at + len(octets)] == octets


@pytest.mark.parametrize("name", MESSAGES)
def test_overwriting_one_field_changes_nothing_else(name: str) -> None:
    data, read = MESSAGES[name]
    fields = read(data).fields
    for number, field in enumerate(fields):
        other = Endpoint(field.endpoint.address + 7, field.endpoint.port + 7)
        octets = b"".join(other.packed)
        changed = data[: field.at] + octets + data[field.at + len(octets) :]
        assert read(changed).fields == [*fields[:number], field._replace(endpoint=other), *fields[number + 1 :]]


def test_port_that_looks_like_another_address_is_not_taken_for_one() -> None:
    first, second = endpoint("10.77.0.11:2637"), endpoint("77.0.11.10:1")  # 2637 is 10, 77
    message = signal("setup", destCallSignalAddress=address(first), sourceCallSignalAddress=address(second))
    assert [field.endpoint for field in signalling(message).fields] == [first, second]


def test_embedded_message_that_cannot_be_read_spoils_only_itself() -> None:
    content = signalling(
        signal("connect", h245Address=address(A), fastStart=[b"\xff\xff", *fast_start(open_channel(1, rtcp=B))])
    )
    assert [field.endpoint for field in content.fields] == [A, B]
    assert content.failure.startswith("OpenLogicalChannel: ")


def test_what_cannot_be_read_says_so() -> None:
    with pytest.raises(UnreadableError, match=r"^RasMessage: CharpyErr: bitlen overflow"):
        asn1.read_ras(b"\x0e\xff")
    with pytest.raises(UnreadableError, match=r"^H323-UserInformation: "):
        asn1.read_signalling(b"\x0e\xff", 0, 2)


def test_rest_of_a_tpkt_behind_a_broken_control_message_is_left() -> None:
    message = control(open_channel(1, rtcp=A)) + b"\x03\xff"
    content = controlling(message)
    assert told(content) == [("openLogicalChannel", "mediaControlChannel", A)]
    assert content.failure.startswith("MultimediaSystemControlMessage: ")


def test_message_of_too_many_parts_is_given_up() -> None:
    aliases = [("dialledDigits", "1")] * 8000
    start = time.perf_counter()
    with pytest.raises(UnreadableError, match="it has too many parts"):
        asn1.read_ras(ras("registrationRequest", terminalAlias=aliases))
    assert time.perf_counter() - start < 30


@pytest.mark.parametrize("count", [300, 1000])
def test_budget_is_one_for_all_embedded_messages(count: int) -> None:
    message = signal("connect", fastStart=[b"\xff"] * count, h245Address=address(A))
    content = signalling(message)
    assert told(content) == [("connect", "h245Address", A)]
    assert content.failure != ""


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(MESSAGES)), st.binary(max_size=300), st.integers(0, 2**32))
def test_garbage_is_unreadable_at_worst_and_leaves_no_trace(name: str, junk: bytes, seed: int) -> None:
    data, read = MESSAGES[name]
    before = read(data)
    depth = len(ASN1CodecPER._off)
    rng = random.Random(seed)
    broken = bytearray(data)
    for _ in range(rng.randrange(1, 6)):
        broken[rng.randrange(TPKT_HEADER if data[0] == 3 else 0, len(broken))] = rng.randrange(256)
    for octets in (bytes(broken), bytes(broken[: rng.randrange(8, len(broken))]), junk):
        with contextlib.suppress(UnreadableError):
            asn1.read_ras(octets)
        with contextlib.suppress(UnreadableError):
            asn1.read_signalling(octets, 0, len(octets))
        asn1.read_control(octets, 0)
    assert len(ASN1CodecPER._off) == depth
    assert read(data) == before


def test_decoder_still_reads_through_our_octets() -> None:
    """Should pycrate copy what it reads, places would be lost; and with them all addresses."""
    kind = MULTIMEDIA_SYSTEM_CONTROL.MultimediaSystemControlMessage
    reader = asn1._Finder().reader(control(open_channel(1, rtcp=A))[TPKT_HEADER:], TPKT_HEADER)
    kind.from_aper(reader)
    channel = kind.get_val()[1][1]["forwardLogicalChannelParameters"]["multiplexParameters"][1]["mediaControlChannel"]
    assert isinstance(channel[1][1]["network"], asn1._Octets)


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="the captures are not part of the project")
@pytest.mark.parametrize("name", ["ndpi-h323.pcap", "h323-kernelnat-rs.pcap", "h323-kernelnat-client.pcap"])
def test_addresses_of_real_terminals_and_gatekeepers_are_found(name: str) -> None:
    found = 0
    for packet in rdpcap(str(CAPTURES / name)):
        for data, content in readings(packet):
            for field in content.fields:
                octets = b"".join(field.endpoint.packed)
                assert data[field.at : field.at + len(octets)] == octets
                found += 1
    assert found == {"ndpi-h323.pcap": 34}.get(name, 9)


def readings(packet: Any) -> list[tuple[bytes, Content]]:
    """Return the messages of a captured packet, each with what is read in it."""
    if UDP in packet and 1719 in (packet[UDP].sport, packet[UDP].dport):
        data = bytes(packet[UDP].payload)
        return [(data, asn1.read_ras(data))]
    data, found = bytes(packet[TCP].payload) if TCP in packet else b"", []
    while data.startswith(b"\x03\x00") and tpkt_length(data):
        message, data = data[: tpkt_length(data)], data[tpkt_length(data) :]
        with contextlib.suppress(UnreadableError):  # one that tshark calls malformed, too
            found.append((message, signalling(message) if message[4] == 8 else controlling(message)))
    return found
