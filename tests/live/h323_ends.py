"""Both ends of H.323 in the lab, moved from the test: real sockets on the hosts, and the messages that go over them."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from nat_lb.api import Endpoint
from nat_lb.testing.lab import Host
from nat_lb.testing.packets import endpoint
from nat_lb_h323.asn1 import read_control, read_ras, read_signalling
from nat_lb_h323.framing import TPKT_HEADER, find_user_information
from nat_lb_h323.testing import address
from tests.live.ground import Family

PUPPET = Path(__file__).with_name("h323_puppet.py")


class FailedError(Exception):
    """A socket did not do what it was asked to."""


class End:
    """A host's end: opens sockets there, at its address of one family."""

    def __init__(self, host: Host, family: Family) -> None:
        self.host = host
        self.family = family
        self.address = family.of(host)
        self._child = host.spawn([sys.executable, PUPPET], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1)

    def at(self, port: int) -> Endpoint:
        """Return an endpoint of this host."""
        return endpoint(self.family.at(self.address, port))

    def listen(self, port: int) -> Listener:
        return Listener(self, self.asks("listen", "tcp", self.address, port))

    def connect(self, to: Endpoint) -> Stream:
        return Stream(self, self.asks("connect", str(to.address), to.port))

    def datagrams(self, port: int) -> Datagrams:
        return Datagrams(self, self.asks("listen", "udp", self.address, port), port)

    def asks(self, *command: Any) -> Any:
        """Have a command done, and return what came of it; raises FailedError."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(f"{json.dumps(command)}\n")
        answer = json.loads(self._child.stdout.readline())
        if isinstance(answer, dict):
            raise FailedError(f"{self.host.name}: {command}: {answer['error']}")
        return answer

    def stop(self) -> None:
        self.host.stop(self._child)


class Listener:
    """A TCP port that is open."""

    def __init__(self, end: End, number: int) -> None:
        self.end, self.number = end, number

    def is_called(self) -> bool:
        return bool(self.end.asks("ready", self.number))

    def accept(self) -> tuple[Stream, Endpoint]:
        """Return the next connection, and where it comes from."""
        number, source = self.end.asks("accept", self.number)
        return Stream(self.end, number), endpoint(self.end.family.at(*source))

    def close(self) -> None:
        self.end.asks("close", self.number)


class Stream:
    """A TCP connection of TPKTs."""

    def __init__(self, end: End, number: int) -> None:
        self.end, self.number = end, number

    def says(self, message: bytes, *cuts: int) -> None:
        """Send a message, cut into segments before these octets."""
        places = [0, *cuts, len(message)]
        pieces = [message[start:stop].hex() for start, stop in itertools.pairwise(places)]
        self.end.asks("send", self.number, pieces)

    def hears(self) -> bytes:
        """Return the next TPKT."""
        return bytes.fromhex(self.end.asks("read", self.number))

    def close(self) -> None:
        self.end.asks("close", self.number)


class Datagrams:
    """A UDP port."""

    def __init__(self, end: End, number: int, port: int) -> None:
        self.end, self.number, self.port = end, number, port

    def __enter__(self) -> Datagrams:
        return self

    def __exit__(self, *_: object) -> None:
        self.end.asks("close", self.number)

    def is_sent_to(self) -> bool:
        return bool(self.end.asks("ready", self.number))

    def says(self, message: bytes, to: Endpoint) -> None:
        self.end.asks("send_to", self.number, message.hex(), str(to.address), to.port)

    def hears(self) -> tuple[bytes, Endpoint]:
        """Return the next datagram, and where it comes from."""
        data, source = self.end.asks("receive", self.number)
        return bytes.fromhex(data), endpoint(self.end.family.at(*source))


def told(message: bytes) -> dict[str, Endpoint]:
    """Return the addresses of a message of call signalling, by name."""
    found = find_user_information(message)
    assert found is not None
    return {field.name: field.endpoint for field in read_signalling(message, *found).fields}


def told_in_control(message: bytes) -> dict[str, Endpoint]:
    """Return the addresses of H.245 messages, by name."""
    return {field.name: field.endpoint for field in read_control(message, TPKT_HEADER).fields}


def told_in_ras(message: bytes) -> dict[str, Endpoint]:
    """Return the addresses of a RAS message, by name."""
    return {field.name: field.endpoint for field in read_ras(message).fields}


def named(**endpoints: Endpoint) -> dict[str, Any]:
    """Return fields of a message of H.225.0."""
    return {name: address(found) for name, found in endpoints.items()}
