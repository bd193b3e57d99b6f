"""pptpd and pptp for the live tests, with a stand-in for pppd at both ends; and an access concentrator of our own.

pptpd keeps one call a control connection, and closes that to clear the call; the concentrator does as RFC 2637 says.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from nat_lb.testing.lab import Host, wait_until
from nat_lb.testing.servers import Server

END = Path(__file__).with_name("pptp_end.py")
CONCENTRATOR = Path(__file__).with_name("pptp_pac.py")
FIRST_CALL = 10  # of the concentrator's; a host's programs all get the host's GRE packets, and pptpd begins at 0

PPTPD = """\
ppp {directory}/pppd
delegate
noipparam
"""


class Pptpd(Server):
    """A pptpd whose calls answer with the host's name."""

    program = "pptpd"
    package = "pptpd"

    def command(self) -> list[str | Path]:
        configuration, pppd = self.directory / "pptpd.conf", self.directory / "pppd"
        configuration.write_text(PPTPD.format(directory=self.directory))
        pppd.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{END}' serve {self.host.name}\n")
        pppd.chmod(0o755)
        return [self.program, "--fg", "--conf", configuration, "--pidfile", self.directory / "pptpd.pid"]


class Concentrator(Server):
    """A server of as many calls as a control connection wants, each answering with the host's name and its id."""

    program = sys.executable
    package = "python3"

    def command(self) -> list[str | Path]:
        return [self.program, CONCENTRATOR, self.host.name, str(self.port), str(FIRST_CALL)]


class Call:
    """A call from a host to an address, in the control connection of the calls with the same directory."""

    def __init__(self, host: Host, address: str, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self.host = host
        self._output = _unused(directory.with_suffix(".heard"))
        with self._output.open("w") as output:
            command: list[str | Path] = [sys.executable, END, "call", address, directory]
            self.child = host.spawn(command, stdin=subprocess.PIPE, stdout=output, stderr=output, bufsize=1)
        wait_until(lambda: any(directory.iterdir()), 20.0, f"the control connection of {directory.name}")

    def __enter__(self) -> Call:
        return self

    def __exit__(self, *_: object) -> None:
        self.host.stop(self.child)

    def says(self, text: str) -> None:
        """Send a packet with a line of text."""
        assert self.child.stdin is not None
        self.child.stdin.write(f"{text}\n")

    def asks(self, text: str) -> str:
        """Send a packet, and return by whom it was got."""
        self.says(text)
        answer = f" got {text}"
        wait_until(lambda: any(line.endswith(answer) for line in self.heard()), 20.0, f"{self}: {answer!r}")
        return next(line for line in self.heard() if line.endswith(answer)).removesuffix(answer)

    def heard(self) -> list[str]:
        """Return the lines that came."""
        return self._output.read_text().splitlines()

    def hang_up(self) -> None:
        """End the call; what others in the control connection need goes on."""
        assert self.child.stdin is not None
        self.child.stdin.close()
        self.child.wait(20)

    def __str__(self) -> str:
        return f"call of {self.host.name}, which heard {self.heard()}"


def _unused(path: Path) -> Path:
    candidates = (path.with_stem(f"{path.stem}-{number}") for number in range(1, 1000))
    return next(candidate for candidate in (path, *candidates) if not candidate.exists())
