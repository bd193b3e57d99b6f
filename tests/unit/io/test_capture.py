"""Capture files: the same records as another reader gives, exact times, and damage that is told."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
from scapy.utils import RawPcapReader

from nat_lb.errors import ConfigError
from nat_lb.io.capture import CaptureReader, CaptureWriter, Record

SHARED = Path(__file__).parents[4] / "shared" / "captures"
CAPTURES = sorted(SHARED.glob("*.pcap"))
shared_only = pytest.mark.skipif(not CAPTURES, reason="the recorded captures are not beside this checkout")


def read(path: Path) -> list[Record]:
    with CaptureReader(path) as reader:
        return list(reader)


def pcap(path: Path, *frames: tuple[int, int, bytes], magic: bytes = b"\xd4\xc3\xb2\xa1", link: int = 1) -> Path:
    order = "<" if magic[0] in (0xD4, 0x4D) else ">"
    text = magic + struct.pack(f"{order}HHiIII", 2, 4, 0, 0, 65535, link)
    for seconds, fraction, data in frames:
        text += struct.pack(f"{order}IIII", seconds, fraction, len(data), len(data)) + data
    path.write_bytes(text)
    return path


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    length = struct.pack(f"{order}I", len(body) + 12)
    return struct.pack(f"{order}I", kind) + length + body + length


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link: int = 1, options: bytes = b"", order: str = "<") -> bytes:
    return block(1, struct.pack(f"{order}HHI", link, 0, 0) + options, order)


def packet(index: int, ticks: int, data: bytes, order: str = "<") -> bytes:
    return block(
        6, struct.pack(f"{order}IIIII", index, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data)) + data, order
    )


@shared_only
@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_every_record_is_the_one_that_scapy_reads(path: Path) -> None:
    with RawPcapReader(str(path)) as scapy:
        expected = [(meta.sec * 10**9 + meta.usec * 1000, data, meta.wirelen) for data, meta in scapy]
    assert [(record.time, record.data, record.wire) for record in read(path)] == expected
    assert expected


@shared_only
def test_a_written_copy_is_read_back_equal(tmp_path: Path) -> None:
    records = read(CAPTURES[0])
    with CaptureWriter(tmp_path / "copy.pcap", 1) as writer:
        for record in records:
            writer.write(record.time, record.data)
    assert [record[1:4] for record in read(tmp_path / "copy.pcap")] == [record[1:4] for record in records]


@pytest.mark.parametrize("magic", [b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4"])
def test_both_byte_orders_give_the_same_records(tmp_path: Path, magic: bytes) -> None:
    assert read(pcap(tmp_path / "x.pcap", (7, 5, b"frame"), magic=magic)) == [Record(1, 7_000_005_000, 1, b"frame", 5)]


@pytest.mark.parametrize("magic", [b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d"])
def test_nanoseconds_are_kept_exactly(tmp_path: Path, magic: bytes) -> None:
    source = pcap(tmp_path / "x.pcap", (1, 123_456_789, b"a"), magic=magic)
    with CaptureReader(source) as reader:
        (record,) = reader
        assert reader.nanoseconds
    assert record.time == 1_123_456_789
    with CaptureWriter(tmp_path / "y.pcap", 1, nanoseconds=True) as writer:
        writer.write(record.time, record.data)
    assert read(tmp_path / "y.pcap")[0].time == 1_123_456_789


def test_frames_longer_than_64_kib_are_whole(tmp_path: Path) -> None:
    assert len(read(pcap(tmp_path / "x.pcap", (0, 0, bytes(65_549))))[0].data) == 65_549


@shared_only
@pytest.mark.parametrize("kind", ["pcapng", "nsecpcap"])
def test_what_editcap_converts_is_read_as_the_same(tmp_path: Path, kind: str) -> None:
    subprocess.run(["editcap", "-F", kind, CAPTURES[0], tmp_path / "x"], check=True)
    assert read(tmp_path / "x") == read(CAPTURES[0])


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_sections_interfaces_and_resolutions_are_followed(tmp_path: Path, order: str) -> None:
    nanoseconds = struct.pack(f"{order}HHB3x", 9, 1, 9)
    binary = struct.pack(f"{order}HHB3x", 9, 1, 0x80 | 10) + struct.pack(f"{order}HHq", 14, 8, 100)
    path = tmp_path / "x.pcapng"
    path.write_bytes(
        section(order)
        + interface(1, nanoseconds, order)
        + interface(113, binary, order)
        + block(5, b"statistics", order)
        + packet(0, 3_000_000_007, b"one", order)
        + packet(1, 512, b"two", order)
        + section("<")
        + interface(101)
        + packet(0, 4_000_000, b"three")
    )
    assert [(record.time, record.link, record.data) for record in read(path)] == [
        (3_000_000_007, 1, b"one"),
        (100_500_000_000, 113, b"two"),
        (4_000_000_000, 101, b"three"),
    ]


def test_simple_packet_takes_the_time_of_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    path.write_bytes(section() + interface() + packet(0, 5_000_000, b"a") + block(3, struct.pack("<I", 2) + b"bc"))
    assert [(record.time, record.data) for record in read(path)] == [(5_000_000_000, b"a"), (5_000_000_000, b"bc")]


@pytest.mark.parametrize("cut", [3, 15, 17])
def test_cut_off_pcap_gives_what_precedes_and_then_says_where(tmp_path: Path, cut: int) -> None:
    path = pcap(tmp_path / "x.pcap", (1, 0, b"whole"), (2, 0, b"halved"))
    path.write_bytes(path.read_bytes()[:-cut])
    with CaptureReader(path) as reader:
        records = iter(reader)
        assert next(records).data == b"whole"
        with pytest.raises(ConfigError, match=r"x\.pcap: damaged after packet 1, before byte \d+: .* is cut off"):
            next(records)


@pytest.mark.parametrize("cut", range(1, 40))
def test_pcapng_cut_anywhere_in_a_block_is_told(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "x.pcapng"
    path.write_bytes((section() + interface() + packet(0, 1, b"first") + packet(0, 2, b"12345678"))[:-cut])
    with CaptureReader(path) as reader, pytest.raises(ConfigError, match="damaged after packet 1"):
        list(reader)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"", "found nothing"),
        (b"this is no capture", "found 74 68 69 73"),
        (b"\x1f\x8b\x08\x00", "gunzip"),
        (b"\xd4\xc3\xb2\xa1\x02", "file header is cut off"),
        (b"\x0a\x0d\x0d\x0a" + bytes(60), "no byte order"),
    ],
)
def test_what_is_no_capture_is_refused_by_name(tmp_path: Path, text: bytes, found: str) -> None:
    (tmp_path / "x.pcap").write_bytes(text)
    with pytest.raises(ConfigError, match=found) as raised:
        read(tmp_path / "x.pcap")
    assert "x.pcap" in str(raised.value)


def test_packet_of_an_unknown_interface_is_damage(tmp_path: Path) -> None:
    (tmp_path / "x.pcapng").write_bytes(section() + interface() + packet(0, 1, b"a") + packet(7, 1, b"b"))
    with CaptureReader(tmp_path / "x.pcapng") as reader, pytest.raises(ConfigError, match="interface that the file"):
        list(reader)


def test_absurd_record_length_is_not_allocated(tmp_path: Path) -> None:
    path = pcap(tmp_path / "x.pcap")
    path.write_bytes(path.read_bytes() + struct.pack("<IIII", 1, 1, 0xFFFFFFFF, 60))
    with pytest.raises(ConfigError, match="claims 4294967295 octets"):
        read(path)


def test_missing_and_unwritable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.pcap: cannot be read: No such file"):
        CaptureReader(tmp_path / "none.pcap")
    with pytest.raises(ConfigError, match=r"out\.pcap: cannot be written: No such file"):
        CaptureWriter(tmp_path / "none" / "out.pcap", 1)
