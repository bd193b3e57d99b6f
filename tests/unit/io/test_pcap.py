"""Replay: every packet judged once, in capture time, and written as a wire would show it."""

from __future__ import annotations

import logging
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP, UDP, fragment
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet

from nat_lb.errors import ConfigError
from nat_lb.io.capture import CaptureReader, CaptureWriter, Record
from nat_lb.io.pcap import ReplaySummary, replay
from nat_lb.verdict import Drop, Reason, Reject, Replace, Stage, Verdict

CAPTURES = sorted((Path(__file__).parents[4] / "shared" / "captures").glob("*.pcap"))
SECOND = 10**9

MAC: dict[str, Any] = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}
V4 = IP(src="10.0.0.1", dst="10.0.0.2", ttl=64) / UDP(sport=1, dport=2) / b"question"
V6 = IPv6(src="2001:db8::1", dst="2001:db8::2", hlim=64) / UDP(sport=1, dport=2) / b"question"


def as_is(data: bytes, now: float, stage: Stage) -> Verdict:
    return data


class Bench:
    """Replays frames given as (seconds, packet) and keeps what the callables were told."""

    def __init__(self, directory: Path, link: int = 1) -> None:
        self.source, self.target, self.link = directory / "in.pcap", directory / "out.pcap", link
        self.ticks: list[float] = []
        self.seen: list[tuple[bytes, float, Stage]] = []

    def write(self, *frames: tuple[float, Packet | bytes]) -> None:
        with CaptureWriter(self.source, self.link) as writer:
            for time, frame in frames:
                writer.write(round(time * SECOND), bytes(frame))

    def replay(self, process: Callable[[bytes, float, Stage], Verdict] = as_is) -> ReplaySummary:
        def judge(data: bytes, now: float, stage: Stage) -> Verdict:
            self.seen.append((data, now, stage))
            return process(data, now, stage)

        return replay(self.source, self.target, judge, self.ticks.append)

    def written(self) -> list[Record]:
        with CaptureReader(self.target) as reader:
            return list(reader)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def lowered(packet: Packet) -> bytes:
    """Return the packet as a router would send it on, by scapy."""
    out = packet.copy()
    if IP in out:
        out[IP].ttl -= 1
        del out[IP].chksum
    else:
        out[IPv6].hlim -= 1
    return bytes(out)


def cut(packet: Packet) -> list[Packet]:
    return list(fragment(packet, 1000))  # type: ignore[no-untyped-call]


@pytest.mark.skipif(not CAPTURES, reason="the recorded captures are not beside this checkout")
@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_recorded_dialogue_passes_with_only_the_hops_lowered(path: Path, tmp_path: Path) -> None:
    summary = replay(path, tmp_path / "out.pcap", as_is, lambda now: None)
    with CaptureReader(path) as before, CaptureReader(tmp_path / "out.pcap") as after:
        sent = list(after)
        kept = [record for record in before if Ether(record.data).type in (0x0800, 0x86DD)]
    assert summary.forwarded == len(sent) == len(kept) > 0
    for old, new in zip(kept[:300], sent[:300], strict=True):
        assert new.time == old.time
        frame = Ether(old.data)
        length = 14 + (frame[IP].len if IP in frame else frame[IPv6].plen + 40)
        assert new.data == lowered(Ether(old.data[:length]))


@pytest.mark.skipif(not CAPTURES, reason="the recorded captures are not beside this checkout")
def test_tshark_reads_the_output_and_finds_every_header_sound(tmp_path: Path) -> None:
    replay(CAPTURES[0], tmp_path / "out.pcap", as_is, lambda now: None)
    command: list[str | Path] = ["tshark", "-r", tmp_path / "out.pcap", "-o", "ip.check_checksum:TRUE", "-T", "fields"]
    fields = ["-e", "ip.checksum.status", "-e", "_ws.malformed", "-Y", "ip"]
    done = subprocess.run([*command, *fields], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) > 100
    assert {line.strip() for line in lines} == {"1"}


def test_same_capture_gives_the_same_bytes(bench: Bench) -> None:
    bench.write((1, Ether(**MAC) / V4), (2.5, Ether(**MAC) / V6))
    bench.replay()
    first = bench.target.read_bytes()
    bench.replay()
    assert bench.target.read_bytes() == first


