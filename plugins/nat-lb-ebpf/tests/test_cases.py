"""One table of cases that the Python pipeline and both front ends pass: packets before, a packet in, what comes out."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from nat_lb.testing.packets import (
    ACK,
    FIN,
    PSH,
    RST,
    SYN,
    URG,
    checksums_are_right,
    echo,
    tcp,
    udp,
    with_extra_header,
    with_hops,
)  # fmt: skip
from nat_lb_ebpf import Counter

from .duel import UP, Duel, frame, lowered, skb
from .nets import IPV4, IPV6, NETS, Net

pytestmark = pytest.mark.live


class Talk:
    """The packets of one client and the real server that it was given."""

    def __init__(self, net: Net, client: str = "") -> None:
        self.net = net
        self.client, self.server = client or f"{net.client}:3000", f"{net.one}:8000"
        self.vip, self.dns, self.resolver = f"{net.vip}:80", f"{net.vip}:53", f"{net.two}:5353"

    def asks(self, flags: int, payload: bytes = b"", seq: int = 1000) -> bytes:
        return tcp(self.client, self.vip, flags, payload, seq=seq)

    def answers(self, flags: int, payload: bytes = b"") -> bytes:
        return tcp(self.server, self.client, flags, payload)

    def queries(self, payload: bytes = b"query") -> bytes:
        return udp(self.client, self.dns, payload)

    def replies(self, payload: bytes = b"reply") -> bytes:
        return udp(self.resolver, self.client, payload)

    @property
    def established(self) -> list[bytes]:
        return [self.asks(SYN), self.answers(SYN | ACK), self.asks(ACK)]


Packets = Callable[[Talk], list[bytes]]


@dataclass(frozen=True)
class Case:
    says: str
    packets: Packets  # the last one is the case; those before it are sent on
    up: bool = False

    def __str__(self) -> str:
        return self.says


def zero_sum(talk: Talk) -> bytes:
    """Return a datagram whose checksum comes out as zero when it is translated."""
    for value in range(0x10000):
        datagram = udp(talk.client, talk.dns, struct.pack("!H", value))
        if udp(talk.client, talk.resolver, struct.pack("!H", value))[-4:-2] == b"\0\0":
            return datagram
    raise AssertionError("no payload makes the checksum zero")


def broken(packet: bytes, at: int, mask: int) -> bytes:
    return packet[:at] + bytes((packet[at] ^ mask,)) + packet[at + 1 :]


def header(talk: Talk) -> int:
    return 20 if talk.net is IPV4 else 40


def fragment(packet: bytes) -> bytes:
    """Return a packet as the first fragment of one."""
    if packet[0] >> 4 == 4:
        return packet[:6] + b"\x20\0" + packet[8:]
    longer = packet[:4] + struct.pack("!H", len(packet) - 32) + b"\x2c" + packet[7:40]
    return longer + packet[6:7] + b"\0\0\1\0\0\0\7" + packet[40:]


def cut(packet: bytes, octets: int) -> bytes:
    """Return a packet that ends, and says so, in the middle of its transport header."""
    size = 20 if packet[0] >> 4 == 4 else 40
    at, length = (2, size + octets) if size == 20 else (4, octets)
    return packet[:at] + struct.pack("!H", length) + packet[at + 2 : size + octets]


CASES = (
    Case("opening segment", lambda t: [t.asks(SYN)]),
    Case("opening segment again", lambda t: [t.asks(SYN), t.asks(SYN)]),
    Case("second step of a handshake", lambda t: [t.asks(SYN), t.answers(SYN | ACK)]),
    Case("segment of an established connection", lambda t: [*t.established, t.asks(ACK | PSH, b"GET / HTTP/1.0\r\n")]),
    Case("answer of an established connection", lambda t: [*t.established, t.answers(ACK | PSH, b"200 fine")]),
    Case("end by the client", lambda t: [*t.established, t.asks(FIN | ACK)]),
    Case("end by the real server", lambda t: [*t.established, t.answers(FIN | ACK)]),
    Case("reset by the client", lambda t: [*t.established, t.asks(RST)]),
    Case("reset by the real server", lambda t: [*t.established, t.answers(RST)]),
    Case("segment without flags", lambda t: [*t.established, t.asks(0, b"odd")]),
    Case("urgent data of an odd length", lambda t: [*t.established, t.asks(ACK | URG, b"abc")]),
    Case("largest segment", lambda t: [*t.established, t.asks(ACK, bytes(1440 if t.net is IPV4 else 1420))]),
    Case("two hops left", lambda t: [*t.established, with_hops(t.asks(ACK), 2)]),
    Case("wrong checksum stays as wrong", lambda t: [*t.established, broken(t.asks(ACK), header(t) + 16, 0x55)]),
    Case("datagram", lambda t: [t.queries()]),
    Case("answered datagram", lambda t: [t.queries(), t.replies()]),
    Case("empty datagram", lambda t: [t.queries(b"")]),
    Case("datagram of an odd length", lambda t: [t.queries(), t.replies(b"odd")]),
    Case("datagram whose checksum would be zero", lambda t: [zero_sum(t)]),
    Case("opening segment over a closing connection", lambda t: [
        *t.established, t.asks(FIN | ACK), t.answers(FIN | ACK), t.asks(ACK), t.asks(SYN, seq=77777)]),
    Case("segment of no connection", lambda t: [t.asks(ACK)], up=True),
    Case("reset of no connection", lambda t: [t.asks(RST)], up=True),
    Case("answer of no connection", lambda t: [t.answers(SYN | ACK)], up=True),
    Case("port without a service", lambda t: [tcp(t.client, f"{t.net.vip}:81", SYN)], up=True),
    Case("segment to a datagram service", lambda t: [tcp(t.client, t.dns, SYN)], up=True),
    Case("packet to somebody else", lambda t: [tcp(t.client, t.server, SYN)], up=True),
    Case("last hop, opening", lambda t: [with_hops(t.asks(SYN), 1)], up=True),
    Case("last hop of a client's packet", lambda t: [*t.established, with_hops(t.asks(ACK), 1)], up=True),
    Case("last hop of a real server's packet", lambda t: [*t.established, with_hops(t.answers(ACK), 1)], up=True),
    Case("no hop at all", lambda t: [*t.established, with_hops(t.asks(ACK), 0)], up=True),
    Case("option or extension header", lambda t: [*t.established, with_extra_header(t.asks(ACK))], up=True),
    Case("fragment", lambda t: [*t.established, fragment(t.asks(ACK, bytes(32)))], up=True),
    Case("more said than there is", lambda t: [*t.established, t.asks(ACK, b"data")[:-2]], up=True),
    Case("half a TCP header", lambda t: [*t.established, cut(t.asks(ACK), 14)], up=True),
    Case("half a UDP header", lambda t: [t.queries(), cut(t.queries(), 6)], up=True),
    Case("no transport header", lambda t: [*t.established, cut(t.asks(ACK), 0)], up=True),
    Case("no checksum", lambda t: [t.queries(), udp(t.client, t.dns, b"x", checksummed=False)], up=True),
    Case("segment larger than the MTU", lambda t: [*t.established, t.asks(ACK, bytes(1500))], up=True),
    Case("echo request to the virtual IP", lambda t: [echo(t.net.client, t.net.vip)], up=True),
)  # fmt: skip


@pytest.mark.parametrize("net", NETS, ids=("ipv4", "ipv6"))
@pytest.mark.parametrize("case", CASES, ids=str)
def test_case_is_decided_as_the_table_says(case: Case, net: Net, duel: Duel) -> None:
    duel.serve(net.service(f"{net.one}:8000") + net.service(f"{net.two}:5353", port=53, protocol="udp"))
    if net is IPV6 and "echo" in case.says:
        case = Case(case.says, lambda t: [echo("2001:db8:100::2", "2001:db8:103::5")], up=True)
    *before, packet = case.packets(Talk(net))
    for earlier in before:
        duel.both(earlier)
    states, loads = duel.states(), duel.loads()
    if case.up:
        assert duel.fast(packet) is None
        assert duel.states() == states
        assert duel.loads() == loads
    else:
        out = duel.both(packet)
        assert checksums_are_right(out) == checksums_are_right(packet)
        duel.states()
        duel.loads()


def test_padding_of_a_short_frame_is_left_alone(duel: Duel) -> None:
    duel.serve(IPV4.service(f"{IPV4.one}:8000"))
    talk = Talk(IPV4)
    slow = duel.slow(talk.asks(SYN))
    assert slow is not None
    assert duel.fast(talk.asks(SYN) + bytes(6)) == lowered(slow) + bytes(6)


@pytest.mark.parametrize("receiver", [b"\xff\xff\xff\xff\xff\xff", b"\x01\x00\x5e\x00\x00\x01"], ids=("all", "group"))
def test_frame_to_many_is_left_to_the_stack(receiver: bytes, duel: Duel) -> None:
    duel.serve(IPV4.service(f"{IPV4.one}:8000"))
    sent = receiver + frame(Talk(IPV4).asks(SYN))[6:]
    program, context = (duel.path.kernel.tc, skb()) if duel.front == "tc" else (duel.path.kernel.xdp, b"")
    assert program.run(sent, context=context)[:2] == (UP[duel.front], sent)


def test_frame_to_another_host_is_left_to_the_stack(tc: Duel) -> None:
    tc.serve(IPV4.service(f"{IPV4.one}:8000"))
    sent = b"\x02\0\0\0\0\x77" + frame(Talk(IPV4).asks(SYN))[6:]
    assert tc.path.kernel.tc.run(sent, context=skb())[:2] == (UP["tc"], sent)


def test_segments_of_one_large_packet_are_counted_each(tc: Duel) -> None:
    tc.serve(IPV4.service(f"{IPV4.one}:8000"))
    talk = Talk(IPV4)
    for packet in talk.established:
        assert tc.fast(packet) is not None
    before = tc.path.services.load(tc.services[0], tc.server(f"{IPV4.one}:8000"))
    assert tc.fast(talk.asks(ACK, bytes(2500)), gso_segs=3, gso_size=1000) is not None
    assert tc.fast(talk.asks(ACK, bytes(3000)), gso_segs=2, gso_size=1500) is None  # each would be larger than the MTU
    after = tc.path.services.load(tc.services[0], tc.server(f"{IPV4.one}:8000"))
    assert after.packets[0] - before.packets[0] == 3
    assert after.octets[0] - before.octets[0] == 3 * 40 + 2500


def test_address_that_changes_no_checksum_is_exchanged_too(tc: Duel) -> None:
    real = "[fd00:172:16::3038]:8000"  # the same sum as the virtual address's
    tc.serve(IPV6.service(real))
    out = tc.both(tcp(f"{IPV6.client}:3000", f"{IPV6.vip}:80", SYN))
    assert checksums_are_right(out)
    assert checksums_are_right(tc.both(tcp(real, f"{IPV6.client}:3000", SYN | ACK)))


def test_reasons_are_counted_of_the_director_s_packets_alone(duel: Duel) -> None:
    duel.serve(IPV4.service(f"{IPV4.one}:8000") + IPV4.service(f"{IPV4.two}:5353", port=53, protocol="udp"))
    talk = Talk(IPV4)
    for packet in (*talk.established, talk.queries()):
        duel.both(packet)
    before = duel.path.counters()
    for packet in (
        with_hops(tcp(talk.client, talk.server, ACK), 1),
        udp(talk.client, f"{IPV4.two}:99", checksummed=False),
        with_hops(talk.asks(ACK), 1),
        udp(talk.client, talk.dns, checksummed=False),
        talk.asks(ACK, bytes(1500)),
    ):
        assert duel.fast(packet) is None
    after = duel.path.counters()
    counted = {counter: after[counter] - before[counter] for counter in Counter if after[counter] != before[counter]}
    assert counted == {Counter.UP_HOPS: 1, Counter.UP_CHECKSUM: 1, Counter.UP_ROUTE: 1}
