"""What one packet of a known connection costs in process, by kind, against a plain TCP packet over IPv4."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from nat_lb.director import Director
from nat_lb.segment import ACK, PSH, SYN
from nat_lb.testing import packets
from nat_lb.verdict import Stage
from tests.bench.sample import Row, Samples, Scale, take
from tests.bench.traffic import RIP, VIP, Flows, cost, director, fill, forwarded

SECTION = "One packet"
PLAIN = "plain TCP over IPv4"
_CLIENT, _CLIENT6, _VIP6, _RIP6 = "100.64.0.1", "2001:db8::1", "2001:db8::5", "fd00::2"
_REPLY, _LARGE, _IPV6, _UDP = "real server's reply", "1460 octets of payload", "TCP over IPv6", "UDP"
_LINE, _EMPTY = "FTP helper: a command, nothing to rewrite", "FTP helper: an acknowledgement"


def measure(scale: Scale) -> list[Row]:
    """Return a row for each kind of packet."""
    samples = _samples(scale)
    rows = [Row(SECTION, PLAIN, samples.median(PLAIN), "µs")]
    kinds = (_REPLY, _LARGE, _IPV6, _UDP, _EMPTY, _LINE)
    return rows + [samples.row(SECTION, kind, "µs", kind, PLAIN) for kind in kinds]


def _samples(scale: Scale) -> Samples:
    count = scale.packets
    target = director()
    flows, large = Flows(1000), Flows(1000, 1460)
    fill(target, flows)
    udp = _opened(director("udp", port=53), packets.udp(f"{_CLIENT}:3000", f"{VIP}:53", b"x" * 20))
    opening = packets.tcp(f"[{_CLIENT6}]:3000", f"[{_VIP6}]:80", SYN)
    ipv6 = _opened(director(vip=_VIP6, rip=_RIP6), opening)
    conversation = _Conversation()
    return take(
        {
            PLAIN: _timed(target, lambda: flows.random(count)),
            _REPLY: _timed(target, lambda: flows.random(count, reply=True), Stage.AFTER_ROUTING),
            _LARGE: _timed(target, lambda: large.random(count)),
            _IPV6: _timed(ipv6, lambda: [packets.tcp(f"[{_CLIENT6}]:3000", f"[{_VIP6}]:80", ACK)] * count),
            _UDP: _timed(udp, lambda: [packets.udp(f"{_CLIENT}:3000", f"{VIP}:53", b"x" * 20)] * count),
            _EMPTY: _timed(conversation.director, lambda: conversation.acknowledgements(count)),
            _LINE: _timed(conversation.director, lambda: conversation.commands(count)),
        },
        scale.turns,
    )


def _timed(
    target: Director, make: Callable[[], list[bytes]], stage: Stage = Stage.BEFORE_ROUTING
) -> Callable[[], float]:
    return lambda: cost(target, make(), 1.0, stage)


def _opened(target: Director, first: bytes) -> Director:
    forwarded(target.pipeline.process(first, 0.0, Stage.BEFORE_ROUTING))
    return target


class _Conversation:
    """An FTP control connection whose client types on and on."""

    def __init__(self) -> None:
        self.director = director(port=21, more='helpers = ["ftp"]')
        ends = f"{_CLIENT}:3000", f"{VIP}:21"
        process = self.director.pipeline.process
        forwarded(process(packets.tcp(*ends, SYN, seq=0), 0.0, Stage.BEFORE_ROUTING))
        answer = packets.tcp(f"{RIP}:21", f"{_CLIENT}:3000", SYN | ACK, seq=0, ack=1)
        forwarded(process(answer, 0.0, Stage.AFTER_ROUTING))
        self._ends = ends
        self._sequence = itertools.count(1, 6)

    def commands(self, count: int) -> list[bytes]:
        """Return the next segments of one line each."""
        return [
            packets.tcp(*self._ends, PSH | ACK, b"NOOP\r\n", seq=seq, ack=1)
            for seq in itertools.islice(self._sequence, count)
        ]

    def acknowledgements(self, count: int) -> list[bytes]:
        """Return segments without payload."""
        return [packets.tcp(*self._ends, ACK, seq=1, ack=1)] * count
