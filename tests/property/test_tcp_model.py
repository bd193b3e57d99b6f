"""The model of two TCP stacks: sound boxes pass whatever the network does, and each kind of broken box is caught."""

from __future__ import annotations

import random
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6

from nat_lb.flow import Endpoint
from nat_lb.testing.tcp_endpoint import anything
from nat_lb.testing.tcp_model import Middle, Stack, TcpModel, Write, lines
from nat_lb.testing.tcp_segment import ACK, FIN, MSS, RST, SACK, SYN, TIMESTAMPS, URG, Segment, signed
from tests.property.habits import stacks

CLIENT, SERVER = Endpoint(ip_address("203.0.113.10"), 40000), Endpoint(ip_address("10.77.0.11"), 21)
CLIENT6, SERVER6 = Endpoint(ip_address("2001:db8::10"), 40000), Endpoint(ip_address("2001:db8::11"), 21)
NETWORK: dict[str, Any] = {"loss": 0.1, "duplicate": 0.1, "reorder": 0.2}
LONG = bytes(range(256)) * 12

WRITES = st.builds(
    Write,
    st.sampled_from([1, 7, 90, 700, 3000]).map(lambda size: LONG[:size]),
    at=st.sampled_from([0.0, 0.0, 0.5]),
    after=st.just(anything),
    urgent=st.sampled_from([False] * 4 + [True]),
)
STACKS = stacks(script=st.lists(WRITES, min_size=1, max_size=5), window=st.sampled_from([60, 600, 65535]))


def identity(packet: bytes, _now: float) -> list[bytes]:
    return [packet]


def edited(change: Callable[[Segment], Segment]) -> Middle:
    """A box that changes segments and keeps their checksums right."""
    return lambda packet, _now: [change(Segment.unpack(packet)[0]).pack()]


def run(box: Middle, seed: int = 1, network: dict[str, Any] | None = None, **options: Any) -> Any:
    client = Stack(CLIENT, SERVER, [Write(b"one\n"), Write(b"two\n", after=lines(1)), Write(LONG)], **options)
    server = Stack(SERVER, CLIENT, [Write(b"1\n", after=lines(1)), Write(LONG), Write(b"2\n")], **options)
    return TcpModel(client, server, box, random.Random(seed), **(network or {})).run()


def stream(stack: dict[str, Any]) -> bytes:
    return b"".join(write.data for write in stack["script"])


@settings(max_examples=150, deadline=None)
@given(STACKS, STACKS, st.integers(0, 2**32), st.booleans(), st.booleans())
def test_both_streams_arrive_whatever_the_network_does(
    client: dict[str, Any], server: dict[str, Any], seed: int, wide: bool, damaged: bool
) -> None:
    one, other = (CLIENT6, SERVER6) if wide else (CLIENT, SERVER)
    stacks = Stack(one, other, **client), Stack(other, one, **server)
    result = TcpModel(*stacks, identity, random.Random(seed), corrupt=0.05 * damaged, **NETWORK).run()
    assert (result.client_received, result.server_received) == (stream(server), stream(client))
    assert damaged or not result.dropped


def test_one_seed_gives_one_run() -> None:
    seen: list[list[bytes]] = [[], []]
    for packets in seen:
        run(lambda packet, _now, into=packets: into.append(packet) or [packet], network=NETWORK)  # type: ignore[misc]
    assert seen[0] == seen[1]
    assert len(seen[0]) > 20


def test_result_holds_both_streams_and_the_time_they_took() -> None:
    result = run(identity)
    assert (result.client_received, result.server_received) == (b"1\n" + LONG + b"2\n", b"one\ntwo\n" + LONG)
    assert 0.04 < result.now < 1
    assert 20 < result.steps < 200


def test_damaged_segments_are_dropped_and_sent_again() -> None:
    result = run(identity, network={"corrupt": 0.5})
    assert result.dropped > 3
    assert result.server_received == b"one\ntwo\n" + LONG


