"""A program without a will of its own: it opens, reads and writes connections as it is told, segment by segment.

Usage: puppet.py   on standard input a line of JSON for each call, [METHOD, ARGUMENT...]; on standard output what came
                   of it, {"result": ...}, or {"error": "..."} if the network did not let it. Octets are in hexadecimal.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

TIMEOUT = 20.0
TOTAL_RETRANSMISSIONS_AT = 100  # in struct tcp_info (linux/tcp.h)


class Puppet:
    """Sockets by name."""

    def __init__(self) -> None:
        self.sockets: dict[str, socket.socket] = {}
        self.unread: dict[str, bytes] = {}

    def reset(self) -> None:
        for one in self.sockets.values():
            one.close()
        self.sockets.clear()
        self.unread.clear()

    def listen(self, name: str, address: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.sockets[name] = socket.create_server((address, port), family=family)

    def accept(self, name: str, listener: str) -> str:
        self.sockets[listener].settimeout(TIMEOUT)
        return self._opened(name, self.sockets[listener].accept()[0])

    def connect(self, name: str, address: str, port: int) -> str:
        return self._opened(name, socket.create_connection((address, port), TIMEOUT))

    def _opened(self, name: str, connection: socket.socket) -> str:
        connection.settimeout(TIMEOUT)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        self.sockets[name], self.unread[name] = connection, b""
        return str(connection.getpeername()[0])

    def send(self, name: str, *pieces: str) -> None:
        """Send each piece as a segment of its own."""
        for piece in pieces:
            self.sockets[name].sendall(bytes.fromhex(piece))

    def read_line(self, name: str, seconds: float) -> str | None:
        """Return a line with its end, or what there is before the connection's end; None if it takes longer."""
        return self._read(name, lambda unread: unread.find(b"\n") + 1, seconds)

    def read_octets(self, name: str, size: int, seconds: float) -> str | None:
        """Return so many octets, or what there is before the connection's end; None if it takes longer."""
        return self._read(name, lambda unread: size if len(unread) >= size else 0, seconds)

    def read_all(self, name: str) -> str | None:
        """Return everything up to the connection's end."""
        return self._read(name, lambda unread: 0, TIMEOUT)

    def _read(self, name: str, enough: Callable[[bytes], int], seconds: float) -> str | None:
        self.sockets[name].settimeout(seconds)
        while not (size := enough(self.unread[name])):
            try:
                more = self.sockets[name].recv(65536)
            except TimeoutError:
                return None
            self.unread[name] += more
            if not more:
                size = len(self.unread[name])
                break
        found, self.unread[name] = self.unread[name][:size], self.unread[name][size:]
        return found.hex()

    def bind(self, name: str, address: str, port: int) -> None:
        """Exchange datagrams from this port on from now on."""
        self.sockets[name] = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        self.sockets[name].bind((address, port))

    def send_to(self, name: str, octets: str, address: str, port: int) -> None:
        self.sockets[name].sendto(bytes.fromhex(octets), (address, port))

    def receive(self, name: str, seconds: float) -> tuple[str, str, int] | None:
        """Return the next datagram, and the address and port that it comes from; None if it takes longer."""
        self.sockets[name].settimeout(seconds)
        try:
            data, source = self.sockets[name].recvfrom(65536)
        except TimeoutError:
            return None
        return data.hex(), source[0], source[1]

    def tunnel(self, name: str, address: str) -> None:
        """Exchange GRE packets with an address from now on."""
        self.sockets[name] = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_GRE)
        self.sockets[name].connect((address, 0))

    def read_packet(self, name: str, seconds: float) -> str | None:
        """Return the next packet behind its IP header; None if it takes longer."""
        self.sockets[name].settimeout(seconds)
        try:
            packet = self.sockets[name].recv(65536)
        except TimeoutError:
            return None
        return packet[(packet[0] & 15) * 4 :].hex()

    def close(self, name: str) -> None:
        self.sockets.pop(name).close()

    def retransmissions(self, name: str) -> int:
        info = self.sockets[name].getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TOTAL_RETRANSMISSIONS_AT + 4)
        return int(struct.unpack_from("I", info, TOTAL_RETRANSMISSIONS_AT)[0])


def answer(puppet: Puppet, method: str, *arguments: Any) -> dict[str, Any]:
    try:
        return {"result": getattr(puppet, method)(*arguments)}
    except OSError as error:
        return {"error": f"{method}: {error}"}


if __name__ == "__main__":
    obedient = Puppet()
    for line in sys.stdin:
        print(json.dumps(answer(obedient, *json.loads(line))), flush=True)
