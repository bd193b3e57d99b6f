"""What one packet of a known connection costs in process, by kind, against a plain TCP packet over IPv4."""

from __future__ import annotations

from collections.abc import Callable

from nat_lb.director import Director
from nat_lb.segment import ACK, PSH, SYN
from nat_lb.testing import packets
from nat_lb.verdict import Stage
from tests.bench.sample import Row, Samples, Scale, take
from tests.bench.traffic import RIP, VIP, Flows, cost, director, fill, forwarded

SECTION = "One packet"
AIM = "<= 2"
PLAIN = "plain TCP over IPv4"
_CLIENT, _CLIENT6, _VIP6, _RIP6 = "100.64.0.1", "2001:db8::1", "2001:db8::5", "fd00::2"
_REPLY, _LARGE, _IPV6, _UDP = "real server's reply", "1460 octets of payload", "TCP over IPv6", "UDP"
_EMPTY, _COMMAND, _ANSWER = (
    f"FTP helper: {kind}" for kind in ("an acknowledgement", "a plain command", "a plain reply")
)
_LINE, _ECHO, _ALIVE = "IRC helper: a plain line", "PPTP helper: an echo", "H.323 helper: a keep-alive"
_MOVED, _MOVED_ANSWER = (f"FTP helper, after an edit: {kind}" for kind in ("an acknowledgement", "a plain reply"))
_LEFT, _LEFT_MOVED = (f"FTP helper that left{how}: 1460 octets" for how in ("", " after an edit"))
_ECHO_REQUEST, _EMPTY_TPKT = bytes.fromhex("001000011a2b3c4d0005000000000001"), b"\x03\x00\x00\x04"
_PASSIVE, _EDITED = b"227 (172,16,0,2,200,1)\r\n", b"227 (202,103,106,5,200,1)\r\n"


def measure(scale: Scale) -> list[Row]:
    """Return a row for each kind of packet."""
    samples = _samples(scale)
    rows = [Row(SECTION, PLAIN, samples.median(PLAIN), "µs")]
    plain = (_REPLY, _LARGE, _IPV6, _UDP)
    rows += [samples.row(SECTION, kind, "µs", kind, PLAIN) for kind in plain]
    small = (_EMPTY, _COMMAND, _ANSWER, _LINE, _ECHO, _ALIVE, _MOVED, _MOVED_ANSWER)
    rows += [samples.row(SECTION, kind, "µs", kind, PLAIN, AIM) for kind in small]
    return rows + [samples.row(SECTION, kind, "µs", kind, _LARGE, AIM) for kind in (_LEFT, _LEFT_MOVED)]


def _samples(scale: Scale) -> Samples:
    count = scale.packets
    target = director()
    flows, large = Flows(1000), Flows(1000, 1460)
    fill(target, flows)
    udp = _opened(director("udp", port=53), packets.udp(f"{_CLIENT}:3000", f"{VIP}:53", b"x" * 20))
    opening = packets.tcp(f"[{_CLIENT6}]:3000", f"[{_VIP6}]:80", SYN)
    ipv6 = _opened(director(vip=_VIP6, rip=_RIP6), opening)
    return take(
        {
            PLAIN: _timed(target, lambda: flows.random(count)),
            _REPLY: _timed(target, lambda: flows.random(count, reply=True), Stage.AFTER_ROUTING),
            _LARGE: _timed(target, lambda: large.random(count)),
            _IPV6: _timed(ipv6, lambda: [packets.tcp(f"[{_CLIENT6}]:3000", f"[{_VIP6}]:80", ACK)] * count),
            _UDP: _timed(udp, lambda: [packets.udp(f"{_CLIENT}:3000", f"{VIP}:53", b"x" * 20)] * count),
            **_of_helpers(count),
        },
        scale.turns,
    )


def _of_helpers(count: int) -> dict[str, Callable[[], float]]:
    ftp, irc, edited = _Conversation("ftp"), _Conversation("irc"), _Conversation("ftp").edited()
    left, left_edited = _Conversation("ftp").encrypted(), _Conversation("ftp").edited().encrypted()
    return {
        _EMPTY: ftp.timed(b"", count),
        _COMMAND: ftp.timed(b"RETR file.txt\r\n", count),
        _ANSWER: ftp.timed(b"226 Transfer complete.\r\n", count, reply=True),
        _LINE: irc.timed(b":bob!b@example.org PRIVMSG alice :hello\r\n", count, reply=True),
        _ECHO: _Conversation("pptp").timed(_ECHO_REQUEST, count),
        _ALIVE: _Conversation("h323").timed(_EMPTY_TPKT, count),
        _MOVED: edited.timed(b"", count),
        _MOVED_ANSWER: edited.timed(b"226 Transfer complete.\r\n", count, reply=True),
        _LEFT: left.timed(b"x" * 1460, count, reply=True),
        _LEFT_MOVED: left_edited.timed(b"x" * 1460, count, reply=True),
    }


def _timed(
    target: Director, make: Callable[[], list[bytes]], stage: Stage = Stage.BEFORE_ROUTING
) -> Callable[[], float]:
    return lambda: cost(target, make(), 1.0, stage)


def _opened(target: Director, first: bytes) -> Director:
    forwarded(target.pipeline.process(first, 0.0, Stage.BEFORE_ROUTING))
    return target


class _Conversation:
    """A connection that has a helper, whose ends talk on and on."""

    def __init__(self, helper: str) -> None:
        self.director = director(port=21, more=f'helpers = ["{helper}"]')
        self._next = [0, 0]  # by direction: sequence numbers as their sender counts
        self._growth = 0
        for flags, reply in (SYN, False), (SYN | ACK, True):
            self._say(flags, b"", reply=reply)
            self._next[reply] += 1
        self._say(ACK, b"")
        if helper == "ftp":
            self._say(ACK, b"220 hello\r\n", reply=True)
            self._say(ACK, b"USER me\r\n")

    def edited(self) -> _Conversation:
        """Let the helper edit a reply that grows, and the client acknowledge it."""
        self._say(ACK, b"PASV\r\n")
        self._say(ACK, _PASSIVE, reply=True)
        self._growth = len(_EDITED) - len(_PASSIVE)
        self._say(ACK, b"")
        return self

    def encrypted(self) -> _Conversation:
        """Let the ends turn to encryption, so that the helper leaves."""
        self._say(ACK, b"AUTH TLS\r\n")
        self._say(ACK, b"234 go on\r\n", reply=True)
        self._say(ACK, b"")
        return self

    def timed(self, payload: bytes, count: int, *, reply: bool = False) -> Callable[[], float]:
        """Return what measures one end saying the same again and again."""
        stage = Stage.AFTER_ROUTING if reply else Stage.BEFORE_ROUTING
        return lambda: cost(self.director, [self._packet(PSH | ACK, payload, reply) for _ in range(count)], 1.0, stage)

    def _say(self, flags: int, payload: bytes, *, reply: bool = False) -> None:
        forwarded(self.director.pipeline.process(self._packet(flags, payload, reply), 0.0, Stage.ANY))

    def _packet(self, flags: int, payload: bytes, reply: bool) -> bytes:
        ends = (f"{RIP}:21", f"{_CLIENT}:3000") if reply else (f"{_CLIENT}:3000", f"{VIP}:21")
        seq, ack = self._next[reply], self._next[not reply] + (0 if reply else self._growth)
        self._next[reply] += len(payload)
        return packets.tcp(*ends, flags, payload, seq=seq, ack=ack)