def observed(**options: Any) -> set[str]:
    """Return what the box saw in some runs through a bad network."""
    facts: set[str] = set()
    for seed in range(8):
        sent: dict[tuple[Any, int], int] = {}

        def look(packet: bytes, _now: float, sent: dict[tuple[Any, int], int] = sent) -> list[bytes]:
            segment, _ = Segment.unpack(packet)
            spans = [end for (source, seq), end in sent.items() if source == segment.source and seq == segment.seq]
            if segment.payload and spans and max(spans) != len(segment.payload):
                facts.add("other boundaries")
            if segment.payload:
                sent[segment.source, segment.seq] = len(segment.payload)
            starts = {seq for source, seq in sent if source == segment.source}
            again = segment.payload and any(signed(segment.seq - at) < 0 for at in starts)
            facts.update(["sent again"] if again else [])
            facts.update(["SACK"] if segment.option(SACK) else [])
            facts.update(["timestamps"] if segment.option(TIMESTAMPS) else [])
            facts.update(["urgent"] if segment.flags & URG else [])
            facts.update(["closed window"] if not segment.window else [])
            facts.update(["keep-alive"] if not segment.payload and segment.seq + 1 in starts else [])
            return [packet]

        run(look, seed, NETWORK, **options)
    return facts


def test_network_and_stacks_show_every_trouble_that_is_asked_for() -> None:
    assert observed(recut=True, slow_reader=0.5, window=500, keepalive=0.5) >= {
        "other boundaries",
        "sent again",
        "SACK",
        "timestamps",
        "closed window",
    }
    assert observed(recut=False, sack=False, timestamps=False) == {"sent again"}


def test_urgent_data_is_marked_where_it_ends() -> None:
    client = Stack(CLIENT, SERVER, [Write(b"some"), Write(b"\xff\xf4\xff\xf2", urgent=True), Write(b"ABOR\r\n")])
    for seed in range(20):
        result = TcpModel(client, Stack(SERVER, CLIENT), identity, random.Random(seed), **NETWORK).run()
        assert (result.server_urgent, result.client_urgent) == (frozenset({7}), frozenset())


def test_writes_wait_for_their_time_and_for_what_was_read() -> None:
    client = Stack(CLIENT, SERVER, [Write(b"ask\n", at=2.0), Write(b"bye\n", after=lines(2))])
    answers = [Write(b"first\n", after=lines(1)), Write(b"second\n"), Write(b"end\n", after=lines(2))]
    server = Stack(SERVER, CLIENT, answers)
    order: list[bytes] = []

    def box(packet: bytes, now: float) -> list[bytes]:
        payload = Segment.unpack(packet)[0].payload
        assert not payload or now >= 2
        order.extend([payload] if payload else [])
        return [packet]

    TcpModel(client, server, box, random.Random(1)).run()
    assert order == [b"ask\n", b"first\n", b"second\n", b"bye\n", b"end\n"]


@pytest.mark.parametrize("nagle", [True, False])
def test_nagle_keeps_one_small_segment_on_the_way(nagle: bool) -> None:
    client = Stack(CLIENT, SERVER, [Write(bytes((97 + at,))) for at in range(8)] + [Write(b"!", at=3.0)], nagle=nagle)
    sizes: list[int] = []

    def box(packet: bytes, _now: float) -> list[bytes]:
        segment, _ = Segment.unpack(packet)
        sizes.extend([len(segment.payload)] if segment.payload else [])
        return [packet]

    TcpModel(client, Stack(SERVER, CLIENT), box, random.Random(1)).run()
    assert sizes == ([1, 7, 1] if nagle else [1] * 9)


def later(segment: Segment, **changes: Any) -> Segment:
    """Change only what follows the handshake."""
    return segment if segment.flags & SYN else segment._replace(**changes)


def forged_sack(segment: Segment) -> Segment:
    at = segment.options.find(bytes((SACK, 10)))
    if at < 0:
        return segment
    return later(segment, options=segment.options[: at + 2] + b"\x7f" * 8 + segment.options[at + 10 :])


def without_timestamp(segment: Segment) -> Segment:
    return later(segment, options=b"")


