"""The transport addresses of H.225.0, RAS and H.245 messages, and at which octets they stand.

The law: the decoder itself says where an address is, as it reads octets that remember their place; nothing is searched
for, and nothing is ever encoded. In aligned PER an address of fixed size and a port after it are whole octets (X.691
§11.5.7, §17.7), so they can be overwritten where they stand.

The decoder's types are objects of pycrate's modules and keep the value that was decoded last, so a message is read out
before the next one is decoded. It meets whatever a peer sends: how much it may read is bounded, and no failure of
its gets out of here other than as `UnreadableError`. Importing this module loads the ASN.1, a tenth of a second.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from pycrate_asn1dir.H225 import H323_MESSAGES, MULTIMEDIA_SYSTEM_CONTROL
from pycrate_asn1rt.codecs import ASN1CodecPER
from pycrate_core.charpy import Charpy

from nat_lb.api import Endpoint
from nat_lb_h323.content import Content, Field, UnreadableError

MOST_READS = 4000  # of the decoder, 3 to 8 µs each; a call setup takes 100, a long set of capabilities 1000
_COST_OF_MESSAGE = 10  # reads that take as long as to begin one more message

_ADDRESSES = {
    "ipAddress": ("ip", "port"),
    "ip6Address": ("ip", "port"),
    "iPAddress": ("network", "tsapIdentifier"),
    "iP6Address": ("network", "tsapIdentifier"),
}
_UNTOLD = frozenset(
    {"h323-uu-pdu", "h323-message-body", "request", "response", "command", "indication", "unicastAddress"}
)  # names that say nothing about what an address is for
_CONTROL = MULTIMEDIA_SYSTEM_CONTROL.MultimediaSystemControlMessage
_EMBEDDED: dict[str, tuple[Any, tuple[str, ...]]] = {
    "fastStart": (MULTIMEDIA_SYSTEM_CONTROL.OpenLogicalChannel, ("openLogicalChannel",)),
    "h245Control": (_CONTROL, ()),
    "parallelH245Control": (_CONTROL, ()),
}


class _Octets(bytes):
    """Octets that know where they were read."""

    at: int


class _Budget:
    """What the decoder may still read of one message and of those inside it."""

    def __init__(self) -> None:
        self.left = MOST_READS

    def spend(self, reads: int) -> None:
        self.left -= reads
        if self.left < 0:
            raise UnreadableError("it has too many parts")


class _Reader(Charpy):  # type: ignore[misc]
    """Octets to decode, which begin at `base` of the data."""

    def __init__(self, data: bytes, base: int, budget: _Budget) -> None:
        super().__init__(data)
        self._base = base
        self._budget = budget

    def get_bytes(self, bitlen: int | None = None) -> bytes:
        self._budget.spend(1)
        at = self._base + self._cur // 8
        found = _Octets(super().get_bytes(bitlen))
        found.at = at
        return found

    def get_uint(self, bitlen: int | None = None) -> int | None:
        self._budget.spend(1)
        value: int | None = super().get_uint(bitlen)
        return value


def read_signalling(data: bytes, start: int, end: int) -> Content:
    """Read an H323-UserInformation, with the H.245 messages that it carries. Raises UnreadableError."""
    finder = _Finder()
    finder.read(finder.reader(data[start:end], start), H323_MESSAGES.H323_UserInformation, ())
    return Content(finder.fields, finder.failure)


def read_control(data: bytes, start: int) -> Content:
    """Read the H.245 messages from `start` to the end: mostly one, but some put several into one TPKT."""
    finder = _Finder()
    reader = finder.reader(data[start:], start)
    while reader.len_bit() > 0 and not finder.failure:
        finder.open(reader, _CONTROL, ())
    return Content(finder.fields, finder.failure)


def read_ras(data: bytes) -> Content:
    """Read a RAS message. Raises UnreadableError."""
    finder = _Finder()
    message, body = finder.read(finder.reader(data, 0), H323_MESSAGES.RasMessage, ())
    time_to_live = body.get("timeToLive") if isinstance(body, dict) else None
    return Content(finder.fields, finder.failure, message, time_to_live)


class _Finder:
    """Finds addresses in decoded values, also in those of the messages that are embedded in them."""

    def __init__(self) -> None:
        self.fields: list[Field] = []
        self.failure = ""  # of the first embedded message that could not be read
        self._budget = _Budget()

    def reader(self, data: bytes, base: int) -> _Reader:
        """Return what reads octets that begin at `base` of the data."""
        return _Reader(data, base, self._budget)

    def read(self, reader: _Reader, kind: Any, path: tuple[str, ...]) -> Any:
        """Decode a message of this kind, look into it and return its value. Raises UnreadableError."""
        depth = len(ASN1CodecPER._off)
        try:
            kind.from_aper(reader)
            value = kind.get_val()
            self._walk(value, path)
            return value
        except Exception as error:  # of a foreign decoder, about hostile octets
            raise UnreadableError(f"{kind._name}: {type(error).__name__}: {error}") from error
        finally:
            del ASN1CodecPER._off[depth:]  # where it failed its stack would grow

    def open(self, reader: _Reader, kind: Any, path: tuple[str, ...]) -> None:
        """Look into an embedded message, which may fail by itself."""
        try:
            self._budget.spend(_COST_OF_MESSAGE)
            self.read(reader, kind, path)
        except UnreadableError as error:
            self.failure = self.failure or str(error)

    def _walk(self, value: Any, path: tuple[str, ...]) -> None:
        if isinstance(value, dict):
            for name, part in value.items():
                self._enter(name, part, path)
        elif isinstance(value, list):
            for part in value:
                self._walk(part, path)
        elif isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
            self._enter(value[0], value[1], path)
        elif isinstance(value, _Octets) and path and path[-1] in _EMBEDDED:
            self.open(self.reader(value, value.at), *_EMBEDDED[path[-1]])

    def _enter(self, name: str, part: Any, path: tuple[str, ...]) -> None:
        if name in _ADDRESSES and isinstance(part, dict):
            host, port = (part[key] for key in _ADDRESSES[name])
            self.fields.append(Field(path[0], path[-1], Endpoint(ip_address(bytes(host)), port), host.at))
        else:
            self._walk(part, path if name in _UNTOLD else (*path, name))
