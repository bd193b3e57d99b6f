"""Capture files: pcap and pcapng read, pcap written, record by record.

The law: every record of the file is given, with its time exact to the nanosecond, or `ConfigError` says where the file
is damaged; what was read before the damage has been given by then.

Scapy's raw readers end silently at a damaged record and cut frames at 65535 octets, so they are not used here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, NoReturn

from nat_lb.errors import ConfigError

_BILLION = 1_000_000_000
_PCAP = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
_PCAPNG = b"\x0a\x0d\x0d\x0a"
_SECTION, _INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET = 0x0A0D0D0A, 1, 2, 3, 6
_ORDERS = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_TIME_RESOLUTION, _TIME_OFFSET = 9, 14
_LARGEST = 1 << 24  # octets of a record; more is damage, not a packet


class Record(NamedTuple):
    """One captured frame: `time` in nanoseconds since 1970, `wire` how long it was before it was cut, if it was."""

    number: int
    time: int
    link: int
    data: bytes
    wire: int


@dataclass(frozen=True)
class _Interface:
    link: int
    snap: int
    unit: int = 1_000_000  # time stamps a second
    offset: int = 0  # seconds


class CaptureReader:
    """Iterates over the records of a pcap or pcapng file; a context manager.

    `nanoseconds` tells whether times may be finer than a microsecond, `link` the link type of all records or of the
    first interface; both are known before the first record.  Raises `ConfigError` when the file is no capture or
    is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.link = -1
        self.nanoseconds = False
        self._interfaces: list[_Interface] = []
        self._number = 0
        self._time = 0
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
        try:
            self._records = self._start()
        except ConfigError:
            self._file.close()
            raise

    def __enter__(self) -> CaptureReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Record]:
        return self._records

    def _start(self) -> Iterator[Record]:
        magic = self._file.read(4)
        if magic in _PCAP:
            self._order, self._unit = _PCAP[magic]
            self.nanoseconds = self._unit == 1
            self.link = self._unpack("HHiIII", "the file header")[5] & 0x0FFF_FFFF
            return self._read_pcap()
        if magic == _PCAPNG:
            self._file.seek(0)
            records = self._read_pcapng()
            self._ahead = next(records, None)
            self.link = self._interfaces[0].link if self._interfaces else -1
            self.nanoseconds = any(interface.unit > 1_000_000 for interface in self._interfaces)
            return self._with_first(records)
        kind = " It is compressed: unpack it with gunzip." if magic[:2] == b"\x1f\x8b" else ""
        raise ConfigError(
            f"{self.path}: not a capture file: expected pcap or pcapng, found {magic.hex(' ') or 'nothing'}.{kind}"
        )

    def _with_first(self, records: Iterator[Record]) -> Iterator[Record]:
        if self._ahead is not None:
            yield self._ahead
            yield from records

    def _read_pcap(self) -> Iterator[Record]:
        header = struct.Struct(f"{self._order}IIII")
        while start := self._file.read(16):
            if len(start) < 16:
                self._damaged("the record's header is cut off")
            seconds, fraction, captured, wire = header.unpack(start)
            if captured > _LARGEST:
                self._damaged(f"the record claims {captured} octets")
            data = self._take(captured, "the record's data")
            yield self._record(seconds * _BILLION + fraction * self._unit, self.link, data, wire)

    def _read_pcapng(self) -> Iterator[Record]:
        self._order = "<"
        while start := self._file.read(8):
            if len(start) < 8:
                self._damaged("a block's header is cut off")
            if start[:4] == _PCAPNG:
                self._begin_section()
            kind, length = struct.unpack(f"{self._order}II", start)
            if length < 12 or length % 4 or length > _LARGEST:
                self._damaged(f"a block claims {length} octets")
            body = self._take(length - 12, "the block")
            if self._unpack("I", "the block's end")[0] != length:
                self._damaged("the block's two lengths differ")
            try:
                record = self._block(kind, body)
            except (struct.error, IndexError):
                self._damaged(
                    f"block type {kind:#x} is malformed or names an interface that the file has not described"
                )
            if record is not None:
                yield record

    def _begin_section(self) -> None:
        """Learn the byte order that the section, whose header was just reached, is written in."""
        magic = self._file.read(4)
        if magic not in _ORDERS:
            self._damaged("the section has no byte order")
        self._order = _ORDERS[magic]
        self._file.seek(-4, 1)

    def _block(self, kind: int, body: bytes) -> Record | None:
        order = self._order
        if kind == _SECTION:
            self._interfaces = []
        elif kind == _INTERFACE:
            self._interfaces.append(_interface(order, body))
        elif kind in (_PACKET, _OLD_PACKET):
            first = "I" if kind == _PACKET else "HH"
            index, *_, high, low, captured, wire = struct.unpack_from(f"{order}{first}IIII", body)
            interface = self._interfaces[index]
            ticks = high << 32 | low
            time = interface.offset * _BILLION + ticks * _BILLION // interface.unit
            return self._record(time, interface.link, body[20 : 20 + captured], wire)
        elif kind == _SIMPLE_PACKET:
            (wire,) = struct.unpack_from(f"{order}I", body)
            interface = self._interfaces[0]
            captured = min(wire, interface.snap or wire)
            return self._record(self._time, interface.link, body[4 : 4 + captured], wire)
        return None

    def _record(self, time: int, link: int, data: bytes, wire: int) -> Record:
        self._number += 1
        self._time = time
        return Record(self._number, time, link, data, wire)

    def _unpack(self, layout: str, what: str) -> tuple[int, ...]:
        form = struct.Struct(self._order + layout)
        return form.unpack(self._take(form.size, what))

    def _take(self, size: int, what: str) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            self._damaged(f"{what} is cut off")
        return data

    def _damaged(self, what: str) -> NoReturn:
        raise ConfigError(
            f"{self.path}: damaged after packet {self._number}, before byte {self._file.tell()}: {what}. "
            "What precedes it was read; `editcap` can save that as a capture of its own."
        )


