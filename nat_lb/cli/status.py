"""`nat-lb status`: how is the director, and who carries what?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from nat_lb.cli.console import make_console, make_table
from nat_lb.cli.director import director_options, inquire

_LOAD = ("weight", "active", "inactive", "opened")
_TRAFFIC = ("packets_in", "octets_in", "packets_out", "octets_out")
_STATES = ("quiesced", "overloaded")


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Write a JSON object with everything, exact.")
@director_options
def command(as_json: bool, control: Path | None, config: Path | None) -> None:
    """Show a running director: its services, real servers, queue, fast path and refusals.

    Traffic is counted since the director's start, octets include IP headers, and "in" is from clients.
    """
    services: list[dict[str, Any]] = []
    with inquire(control, config) as director:
        status = director.ask("status", services.extend)
    if as_json:
        click.echo(json.dumps({**status, "services": services}, indent=2))
    else:
        _print(make_console(), status, services)


def _print(console: Console, status: Mapping[str, Any], services: list[dict[str, Any]]) -> None:
    for line in _headlines(status):
        console.print(line)
    fast = (_devices(status), _counters(status))
    for table in (_services(services), *fast, _refusals(status), _helpers(status), _faults(status)):
        if table.row_count:
            console.print()
            console.print(table)


def _headlines(status: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"nat-lb {status['version']}, process {status['process']}, {status['datapath']}, "
        f"since {status['since']} ({_duration(status['uptime'])}), {status['configuration']}"
    )
    carried = f" and {status['carried']} in the fast path" if status["fastpath"] is not None else ""
    yield (
        f"connections: {status['connections']} of at most {status['max_connections']}{carried}, "
        f"expectations: {status['expectations']}, persistence templates: {status['persistence_templates']}"
    )
    queue = status["queue"]
    if queue is not None:
        lost = queue["lost_queue_full"] + queue["lost_socket_full"]
        yield (
            f"packets: {queue['received']} received, {queue['waiting']} waiting, {lost} lost, "
            f"{queue['not_forwarded']} not forwarded, {queue['faults']} faults"
        )


def _services(services: list[dict[str, Any]]) -> Table:
    """One line for a service, as ipvsadm has it, and one for each of its real servers below."""
    table = make_table(("service",), [key.replace("_", " ") for key in (*_LOAD, *_TRAFFIC)], ("state",))
    for service in services:
        told = [service["service"], service["protocol"], service["virtual"], service["scheduler"]]
        told += [f"({service[kind]} {kind})" for kind in ("failed", "late", "resting") if service[kind]]
        table.add_row(" ".join(map(str, told)))
        for server in service["real_servers"]:
            numbers = [*(str(server[key]) for key in _LOAD), *(short(server[key]) for key in _TRAFFIC)]
            state = ", ".join(name for name in _STATES if server[name])
            table.add_row(f"  {server['real']}", *numbers, state)
    return table


def _devices(status: Mapping[str, Any]) -> Table:
    table = make_table(("device", "packets by", "not better because"))
    for device in (status["fastpath"] or {"devices": []})["devices"]:
        table.add_row(device["device"], device["datapath"], device.get("why", ""))
    return table


def _counters(status: Mapping[str, Any]) -> Table:
    table = make_table(("fast path",), ("count",))
    for name, count in (status["fastpath"] or {"counters": {}})["counters"].items():
        if count:
            table.add_row(name.replace("_", " "), str(count))
    return table


def _refusals(status: Mapping[str, Any]) -> Table:
    table = make_table(("not forwarded",), ("packets",))
    for reason, count in status["refused"].items():
        table.add_row(reason, str(count))
    return table


def _helpers(status: Mapping[str, Any]) -> Table:
    table = make_table(("helper",), ("rewritten", "expected", "met"), ("refused",))
    for helper in status["helpers"]:
        refused = ", ".join(f"{count} {kind}" for kind, count in helper["refused"].items())
        table.add_row(helper["helper"], *(str(helper[key]) for key in ("rewritten", "expected", "met")), refused)
    return table


def _faults(status: Mapping[str, Any]) -> Table:
    table = make_table(("distribution", "failed in"), ("times",))
    for fault in status["faults"]:
        table.add_row(fault["distribution"], fault["where"], str(fault["faults"]))
    return table


def short(number: int) -> str:
    """Write a count in at most five characters, as ipvsadm does: 99999, 100K, 1234M."""
    for unit in ("", "K", "M", "G"):
        if number < (100_000 if not unit else 10_000):
            return f"{number}{unit}"
        number //= 1000
    return f"{number}T"


def _duration(seconds: float) -> str:
    """Write a duration by its two largest units."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    first = next((at for at, (number, _) in enumerate(parts) if number), len(parts) - 1)
    return " ".join(f"{number} {unit}" for number, unit in parts[first : first + 2])
