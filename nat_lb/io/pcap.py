"""Replay: a capture file in, a capture file of what the director would send out.

The law: the same capture gives the same bytes, on any machine; time is the capture's and never goes backwards; and the
part of the kernel (reassembly, lowering the time to live, timers) is played here, so that what is written is what a
wire would show.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from nat_lb.errors import ConfigError
from nat_lb.io import link
from nat_lb.io.capture import CaptureReader, CaptureWriter, Record
from nat_lb.io.fragments import Reassembly, is_fragment
from nat_lb.packet import lower_hops
from nat_lb.verdict import Drop, NotForwarded, Reason, Reject, Stage, Verdict

log = logging.getLogger(__name__)

Process = Callable[[bytes, float, Stage], Verdict]


@dataclass
class ReplaySummary:
    """What a replay came to: `read` frames of the capture, and what became of the IP packets in them.

    `forwarded` went on as they were, `rewritten` changed; `dropped`, `rejected` and `replaced` count by reason those
    that did not; `sent` are the packets that went in their place.  `end` is the time of the last frame in seconds.
    """

    read: int = 0
    forwarded: int = 0
    rewritten: int = 0
    sent: int = 0
    not_ip: int = 0
    truncated: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    replaced: Counter[str] = field(default_factory=Counter)
    end: float = 0.0

    def __str__(self) -> str:
        parts = [f"{self.read} read", f"{self.forwarded} forwarded", f"{self.rewritten} rewritten"]
        for name in ("dropped", "rejected", "replaced"):
            counts: Counter[str] = getattr(self, name)
            if counts:
                reasons = ", ".join(f"{number} {reason}" for reason, number in sorted(counts.items()))
                parts.append(f"{counts.total()} {name} ({reasons})")
        parts.append(f"{self.sent} sent")
        parts += [f"{self.not_ip} not IP"] * bool(self.not_ip) + [f"{self.truncated} truncated"] * bool(self.truncated)
        return "; ".join(parts)


def replay(source: Path | str, target: Path | str, process: Process, tick: Callable[[float], None]) -> ReplaySummary:
    """Give every IP packet of `source` to `process` at its time in the capture and write what is sent to `target`.

    `tick` is called before a packet when a second has passed since the last call, and once at the end.  Frames of an
    Ethernet capture keep their addresses and tags; of any other, `target` has bare IP packets.  Raises `ConfigError`
    when a file cannot be used; `target` then holds what came before the damage.
    """
    source, target = Path(source), Path(target)
    if target.exists() and source.exists() and target.samefile(source):
        raise ConfigError(f"{target}: is the capture that is being read. Name another file for the output.")
    with CaptureReader(source) as reader:
        kind = link.ETHERNET if reader.link == link.ETHERNET else link.RAW
        with CaptureWriter(target, kind, nanoseconds=reader.nanoseconds) as writer:
            run = _Replay(source, writer, process, tick, kind == link.ETHERNET)
            for record in reader:
                run.take(record)
            return run.finish()


class _Replay:
    """The state of one replay."""

    def __init__(
        self, source: Path, writer: CaptureWriter, process: Process, tick: Callable[[float], None], ethernet: bool
    ) -> None:
        self._source = source
        self._writer = writer
        self._process = process
        self._tick = tick
        self._ethernet = ethernet
        self._reassembly = Reassembly()
        self._now = self._ticked = float("-inf")
        self._first_truncated = 0
        self.summary = ReplaySummary()

    def take(self, record: Record) -> None:
        """Handle one frame."""
        self.summary.read += 1
        self._pass_time(record.time)
        if record.link not in link.KNOWN:
            known = ", ".join(map(str, sorted(link.KNOWN)))
            raise ConfigError(
                f"{self._source}: packet {record.number} is of link type {record.link}, which is not supported. "
                f"Supported: {known}."
            )
        at = link.find_ip(record.link, record.data)
        if at < 0:
            self.summary.not_ip += 1
            return
        length = link.ip_length(record.data, at)
        if len(record.data) < record.wire and len(record.data) - at < length:
            self.summary.truncated += 1
            self._first_truncated = self._first_truncated or record.number
            return
        packet = record.data[at : at + length]
        if len(packet) < (20 if packet[:1] < b"\x60" else 40):
            self.summary.dropped[Reason.MALFORMED.value] += 1
            return
        header = record.data[:at] if record.link == link.ETHERNET else b""
        self._forward(packet, header, record.time)

    def finish(self) -> ReplaySummary:
        """Let the timers run up to the last packet's time, count what is left over, and return the sums."""
        summary = self.summary
        if summary.read:
            summary.end = self._now
            if self._now > self._ticked:
                self._tick(self._now)
        if lost := self._reassembly.discarded + self._reassembly.waiting:
            summary.dropped[Reason.FRAGMENT.value] += lost
        if summary.truncated:
            log.warning(
                "%s: %d of %d packets were cut when they were captured and are left out, the first is packet %d. "
                "Capture whole packets (tcpdump -s 0).",
                self._source,
                summary.truncated,
                summary.read,
                self._first_truncated,
            )
        return summary

    def _pass_time(self, time: int) -> None:
        self._now = max(self._now, time / 1e9)
        if self._now - self._ticked >= 1.0:
            self._tick(self._now)
            self._ticked = self._now

    def _forward(self, packet: bytes, header: bytes, time: int) -> None:
        if not is_fragment(packet):
            self._deliver(self._judge(packet, header, time), header, time)
            return
        datagram = self._reassembly.add(packet, self._now)
        if datagram is not None:
            whole = self._judge(datagram.data, header, time)
            for piece in datagram.cut(whole) if whole else ():
                self._deliver(piece, header, time)

    def _judge(self, packet: bytes, header: bytes, time: int) -> bytes:
        """Return the packet as it leaves the director, nothing if it does not; what goes in its place is written."""
        verdict = self._process(packet, self._now, Stage.ANY)
        if isinstance(verdict, NotForwarded):
            self._refuse(verdict, packet, header, time)
            return b""
        if (packet[8] if packet[0] >> 4 == 4 else packet[7]) < 2:
            self.summary.dropped[Reason.TTL_EXCEEDED.value] += 1
            return b""
        if verdict is packet:
            self.summary.forwarded += 1
        else:
            self.summary.rewritten += 1
        out = bytearray(verdict)
        lower_hops(out)
        return bytes(out)

    def _refuse(self, verdict: NotForwarded, packet: bytes, header: bytes, time: int) -> None:
        counts = self.summary.replaced
        if isinstance(verdict, Drop | Reject):
            counts = self.summary.dropped if isinstance(verdict, Drop) else self.summary.rejected
        counts[verdict.reason.value] += 1
        for answer in verdict.packets:
            self.summary.sent += 1
            self._write(answer, header, time, turned=_destination(answer) == _source(packet))

    def _deliver(self, packet: bytes, header: bytes, time: int) -> None:
        if packet:
            self._write(packet, header, time)

    def _write(self, packet: bytes, header: bytes, time: int, *, turned: bool = False) -> None:
        self._writer.write(time, link.framed(packet, header, turned=turned) if self._ethernet else packet)


def _source(packet: bytes) -> bytes:
    return packet[12:16] if packet[0] >> 4 == 4 else packet[8:24]


def _destination(packet: bytes) -> bytes:
    return packet[16:20] if packet[0] >> 4 == 4 else packet[24:40]
