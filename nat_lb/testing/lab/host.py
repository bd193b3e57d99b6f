"""A host of the lab: one network namespace and the programs that run in it.

The law: every program is started in a process group of its own, and none outlives its host.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nat_lb.testing.lab.errors import LabError
from nat_lb.testing.lab.namespaces import SEARCH_PATH, enter
from nat_lb.testing.lab.waiting import PATIENCE, wait_until


class Host:
    """A network namespace with one IPv4 and one IPv6 address of interest.

    `namespace` is the name for `ip netns exec`, `device` the interface that has the addresses, `directory` a scratch
    directory that is removed with the lab.
    """

    def __init__(self, name: str, namespace: str, directory: Path, *, v4: str, v6: str, device: str = "eth0") -> None:
        self.name = name
        self.namespace = namespace
        self.directory = directory
        self.v4 = v4
        self.v6 = v6
        self.device = device
        self._children: list[subprocess.Popen[str]] = []

    def __repr__(self) -> str:
        return f"Host({self.namespace}, {self.v4}, {self.v6})"

    def spawn(self, arguments: Sequence[str | Path], **options: Any) -> subprocess.Popen[str]:
        """Start a program and return at once; it is killed with its whole process group when the lab ends.

        `options` are those of `subprocess.Popen`; standard input, output and error are /dev/null unless given.
        """
        settings: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        settings["env"] = os.environ | {"PATH": SEARCH_PATH}
        settings |= {"text": True, "errors": "replace", "start_new_session": True} | options
        command = [*enter(self.namespace), *map(str, arguments)]
        child = subprocess.Popen(command, **settings)
        self._children.append(child)
        return child

    def run(
        self,
        arguments: Sequence[str | Path],
        *,
        timeout: float = 60.0,
        check: bool = False,
        input: str | None = None,  # noqa: A002 - subprocess.run's word
        **options: Any,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end and return its exit status and output as text.

        `timeout` is in seconds; past it the process group is killed and `subprocess.TimeoutExpired` raised, which has
        the output so far. With `check`, an exit status other than 0 raises `LabError` with the program's output.
        """
        stdin = subprocess.DEVNULL if input is None else subprocess.PIPE
        streams = {"stdin": stdin, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        child = self.spawn(arguments, **(streams | options))
        try:
            output, errors = child.communicate(input, timeout)
        finally:
            self.stop(child, signal.SIGKILL)
        if check and child.returncode:
            said = (errors or output or "nothing").strip()
            raise LabError(f"{self.name}: {' '.join(map(str, arguments))} exited {child.returncode} and said: {said}")
        return subprocess.CompletedProcess(list(map(str, arguments)), child.returncode, output, errors)

    def python(self, source: str, *arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run Python source text with this interpreter; arguments and options are as for `run`."""
        return self.run([sys.executable, "-c", source, *arguments], **options)

    def stop(self, child: subprocess.Popen[str], how: signal.Signals = signal.SIGTERM, seconds: float = 10.0) -> int:
        """Signal a spawned program's process group, kill it after `seconds`, and return its exit status."""
        self._signal(child, how)
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._signal(child, signal.SIGKILL)  # also what the program left behind in its group
        if child in self._children:
            self._children.remove(child)
        return child.wait()

    def is_listening(self, port: int, protocol: str = "tcp") -> bool:
        """Tell whether a program listens at `port`, on any address."""
        kind = {"tcp": "--tcp", "udp": "--udp"}[protocol]
        sockets = self.run(["ss", "-H", "--numeric", "--listening", kind, f"sport = :{port}"], check=True)
        return bool(sockets.stdout.strip())

    def wait_listening(self, port: int, protocol: str = "tcp", seconds: float = PATIENCE) -> None:
        """Return as soon as a program listens at `port`; raise `LabError` after `seconds`."""
        wait_until(lambda: self.is_listening(port, protocol), seconds, f"{self.name}: a listener at {protocol} {port}")

    def stop_all(self) -> None:
        """Stop every program that was started here."""
        for child in list(self._children):
            self._signal(child, signal.SIGTERM)
        for child in list(self._children):
            self.stop(child, seconds=2.0)

    @staticmethod
    def _signal(child: subprocess.Popen[str], how: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, how)