@pytest.mark.parametrize(
    ("change", "failure"),
    [
        (lambda s: later(s, ack=s.ack + 100_000 & 0xFFFFFFFF), "is acknowledged but only 0 to"),
        (lambda s: later(s, ack=s.ack - 100_000 & 0xFFFFFFFF), "is acknowledged but only 0 to"),
        (forged_sack, "SACK block .* but only 0 to"),
        (without_timestamp, "no timestamp"),
        (lambda s: later(s, flags=s.flags | RST), "reset"),
        (lambda s: later(s, source=CLIENT6 if s.source == CLIENT else SERVER), "not my connection|nobody has"),
        (lambda s: s._replace(source=Endpoint(s.source.address, 999)), "not my connection"),
        (lambda s: s._replace(destination=Endpoint(ip_address("192.0.2.1"), 21)), "nobody has the address 192.0.2.1"),
        (lambda s: later(s, payload=s.payload + b"x" * 3000), "longer than the MSS 1460"),
        (lambda s: later(s, seq=s.seq + 1 & 0xFFFFFFFF), "not finished|SACK block"),
        (lambda s: later(s, flags=s.flags & ~FIN), "not finished"),
        (lambda s: later(s, flags=s.flags | SYN), "another SYN, at position"),
    ],
)
def test_box_that_breaks_the_connection_is_caught(change: Callable[[Segment], Segment], failure: str) -> None:
    with pytest.raises(AssertionError, match=failure) as caught:
        run_some(edited(change))
    assert "got" in caught.value.__notes__[0]


def run_some(box: Middle) -> None:
    for seed in range(10):
        run(box, seed, NETWORK)


def test_box_that_rewrites_a_retransmission_differently_is_caught() -> None:
    seen: set[int] = set()

    def box(segment: Segment) -> Segment:
        again = segment.seq in seen
        seen.update([segment.seq] if segment.payload else [])
        return segment._replace(payload=segment.payload.swapcase()) if again else segment

    with pytest.raises(AssertionError, match=r"octet \d+ was \d+ and is now \d+"):
        run_some(edited(box))


def test_box_that_spoils_a_checksum_is_caught() -> None:
    with pytest.raises(AssertionError, match="wrong checksum"):
        run(lambda packet, _now: [packet[:-1] + bytes((packet[-1] ^ 1,))])


def test_box_that_drops_everything_is_caught_in_bounded_time() -> None:
    model = TcpModel(Stack(CLIENT, SERVER), Stack(SERVER, CLIENT), lambda _packet, _now: [], random.Random(1))
    with pytest.raises(AssertionError, match="client: not finished after 500 steps"):
        model.run(500)


def test_box_that_makes_endpoints_acknowledge_for_ever_is_caught() -> None:
    def older(segment: Segment) -> Segment:
        bare = not segment.payload and not segment.flags & (SYN | FIN)
        return segment._replace(seq=(segment.seq - 1) & 0xFFFFFFFF) if bare else segment

    with pytest.raises(AssertionError, match="both ends are done but not at rest after 20000 steps"):
        run(edited(older))


def test_box_that_grows_the_stream_without_adjustment_is_caught() -> None:
    with pytest.raises(AssertionError):
        run_some(edited(lambda s: s._replace(payload=s.payload.replace(b"1\n", b"one\n"))))


@given(
    st.sampled_from([(CLIENT, SERVER), (CLIENT6, SERVER6)]),
    st.integers(0, 2**32 - 1),
    st.integers(0, 63),
    st.sampled_from([b"", b"\x01\x01\x05\x0a" + bytes(8), bytes((MSS, 4, 5, 180))]),
    st.binary(max_size=50),
)
def test_packets_are_what_another_implementation_builds(
    ends: tuple[Endpoint, Endpoint], seq: int, flags: int, options: bytes, payload: bytes
) -> None:
    segment = Segment(*ends, seq, 7, flags | ACK, 500, 3, options, payload)
    packet = segment.pack()
    parsed = (IP if packet[0] >> 4 == 4 else IPv6)(packet)
    if packet[0] >> 4 == 4:
        del parsed.chksum
    del parsed[TCP].chksum
    assert bytes(parsed) == packet
    assert Segment.unpack(packet) == (segment, True)
    assert not Segment.unpack(packet[:-1] + bytes((packet[-1] ^ 4,)))[1]
