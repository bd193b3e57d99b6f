"""A director under test: `nat-lb run` as an operator runs it, driven by signals and judged by its log."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path

from nat_lb.testing.lab.errors import LabError
from nat_lb.testing.lab.host import Host
from nat_lb.testing.lab.waiting import PATIENCE, wait_until


class RunningDirector:
    """One `nat-lb run` process; `Lab.start_director` makes it and waits for it.

    `config` is the file it reads. Unless the text says otherwise, it is given a control socket of the lab's own, for
    labs share the machine's /run, and `datapath`. What an earlier director's fast path carries ends, unless `adopt`.
    """

    def __init__(
        self, host: Host, text: str, number: int = 0, *, datapath: str = "nfqueue", adopt: bool = False
    ) -> None:
        self.host = host
        self._datapath = datapath
        self.config = host.directory / f"director{number}" / "nat-lb.toml"
        self.config.parent.mkdir()
        self._log = self.config.with_suffix(".log")
        self.write_config(text)
        with self._log.open("w") as log:
            options = [] if adopt else ["--flush"]
            command: list[str | Path] = [sys.executable, "-m", "nat_lb", "run", *options, self.config]
            self.process = host.spawn(command, stdout=log, stderr=log, cwd=self.config.parent)

    def write_config(self, text: str) -> None:
        """Replace the configuration file; the director reads it at the next `reload`."""
        text = _with_key(text, "control", str(self.config.with_name("control.sock")))
        self.config.write_text(_with_key(text, "datapath", self._datapath))

    @property
    def may_carry(self) -> bool:
        """Whether a fast path may be left when the director is gone."""
        return not re.search(r'^\s*datapath\s*=\s*"nfqueue"', self.config.read_text(), re.MULTILINE)

    def log(self) -> str:
        """Return everything the director has written to standard output and error so far."""
        return self._log.read_text(errors="replace")

    def wait_ready(self, seconds: float = PATIENCE) -> None:
        """Return when packets flow; raise `LabError` with the log when the director ends or takes too long."""
        self.wait_for("ready", seconds)

    def wait_for(self, text: str, seconds: float = PATIENCE) -> None:
        """Return when a line of the log ends with `text`; raise `LabError` with the log after `seconds`."""

        def seen() -> bool:
            lines = self.log().splitlines()
            return any(line.rstrip().endswith(text) for line in lines) or self.process.poll() is not None

        try:
            wait_until(seen, seconds, f'"{text}"')
        except LabError as fault:
            raise LabError(f"director: {fault}. Its log:\n{self.log()}") from None
        if self.process.poll() is not None:
            raise LabError(f'director: exited {self.process.returncode} before "{text}". Its log:\n{self.log()}')

    def reload(self, text: str | None = None) -> None:
        """Send SIGHUP, after replacing the configuration if `text` is given; returns at once."""
        if text is not None:
            self.write_config(text)
        self.process.send_signal(signal.SIGHUP)

    def stop(self, seconds: float = PATIENCE) -> int:
        """End the director as an operator does (SIGTERM) and return its exit status."""
        return self.host.stop(self.process, signal.SIGTERM, seconds)

    def kill(self) -> None:
        """End the director as a crash does (SIGKILL)."""
        self.host.stop(self.process, signal.SIGKILL)


def _with_key(text: str, key: str, value: str) -> str:
    """Return a configuration whose [director] has this key, with this value if it had none."""
    if re.search(rf"^\s*{key}\s*=", text, re.MULTILINE):
        return text
    line = f'{key} = "{value}"\n'
    with_line, found = re.subn(r"^\[director\].*\n", rf"\g<0>{line}", text, count=1, flags=re.MULTILINE)
    return with_line if found else f"{text}\n[director]\n{line}"