def test_vlan_tag_and_addresses_stay_and_padding_goes(bench: Bench) -> None:
    frame = Ether(**MAC) / Dot1Q(vlan=7) / V4
    bench.write((1, bytes(frame) + bytes(20)))
    bench.replay()
    assert bench.seen[0][0] == bytes(V4)
    assert [record.data for record in bench.written()] == [lowered(Ether(bytes(frame)))]


@pytest.mark.parametrize(("link", "header"), [(101, b""), (113, bytes(14) + b"\x08\x00"), (0, b"\x02\0\0\0")])
def test_other_links_give_bare_packets(tmp_path: Path, link: int, header: bytes) -> None:
    bench = Bench(tmp_path, link)
    bench.write((1, header + bytes(V4)))
    bench.replay()
    assert [(record.link, record.data) for record in bench.written()] == [(101, lowered(V4))]


def test_unknown_link_type_is_refused_by_number(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 147)
    bench.write((1, b"frame"))
    with pytest.raises(ConfigError, match=r"in\.pcap: packet 1 is of link type 147.*Supported: 0, 1, 12"):
        bench.replay()


def test_what_is_not_ip_is_counted_and_not_written(bench: Bench) -> None:
    bench.write((1, Ether(**MAC) / ARP()), (2, Ether(**MAC) / V4))
    summary = bench.replay()
    assert (summary.read, summary.not_ip, summary.forwarded, len(bench.written())) == (2, 1, 1, 1)


def test_time_is_the_captures_and_never_goes_back(bench: Bench) -> None:
    bench.write((5.5, Ether(**MAC) / V4), (4.25, Ether(**MAC) / V4), (6, Ether(**MAC) / V4))
    summary = bench.replay()
    assert [(now, stage) for _, now, stage in bench.seen] == [(5.5, 0), (5.5, 0), (6.0, 0)]
    assert [record.time for record in bench.written()] == [5_500_000_000, 4_250_000_000, 6_000_000_000]
    assert summary.end == 6.0


def test_timers_run_before_the_packet_and_once_a_second_at_most(bench: Bench) -> None:
    order: list[tuple[str, float]] = []
    bench.write(*((time, Ether(**MAC) / V4) for time in (10, 10.5, 11, 11.9, 86411, 86411.5)))
    replay(
        bench.source,
        bench.target,
        lambda data, now, stage: order.append(("packet", now)) or data,  # type: ignore[func-returns-value]
        lambda now: order.append(("tick", now)),
    )
    assert order == [
        ("tick", 10.0),
        ("packet", 10.0),
        ("packet", 10.5),
        ("tick", 11.0),
        ("packet", 11.0),
        ("packet", 11.9),
        ("tick", 86411.0),
        ("packet", 86411.0),
        ("packet", 86411.5),
        ("tick", 86411.5),
    ]


def test_rewritten_packet_is_written_with_its_hops_lowered(bench: Bench) -> None:
    bench.write((1, Ether(**MAC) / V4))
    other = IP(src="10.0.0.1", dst="10.9.9.9", ttl=64) / UDP(sport=1, dport=2) / b"question"
    summary = bench.replay(lambda data, now, stage: bytearray(bytes(other)))
    assert (summary.forwarded, summary.rewritten) == (0, 1)
    assert bench.written()[0].data == lowered(Ether(**MAC) / other)


def test_answer_goes_back_to_its_sender_as_it_was_built(bench: Bench) -> None:
    bench.write((1, Ether(**MAC) / V4))
    answer = bytes(IP(src="10.0.0.2", dst="10.0.0.1", ttl=64) / TCP(flags="R"))
    summary = bench.replay(lambda data, now, stage: Reject(Reason.NO_SERVICE, answer))
    assert (dict(summary.rejected), summary.sent) == ({"no-service": 1}, 1)
    (record,) = bench.written()
    assert record.data == bytes(Ether(src=MAC["dst"], dst=MAC["src"], type=0x0800)) + answer


