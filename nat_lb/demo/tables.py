"""The demo's tables: plain data in, something that rich can print out.

The law: what is told is told by words; colour only repeats it, for a CI log has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.columns import Columns
from rich.console import Group
from rich.table import Table
from rich.text import Text

from nat_lb.demo.acts import Download
from nat_lb.demo.dialogue import Exchange
from nat_lb.demo.legs import Journey, Leg
from nat_lb.demo.scene import WebServer

CHANGED = "bold yellow"


def shares(webs: Sequence[WebServer], answered: Mapping[str, int], logged: Mapping[str, int]) -> Table:
    """Return how many requests each real server got, by two witnesses."""
    table = _table("real server", "weight", "answered", "in its access log", "share")
    total = sum(logged.values()) or 1
    for web in webs:
        count = logged.get(web.name, 0)
        figures = (web.weight, answered.get(web.name, 0), count, f"{count / total:.0%}")
        table.add_row(f"{web} ({web.name})", *map(str, figures))
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def downloads(done: Sequence[Download], wanted: str) -> Table:
    """Return what came of each download; `wanted` is the SHA-256 of the file on the server."""
    table = _table("curl", "data connection", "octets", "SHA-256", "")
    for one in done:
        same = one.digest == wanted and not one.error
        options = " ".join(one.mode.options)
        result = Text("identical", "green") if same else Text(one.error or "differs", "bold red")
        table.add_row(options, f"{one.mode.verb}, {one.mode.kind}", str(one.size), f"{one.digest[:12]}...", result)
    return table


def journey(way: Journey) -> Group:
    """Return the four legs as two rows: the request before and after the director, the reply before and after."""
    pairs = (way.request_in, way.request_out), (way.reply_in, way.reply_out)
    return Group(*(Columns([_leg(before), _leg(after, before)], padding=(0, 2)) for before, after in pairs))


def exchange(lines: Sequence[Exchange]) -> Table:
    """Return an FTP dialogue as the client had it and, where it differs, as the real server had it."""
    table = _table("", "at the client", "at the real server")
    for line in lines:
        differs = line.at_client != line.at_server
        who = "client" if line.by_client else "server"
        style = CHANGED if differs else ""
        table.add_row(who, Text(line.at_client, style), Text(line.at_server if differs else "the same", style or "dim"))
    return table


def _leg(leg: Leg, before: Leg | None = None) -> Table:
    """One packet; what differs from the same packet `before` the director is marked."""
    table = Table(box=box.ASCII, title=leg.title, title_justify="left", title_style="bold", show_header=False)
    old = _fields(before) if before else {}
    for name, value in _fields(leg).items():
        changed = name in old and old[name] != value
        table.add_row(name, Text(f"{value} *" if changed else value, CHANGED if changed else ""))
    table.columns[1].min_width = 21
    return table


def _fields(leg: Leg) -> dict[str, str]:
    one = leg.segment
    return {
        "source": str(one.source),
        "destination": str(one.target),
        "TTL": str(one.ttl),
        "sequence": str(one.seq),
        "checksum": f"0x{one.checksum:04x}",
        "payload": one.payload.split(b"\r\n")[0].decode(errors="replace"),
    }


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
