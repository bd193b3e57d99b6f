"""What the demo prints.

The law: nothing is decided here; without a terminal the same is told in plain lines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from nat_lb.demo import tables
from nat_lb.demo.acts import OTHER_PORT, Answer, Download
from nat_lb.demo.dialogue import Exchange
from nat_lb.demo.judge import Finding
from nat_lb.demo.legs import Journey
from nat_lb.demo.scene import FILE, Scene, WebServer

PLAIN_WIDTH = 110
"""Columns when the output is no terminal: a log has no width of its own."""
PLAN = """\
     client                 director                    real servers
  {client} ------- VIP {vip} ----+---- {rows}"""

T = TypeVar("T")


def make_console() -> Console:
    """Return the console for standard output; no text is taken for markup, for FTP has brackets too."""
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console = Console(markup=False, highlight=False, emoji=False, width=PLAIN_WIDTH)
    return console


class Stage:
    """Prints each act as it is played."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def missing(self, lines: Sequence[str]) -> None:
        """Tell what the machine lacks."""
        self._console.print("nat-lb demo cannot start. What it needs:")
        for line in lines:
            self._say(f"  - {line}")

    def working(self, what: str) -> AbstractContextManager[object]:
        """Show that something is going on, as long as the block lasts."""
        if not self._console.is_terminal:
            self._say(f"{what} ...")
        return self._console.status(f"{what} ...")

    def plan(self, scene: Scene) -> None:
        """Show who is who."""
        rows = [(str(web), f"nginx, weight {web.weight}") for web in scene.webs]
        rows.append((f"{scene.ftp.host.v4}:{scene.ftp.port}", "vsftpd"))
        lines = [f"{server:<16} {what}" for server, what in rows]
        text = PLAN.format(client=scene.lab.client.v4, vip=scene.lab.vip, rows=lines[0])
        margin = " " * text.splitlines()[-1].index("+----")
        self._heading("The lab: network namespaces on this machine, without a way out")
        self._say("\n".join([text, *(f"{margin}+---- {line}" for line in lines[1:])]))

    def watch_requests(self, scene: Scene, count: int, answers: Iterable[Answer]) -> list[Answer]:
        """Show the requests as they are answered, and return them."""
        self._heading(f"{count} requests, each a connection of its own")
        self._command(scene, f"curl http://{scene.lab.vip}/")
        columns = TextColumn("  {task.description:<26}"), BarColumn(), MofNCompleteColumn()
        done = []
        with Progress(*columns, console=self._console, disable=not self._console.is_terminal, transient=True) as bars:
            total = bars.add_task("answered", total=count)
            mine = {web.name: bars.add_task(f"{web} ({web.name})", total=count) for web in scene.webs}
            for answer in answers:
                done.append(answer)
                bars.advance(total, 1 if answer.server else 0)
                if answer.server in mine:
                    bars.advance(mine[answer.server])
        return done

    def shares(self, webs: Sequence[WebServer], answers: Sequence[Answer], logged: Mapping[str, int]) -> None:
        """Show what arrived at each real server, and why a request had no answer."""
        self._console.print(tables.shares(webs, Counter(answer.server for answer in answers), logged))
        for error, times in Counter(answer.error for answer in answers if answer.error).items():
            self._say(f"  {times} times: {error}", "bold red")

    def watch_downloads(self, scene: Scene, done: Iterable[Download], wanted: str) -> list[Download]:
        """Show the downloads when all are done, and return them."""
        self._heading(f"A file of {len(scene.content)} octets by FTP, in four modes")
        self._command(scene, f"curl --no-ftp-skip-pasv-ip MODE ftp://{scene.lab.vip}/{FILE}")
        results = list(self._each("downloading", done))
        self._console.print(tables.downloads(results, wanted))
        return results

    def other_port(self, scene: Scene, finding: Finding) -> None:
        """Show what became of the connection that nobody serves."""
        self._heading("A port that no service has")
        self._command(scene, f"curl http://{scene.lab.vip}:{OTHER_PORT}/")
        self._say(f"  {finding.problem or 'refused at once: a TCP reset from the VIP'}")

    def journey(self, way: Journey) -> None:
        """Show the four legs of one request and its reply."""
        self._heading("One of the requests on its way, as captured at the client and at the real server")
        self._console.print(tables.journey(way))
        self._say(
            "  * changed on the way: addresses, ports and checksum by nat-lb, the TTL by the kernel, which routes"
        )

    def dialogue(self, lines: Sequence[Exchange]) -> None:
        """Show the FTP control connection of the download in passive mode."""
        self._heading("The FTP dialogue of the PASV download, as captured on both sides of the director")
        self._console.print(tables.exchange(lines))

    def findings(self, findings: Sequence[Finding]) -> None:
        """List what was looked at."""
        self._heading("What was shown")
        for finding in findings:
            mark, text = ("FAIL", finding.problem) if finding.problem else ("ok", finding.shown)
            self._console.print(Text(f"  {mark:<6}", "bold red" if finding.problem else "green"), Text(text), sep="")

    def kept(self, scene: Scene, enter: Sequence[str], remove: str) -> None:
        """Say how to use a lab that stays up, and how to remove it."""
        self._heading("The lab stays up")
        hosts = ", ".join(host.namespace for host in scene.lab.hosts)
        self._say(f"  namespaces: {hosts}")
        self._say(f"  configuration: {scene.director.config}")
        self._say(f"  captures and logs: {scene.lab.directory}")
        for command in enter:
            self._say(f"  $ {command}")
        self._say(f"  remove it: {remove}")

    def trouble(self, text: str) -> None:
        """Print an error with all that belongs to it, a log say; the verdict has only its ends."""
        if "\n" in text:
            self._say(text)

    def stopped(self) -> None:
        """Tell that there will be no verdict."""
        self._say("\ndemo: stopped; the lab is removed", "bold")

    def verdict(self, line: str) -> None:
        """Print the last line."""
        self._say(f"\n{line}", "bold green" if line.startswith("demo: PASS") else "bold red")

    def _each(self, what: str, items: Iterable[T]) -> Iterator[T]:
        with self._console.status(f"{what} ..."):
            yield from items

    def _heading(self, text: str) -> None:
        self._say(f"\n{text}", "bold cyan")

    def _command(self, scene: Scene, command: str) -> None:
        self._say(f"  {scene.lab.client.name} $ {command}")

    def _say(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style), soft_wrap=True)
