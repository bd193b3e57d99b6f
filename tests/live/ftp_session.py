"""FTP sessions by ftplib, which here believes the address in a 227 reply; what happened is printed as JSON.

Usage: ftp_session.py ADDRESS PORT SESSION [ARGUMENT]...   the sessions are the functions below
"""

from __future__ import annotations

import ftplib
import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

TIMEOUT = 30.0


class Talkative(ftplib.FTP):
    """Remembers the commands that it sent."""

    def __init__(self, timeout: float) -> None:
        super().__init__(timeout=timeout)
        self.said: list[str] = []

    def putcmd(self, line: str) -> None:
        self.said.append(line)
        super().putcmd(line)


def read(ftp: ftplib.FTP, name: str) -> bytes:
    parts: list[bytes] = []
    ftp.retrbinary(f"RETR {name}", parts.append)
    return b"".join(parts)


def errand(ftp: ftplib.FTP, mode: str, folder: str, upload: str) -> Any:
    """List, download data.bin and upload a file; returns the commands that were sent."""
    assert isinstance(ftp, Talkative)
    here = Path(folder)
    ftp.set_pasv(mode == "passive")
    (here / "listing").write_text("\n".join(ftp.nlst()))
    (here / "data.bin").write_bytes(read(ftp, "data.bin"))
    with (here / upload).open("rb") as source:
        ftp.storbinary(f"STOR {upload}", source)
    return [f"---> {line}" for line in ftp.said]


def many(ftp: ftplib.FTP, count: str, first: str = "") -> Any:
    """Passive downloads, one after the other, and commands at the end; `first` is for the scripted server."""
    if first:
        ftp.voidcmd(f"SITE {first}")
    contents = {read(ftp, "who.txt").decode() for _ in range(int(count))}
    return {"contents": sorted(contents), "pwd": ftp.pwd(), "noop": ftp.voidcmd("NOOP")}


def passive_text(ftp: ftplib.FTP) -> Any:
    """Return the reply to PASV as it came."""
    return ftp.sendcmd("PASV")


def pipelined(ftp: ftplib.FTP) -> Any:
    """Send two commands at once and use the endpoint of the second one's reply."""
    assert ftp.sock is not None
    verb = "PASV" if ftp.af == socket.AF_INET else "EPSV"
    ftp.sock.sendall(f"NOOP\r\n{verb}\r\n".encode())
    first, second = ftp.getresp(), ftp.getresp()
    where = ftplib.parse227(second) if verb == "PASV" else ftplib.parse229(second, ftp.sock.getpeername())
    with socket.create_connection(where, TIMEOUT) as data:
        ftp.putcmd("RETR it")
        content = data.makefile("rb").read()
    return [first[:3], ftp.getresp()[:3], ftp.getresp()[:3], content.decode()]


def elsewhere(ftp: ftplib.FTP, address: str) -> Any:
    """A passive download whose data connection comes from another address of ours; what it brings, or why nothing."""
    where = ftplib.parse227(ftp.sendcmd("PASV"))
    try:
        with socket.create_connection(where, TIMEOUT, source_address=(address, 0)) as data:
            ftp.putcmd("RETR it")
            content = data.makefile("rb").read().decode()
    except ConnectionRefusedError as error:
        return type(error).__name__
    return [ftp.getresp()[:3], ftp.getresp()[:3], content]


def chopped(ftp: ftplib.FTP) -> Any:
    """Active downloads: the command that names our port is cut in two, at each of its octets in turn."""
    assert ftp.sock is not None
    ftp.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    address = ftp.sock.getsockname()[0]
    contents, cut, length = set(), 1, 2
    while cut < length:
        with socket.create_server((address, 0), family=ftp.af) as server:
            server.settimeout(TIMEOUT)
            line = active(address, server.getsockname()[1])
            length = len(line)
            ftp.sock.sendall(line[:cut])
            ftp.sock.sendall(line[cut:])
            ftp.voidresp()
            ftp.putcmd("RETR who.txt")
            with server.accept()[0] as data:
                contents.add(data.makefile("rb").read().decode())
            ftp.getresp()
            ftp.getresp()
        cut += 1
    return {"contents": sorted(contents), "cuts": cut - 1}


def active(address: str, port: int) -> bytes:
    if ":" in address:
        return f"EPRT |2|{address}|{port}|\r\n".encode()
    return f"PORT {address},{port >> 8},{port & 255}\r\n".replace(".", ",").encode()


def say(ftp: ftplib.FTP, *commands: str) -> Any:
    """Send commands as they are and return the replies."""
    replies = []
    for command in commands:
        ftp.putcmd(command)
        replies.append(ftp.getmultiline())
    return replies


SESSIONS: dict[str, Callable[..., Any]] = {
    one.__name__: one for one in (errand, many, passive_text, pipelined, elsewhere, chopped, say)
}


def main(address: str, port: int, session: str, *arguments: str) -> None:
    with Talkative(TIMEOUT) as ftp:
        ftp.trust_server_pasv_ipv4_address = True  # type: ignore[attr-defined]
        ftp.connect(address, port)
        ftp.login()
        print(json.dumps(SESSIONS[session](ftp, *arguments)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
