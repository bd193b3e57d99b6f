"""A director that answers at a control socket while a test runs commands."""

from __future__ import annotations

import contextlib
import select
import threading
from collections.abc import Iterator
from pathlib import Path

from click.testing import CliRunner, Result

from nat_lb.cli import cli
from nat_lb.io.answers import Answers
from nat_lb.io.control import ControlServer
from nat_lb.testing.scenario import Scenario


@contextlib.contextmanager
def answering(s: Scenario, path: Path) -> Iterator[Answers]:
    """Let a scenario's director answer at `path`."""
    answers = Answers(s.director, lambda: s.now)
    stopped = threading.Event()
    with ControlServer(path, answers.commands) as server:
        poll = select.poll()
        poll.register(server.fileno(), select.POLLIN)

        def run() -> None:
            while not stopped.is_set():
                if poll.poll(20):
                    server.serve()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield answers
        finally:
            stopped.set()
            thread.join()


def run(*arguments: str | Path) -> Result:
    """Run a command as `main` does; `return_value` is its exit code unless it raised."""
    return CliRunner(env={"COLUMNS": "200"}).invoke(cli, list(map(str, arguments)), standalone_mode=False)
