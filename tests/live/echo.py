"""Echoes UDP datagrams over both families, or sends them and checks the echo.

Usage: echo.py serve PORT MARK              until it is killed; each answer is the MARK (one letter) and the datagram
       echo.py ask ADDRESS PORT SIZE...     one socket; for each size "HOST ok" or what was wrong, a line each
       echo.py again ADDRESS PORT           one socket; for each line on standard input the host that answers
"""

from __future__ import annotations

import os
import socket
import sys


def serve(port: int, mark: str) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as server:
        server.bind(("::", port))
        while True:
            data, sender = server.recvfrom(65535)
            server.sendto(mark.encode() + data, sender)


def connect(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    client = socket.socket(family, socket.SOCK_DGRAM)
    client.settimeout(20)
    client.connect((address, port))  # only what comes from this very endpoint is received
    return client


def ask(client: socket.socket, size: int) -> str:
    data = os.urandom(size)
    client.send(data)
    try:
        answer = client.recv(65535)
    except OSError as error:
        return f"- {error}"
    return f"{answer[:1].decode()} {'ok' if answer[1:] == data else 'differs'}"


def main(what: str, *arguments: str) -> None:
    if what == "serve":
        serve(int(arguments[0]), arguments[1])
        return
    with connect(arguments[0], int(arguments[1])) as client:
        sizes = map(int, arguments[2:]) if what == "ask" else (1 for _ in sys.stdin)
        for size in sizes:
            print(ask(client, size), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