class CaptureWriter:
    """Writes a pcap file of one link type; a context manager.  Raises `ConfigError` when the file cannot be written."""

    def __init__(self, path: Path, link: int, *, nanoseconds: bool = False) -> None:
        self.path = path
        self._unit = 1 if nanoseconds else 1000
        magic = b"\x4d\x3c\xb2\xa1" if nanoseconds else b"\xd4\xc3\xb2\xa1"
        try:
            self._file = path.open("wb")
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
        self._file.write(magic + struct.pack("<HHiIII", 2, 4, 0, 0, 0x40000, link))

    def __enter__(self) -> CaptureWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, time: int, data: bytes) -> None:
        """Append one frame; `time` is in nanoseconds."""
        seconds, fraction = divmod(time, _BILLION)
        header = struct.pack("<IIII", seconds & 0xFFFF_FFFF, fraction // self._unit, len(data), len(data))
        try:
            self._file.write(header + data)
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be written: {error.strerror}") from error


def _interface(order: str, body: bytes) -> _Interface:
    """Read an interface description (draft-ietf-opsawg-pcapng §4.2)."""
    link, snap = struct.unpack_from(f"{order}HxxI", body)
    unit, offset, at = 1_000_000, 0, 8
    while at + 4 <= len(body):
        code, length = struct.unpack_from(f"{order}HH", body, at)
        if code == _TIME_RESOLUTION:
            exponent = body[at + 4]
            unit = 1 << (exponent & 0x7F) if exponent & 0x80 else 10**exponent
        elif code == _TIME_OFFSET:
            (offset,) = struct.unpack_from(f"{order}q", body, at + 4)
        at += 4 + (length + 3) // 4 * 4
    return _Interface(link, snap, unit, offset)
