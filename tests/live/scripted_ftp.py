"""An FTP server whose replies to PASV and EPSV arrive as awkwardly as a real one's may.

Usage: scripted_ftp.py PORT NAME VARIANT [nagle]

NAME is the content of every file.  Variants: `pipelined` keeps the reply to NOOP until the next command's, `multiline`
puts two lines in front, `split` cuts the n-th reply after its n-th octet (`SITE n` sets n), `drip` sends every
octet by itself, `advertise ADDRESS` names this IPv4 address.  Without `nagle` every piece is a segment at once.
"""

from __future__ import annotations

import socket
import sys
import threading


class Session:
    """One control connection."""

    def __init__(self, control: socket.socket, name: str, variant: str, advertised: str) -> None:
        self.control = control
        self.name = name
        self.variant = variant
        self.local = control.getsockname()[0].removeprefix("::ffff:")
        self.advertised = advertised or self.local
        self.passive = 0
        self.kept = b""
        self.listener: socket.socket | None = None

    def serve(self) -> None:
        with self.control:
            self.send(b"220 scripted\r\n")
            self.converse()

    def converse(self) -> None:
        for line in self.control.makefile("rb"):
            verb = line.split()[0].upper().decode()
            if verb == "QUIT":
                break
            if verb == "SITE":
                self.passive = int(line.split()[1])
            getattr(self, f"do_{verb.lower()}", self.do_other)()

    def do_other(self) -> None:
        self.send(b"230 ok\r\n")

    def do_noop(self) -> None:
        if self.variant == "pipelined":
            self.kept = b"200 ok\r\n"
        else:
            self.send(b"200 ok\r\n")

    def do_pasv(self) -> None:
        port = self.listen()
        numbers = f"{self.advertised},{port >> 8},{port & 255}".replace(".", ",")
        self.answer(f"227 Entering Passive Mode ({numbers}).", "227-Passive mode\r\n 220 as it were\r\n")

    def do_epsv(self) -> None:
        port = self.listen()
        self.answer(f"229 Entering Extended Passive Mode (|||{port}|)", "229-Passive mode\r\n 220 as it were\r\n")

    def answer(self, line: str, before: str) -> None:
        self.passive += 1
        text = (line + "\r\n").encode()
        if self.variant == "split":
            cut = (self.passive - 1) % (len(text) - 1) + 1
            self.send(text[:cut], text[cut:])
        elif self.variant == "drip":
            self.send(*(text[at : at + 1] for at in range(len(text))))
        elif self.variant == "multiline":
            self.send(before.encode() + text)
        else:
            self.send(self.kept + text)
            self.kept = b""

    def do_retr(self) -> None:
        self.send(b"150 now\r\n")
        assert self.listener is not None
        with self.listener, self.listener.accept()[0] as data:
            data.sendall(self.name.encode())
        self.send(b"226 done\r\n")

    def listen(self) -> int:
        if self.listener is not None:
            self.listener.close()
        self.listener = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        self.listener.settimeout(30)
        return int(self.listener.getsockname()[1])

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.control.sendall(piece)


def main(port: int, name: str, variant: str, *rest: str) -> None:
    with socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        while True:
            control = server.accept()[0]
            control.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, "nagle" not in rest)
            session = Session(control, name, variant, rest[0] if variant == "advertise" else "")
            threading.Thread(target=session.serve).start()


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
