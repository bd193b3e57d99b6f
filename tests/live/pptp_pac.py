"""An access concentrator (PAC) that has any number of calls in one control connection, and clears them one by one.

Usage: pptp_pac.py NAME PORT FIRST_CALL_ID

Its calls answer `NAME/ID got TEXT` and never speak first. One that was cleared says one thing more, too late: when the
next packet of another call comes.
"""

from __future__ import annotations

import selectors
import socket
import struct
import sys
from dataclasses import dataclass

GRE, PPP = 47, 0x880B
MAGIC = 0x1A2B3C4D
START, START_REPLY, STOP, STOP_REPLY, ECHO, ECHO_REPLY = range(1, 7)
OUTGOING_CALL, OUTGOING_CALL_REPLY, CLEAR, DISCONNECTED = 7, 8, 12, 13
HEADER = b"\xff\x03\x00\x01"


@dataclass
class Call:
    control: socket.socket
    client: str
    peer: int  # the client's id
    sent: int = 0


class Concentrator:
    def __init__(self, name: str, port: int, first: int) -> None:
        self.name = name
        self.next = first
        self.calls: dict[int, Call] = {}
        self.cleared: dict[int, Call] = {}
        self.raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, GRE)
        self.listener = socket.create_server(("", port))
        self.wanted = selectors.DefaultSelector()
        self.wanted.register(self.raw, selectors.EVENT_READ, self.packet)
        self.wanted.register(self.listener, selectors.EVENT_READ, self.accept)

    def run(self) -> None:
        while True:
            for key, _ in self.wanted.select():
                key.data(key.fileobj)

    def accept(self, listener: socket.socket) -> None:
        self.wanted.register(listener.accept()[0], selectors.EVENT_READ, self.control)

    def control(self, peer: socket.socket) -> None:
        """Answer one message; a client that does not send it whole at once is not one of ours."""
        start = peer.recv(2, socket.MSG_WAITALL)
        if len(start) < 2:
            self.wanted.unregister(peer)
            self.calls = {number: call for number, call in self.calls.items() if call.control is not peer}
            peer.close()
            return
        body = peer.recv(int.from_bytes(start, "big") - 2, socket.MSG_WAITALL)
        kind, data = int.from_bytes(body[6:8], "big"), body[10:]
        if kind == START:
            say(peer, START_REPLY, struct.pack("!HBBLLHH64s64s", 0x100, 1, 0, 3, 3, 0, 1, b"", b""))
        elif kind == ECHO:
            say(peer, ECHO_REPLY, data[:4] + struct.pack("!BBH", 1, 0, 0))
        elif kind == STOP:
            say(peer, STOP_REPLY, struct.pack("!BBH", 1, 0, 0))
        elif kind == OUTGOING_CALL:
            self.open(peer, int.from_bytes(data[:2], "big"))
        elif kind == CLEAR:
            self.clear(peer, int.from_bytes(data[:2], "big"))

    def open(self, control: socket.socket, peer: int) -> None:
        number, self.next = self.next, self.next + 1
        self.calls[number] = Call(control, control.getpeername()[0], peer)
        say(control, OUTGOING_CALL_REPLY, struct.pack("!HHBBHLHHL", number, peer, 1, 0, 0, 1000, 50, 1, 0))

    def clear(self, control: socket.socket, peer: int) -> None:
        [number] = [n for n, call in self.calls.items() if (call.control, call.peer) == (control, peer)]
        say(control, DISCONNECTED, struct.pack("!HBBHH128s", number, 4, 0, 0, 0, b""))
        self.cleared[number] = self.calls.pop(number)

    def packet(self, raw: socket.socket) -> None:
        packet = raw.recv(65535)
        gre = packet[(packet[0] & 15) * 4 :]
        flags, version, _, length, number = struct.unpack_from("!BBHHH", gre)
        while self.cleared:
            late, cleared = self.cleared.popitem()
            self.send(cleared, f"{self.name}/{late} too late".encode())
        call, at = self.calls.get(number), 8 + (4 if flags & 0x10 else 0) + (4 if version & 0x80 else 0)
        if call is not None and length:
            text = gre[at : at + length].removeprefix(HEADER)
            self.send(call, f"{self.name}/{number} got ".encode() + text)

    def send(self, call: Call, text: bytes) -> None:
        data = HEADER + text
        head = struct.pack("!BBHHHL", 0x30, 1, PPP, len(data), call.peer, call.sent)
        call.sent += 1
        self.raw.sendto(head + data, (call.client, 0))


def say(peer: socket.socket, kind: int, body: bytes) -> None:
    peer.sendall(struct.pack("!HHLHH", 12 + len(body), 1, MAGIC, kind, 0) + body)


if __name__ == "__main__":
    Concentrator(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])).run()
