"""Either end of a PPTP call, in pppd's place: lines of text instead of packets, each an HDLC frame (RFC 1662).

Usage: pptp_end.py serve NAME              as pptpd starts it, on a terminal; answers by name, `bye` ends it
       pptp_end.py call ADDRESS DIRECTORY   starts pptp on a terminal of its own; standard input and output are lines

Clients that name the same directory share a control connection, as those of one machine do. pptp keeps the socket by
which they find each other under /run, which all namespaces of a lab have in common: each client mounts its own.
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tty
from pathlib import Path

FLAG, ESCAPE, FLIPPED = 0x7E, 0x7D, 0x20
HEADER = b"\xff\x03\x00\x01"  # address, control, and the protocol number of padding, which nobody reads


class Line:
    """A terminal that carries frames."""

    def __init__(self, terminal: int) -> None:
        self.terminal = terminal
        tty.setraw(terminal)
        self._pending = b""

    def write(self, text: bytes) -> None:
        os.write(self.terminal, frame(HEADER + text))

    def read(self) -> list[bytes]:
        """Wait for octets and return the texts that are complete; raises EOFError if the other end has closed."""
        try:
            octets = os.read(self.terminal, 4096)
        except OSError:  # what a terminal says when nobody has its other end any more
            octets = b""
        if not octets:
            raise EOFError
        *frames, self._pending = (self._pending + octets).split(bytes((FLAG,)))
        return [unframed(found).removeprefix(HEADER) for found in frames if found]


def frame(data: bytes) -> bytes:
    """Return the octets that carry some data over a line."""
    whole = data + check_sequence(data).to_bytes(2, "little")
    escaped = re.sub(rb"[\x00-\x1f\x7d\x7e]", lambda found: bytes((ESCAPE, found[0][0] ^ FLIPPED)), whole)
    return bytes((FLAG,)) + escaped + bytes((FLAG,))


def unframed(octets: bytes) -> bytes:
    """Return the data that stands between two flags; raises ValueError if it is damaged."""
    whole = re.sub(rb"\x7d(.)", lambda pair: bytes((pair[1][0] ^ FLIPPED,)), octets, flags=re.DOTALL)
    data, check = whole[:-2], whole[-2:]
    if check_sequence(data).to_bytes(2, "little") != check:
        raise ValueError(f"damaged frame {whole!r}")
    return data


def check_sequence(data: bytes) -> int:
    """Return the FCS-16 of RFC 1662 §C.2."""
    value = 0xFFFF
    for octet in data:
        value ^= octet
        for _ in range(8):
            value = value >> 1 ^ (0x8408 if value & 1 else 0)
    return value ^ 0xFFFF


def serve(name: str) -> None:
    line = Line(0)
    line.write(f"hello from {name}".encode())
    while True:
        for text in line.read():
            if text == b"bye":
                os.kill(os.getppid(), signal.SIGTERM)  # as an administrator ends a call of pptpd's
            line.write(f"{name} got ".encode() + text)


def call(address: str, directory: Path) -> None:
    ours, theirs = pty.openpty()
    line = Line(ours)
    program = ["pptp", address, "--nolaunchpppd", "--nohostroute", "--loglevel", "0"]
    script = 'mount -t tmpfs run /run && mkdir /run/pptp && mount --bind "$0" /run/pptp && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", script, str(directory), *program]
    child = subprocess.Popen(command, stdin=theirs, stdout=theirs)
    os.close(theirs)
    try:
        talk(line)
    finally:
        child.terminate()
        child.wait()


def talk(line: Line) -> None:
    """Carry lines to frames and frames to lines until either end is closed."""
    while True:
        ready = select.select([0, line.terminal], [], [])[0]
        if line.terminal in ready:
            for text in line.read():
                print(text.decode(errors="replace"), flush=True)
        if 0 in ready:
            said = os.read(0, 4096)
            if not said:
                return
            for text in said.splitlines():
                line.write(text)


if __name__ == "__main__":
    with contextlib.suppress(EOFError):
        serve(sys.argv[2]) if sys.argv[1] == "serve" else call(sys.argv[2], Path(sys.argv[3]))
