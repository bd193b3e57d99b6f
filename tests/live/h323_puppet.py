"""One end of H.323 whose every socket is moved by somebody else, who knows what has to be said.

Usage: h323_puppet.py. Standard input has one command a line, a JSON list; so has standard output one answer a line:
    listen KIND ADDRESS PORT -> number          connect ADDRESS PORT -> number
    accept NUMBER -> [number, [address, port]]  ready NUMBER -> whether there is something to read
    send NUMBER [HEX, ...]                      read NUMBER -> HEX of one TPKT
    send_to NUMBER HEX ADDRESS PORT             receive NUMBER -> [HEX, [address, port]]
    close NUMBER
Sockets have numbers; KIND is tcp or udp. Each HEX of `send` is a segment of its own. An answer to what fails is
{"error": text}.
"""

from __future__ import annotations

import json
import select
import socket
import sys
from typing import Any

SECONDS = 30.0  # that anything may take


class Puppet:
    def __init__(self) -> None:
        self.sockets: dict[int, socket.socket] = {}

    def listen(self, kind: str, address: str, port: int) -> int:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        found = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
        if kind == "tcp":
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((address, port))
        if kind == "tcp":
            found.listen()
        return self.keep(found)

    def accept(self, number: int) -> Any:
        found, (address, port, *_) = self.sockets[number].accept()
        return self.keep(found), (address, port)

    def connect(self, address: str, port: int) -> int:
        return self.keep(socket.create_connection((address, port), SECONDS))

    def keep(self, found: socket.socket) -> int:
        found.settimeout(SECONDS)
        if found.type == socket.SOCK_STREAM:
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sockets[len(self.sockets)] = found
        return len(self.sockets) - 1

    def send(self, number: int, pieces: list[str]) -> None:
        for piece in pieces:
            self.sockets[number].sendall(bytes.fromhex(piece))

    def send_to(self, number: int, data: str, address: str, port: int) -> None:
        self.sockets[number].sendto(bytes.fromhex(data), (address, port))

    def read(self, number: int) -> str:
        header = self.take(number, 4)
        return (header + self.take(number, int.from_bytes(header[2:], "big") - 4)).hex()

    def take(self, number: int, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.sockets[number].recv(size - len(data))
            if not more:
                raise EOFError(f"{len(data)} octets of {size}")
            data += more
        return data

    def receive(self, number: int) -> Any:
        data, (address, port, *_) = self.sockets[number].recvfrom(65535)
        return data.hex(), (address, port)

    def ready(self, number: int) -> bool:
        return bool(select.select([self.sockets[number]], [], [], 0)[0])

    def close(self, number: int) -> None:
        self.sockets[number].close()


def main() -> None:
    puppet = Puppet()
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        try:
            answer = getattr(puppet, command)(*arguments)
        except (OSError, EOFError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
