"""What every real server has in common: a directory, a log, a start that waits and a stop that is certain."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from nat_lb.testing.lab.errors import LabError
from nat_lb.testing.lab.host import Host
from nat_lb.testing.lab.namespaces import SEARCH_PATH
from nat_lb.testing.lab.waiting import wait_until

_numbers = itertools.count(1)


class Server(ABC):
    """A program that serves one port of one host.

    `directory` is its own and goes with the lab; `log()` is what it wrote.
    """

    program: str  # a name to look for, or a path
    package: ClassVar[str]
    protocols: ClassVar[tuple[str, ...]] = ("tcp",)

    def __init__(self, host: Host, port: int) -> None:
        self.host = host
        self.port = port
        self.directory = host.directory / f"{host.name}-{type(self).__name__.lower()}{next(_numbers)}"
        self._output = self.directory / "output.log"

    @abstractmethod
    def command(self) -> list[str | Path]:
        """Write what the program needs into `directory` and return its command line, to stay in the foreground."""

    def __enter__(self) -> Self:
        if shutil.which(self.program, path=SEARCH_PATH) is None:
            raise LabError(f"{self.host.name}: {self.program} is not installed. Debian's package: {self.package}")
        if any(self.host.is_listening(self.port, protocol) for protocol in self.protocols):
            raise LabError(f"{self.host.name}: port {self.port} is taken; stop the server there or choose another port")
        self.directory.mkdir()
        with self._output.open("w") as output:
            self._child = self.host.spawn(self.command(), stdout=output, stderr=output, cwd=self.directory)
        try:
            wait_until(self._is_up, what=f"{self.program} to listen at {self.port}")
        except LabError as fault:
            self.stop()
            raise LabError(f"{self.host.name}: {fault}. It wrote: {self.log().strip() or 'nothing'}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the server: its port refuses connections afterwards."""
        self.host.stop(self._child)

    def log(self) -> str:
        """Return what the program wrote to standard output and error."""
        return self._output.read_text(errors="replace")

    def _is_up(self) -> bool:
        if self._child.poll() is not None:
            raise LabError(f"{self.program} exited {self._child.returncode}")
        return all(self.host.is_listening(self.port, protocol) for protocol in self.protocols)


def make_certificate(directory: Path, name: str = "lab.test") -> tuple[Path, Path]:
    """Make a self-signed certificate of one day with openssl; returns the paths of key and certificate."""
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    options = ["-x509", "-newkey", "rsa:2048", "-noenc", "-days", "1", "-subj", f"/CN={name}"]
    command = ["openssl", "req", *options, "-keyout", str(key), "-out", str(certificate)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise LabError(f"openssl made no certificate in {directory}: {done.stderr.strip()}")
    return key, certificate