def test_replaced_packet_leaves_as_the_pieces(bench: Bench) -> None:
    bench.write((1, Ether(**MAC) / V6))
    pieces = [bytes(V6 / b"1"), bytes(V6 / b"2")]
    summary = bench.replay(lambda data, now, stage: Replace(Reason.RESEGMENTED, *pieces))
    header = bytes(Ether(**MAC, type=0x86DD))
    assert [record.data for record in bench.written()] == [header + piece for piece in pieces]
    assert (dict(summary.replaced), summary.sent, summary.rewritten) == ({"resegmented": 1}, 2, 0)


def test_dropped_packet_is_counted_by_reason(bench: Bench) -> None:
    bench.write((1, Ether(**MAC) / V4), (2, Ether(**MAC) / V6))
    summary = bench.replay(lambda data, now, stage: Drop(Reason.NO_CONNECTION))
    assert (dict(summary.dropped), bench.written()) == ({"no-connection": 2}, [])
    assert str(summary) == "2 read; 0 forwarded; 0 rewritten; 2 dropped (2 no-connection); 0 sent"


def test_last_hop_is_not_forwarded(bench: Bench) -> None:
    bench.write((1, Ether(**MAC) / IP(ttl=1, dst="10.0.0.2") / UDP()), (1, Ether(**MAC) / IPv6(hlim=0) / UDP()))
    assert dict(bench.replay().dropped) == {"ttl-exceeded": 2}
    assert bench.written() == []


@pytest.mark.parametrize("packet", [b"\x45", b"\x45\0\0\x08" + bytes(30), b"\x60" + bytes(38)])
def test_packet_shorter_than_its_header_is_malformed(bench: Bench, packet: bytes) -> None:
    bench.write((1, bytes(Ether(**MAC, type=0x0800)) + packet))
    assert (dict(bench.replay().dropped), bench.seen) == ({"malformed": 1}, [])


def test_packet_cut_by_the_capture_is_left_out_with_a_warning(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    frame = bytes(Ether(**MAC) / V4)
    header = b"\xd4\xc3\xb2\xa1" + struct.pack("<HHiIII", 2, 4, 0, 0, 40, 1)
    records = struct.pack("<IIII", 1, 0, 30, len(frame)) + frame[:30] + struct.pack("<IIII", 1, 0, 50, 50) + frame
    bench.source.write_bytes(header + records)
    with caplog.at_level(logging.WARNING):
        summary = bench.replay()
    assert (summary.truncated, summary.forwarded) == (1, 1)
    assert "1 of 2 packets were cut when they were captured and are left out, the first is packet 1." in caplog.text


def test_fragments_are_judged_as_one_and_leave_as_fragments(bench: Bench) -> None:
    pieces = [IP(bytes(piece)) for piece in cut(IP(dst="10.0.0.2", id=9, ttl=64) / UDP() / bytes(3000))]
    bench.write(*((number, Ether(**MAC) / piece) for number, piece in enumerate(reversed(pieces))))
    summary = bench.replay()
    assert len(bench.seen) == summary.forwarded == 1
    assert [record.data for record in bench.written()] == [lowered(Ether(**MAC) / piece) for piece in pieces]
    assert {record.time for record in bench.written()} == {(len(pieces) - 1) * SECOND}


def test_fragments_that_stay_alone_are_counted(bench: Bench) -> None:
    first, *_ = cut(IP(dst="10.0.0.2", id=9) / UDP() / bytes(3000))
    bench.write((1, Ether(**MAC) / first))
    assert dict(bench.replay().dropped) == {"fragment": 1}


def test_damaged_capture_leaves_what_precedes(bench: Bench) -> None:
    bench.write((1, Ether(**MAC) / V4), (2, Ether(**MAC) / V4))
    bench.source.write_bytes(bench.source.read_bytes()[:-4])
    with pytest.raises(ConfigError, match="damaged after packet 1"):
        bench.replay()
    assert len(bench.written()) == 1


def test_capture_is_not_overwritten_by_its_replay(bench: Bench) -> None:
    bench.write((1, Ether(**MAC) / V4))
    with pytest.raises(ConfigError, match="is the capture that is being read"):
        replay(bench.source, bench.source, as_is, lambda now: None)
    assert bench.source.stat().st_size > 24


def test_empty_capture_gives_an_empty_capture(bench: Bench) -> None:
    bench.write()
    summary = bench.replay()
    assert (summary.read, bench.ticks, bench.written(), bench.target.stat().st_size) == (0, [], [], 24)
