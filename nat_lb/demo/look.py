"""What the captures show: read, judged, and put on the stage.

The law: it comes after the last packet; nothing is sent any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from nat_lb.demo import judge
from nat_lb.demo.acts import OTHER_PORT, Download
from nat_lb.demo.dialogue import Line, connections, dialogue, side_by_side
from nat_lb.demo.judge import Finding
from nat_lb.demo.legs import follow
from nat_lb.demo.scene import Scene
from nat_lb.demo.stage import Stage
from nat_lb.demo.wire import Endpoint, Wire, read
from nat_lb.testing.lab import check_with_tshark
from nat_lb.testing.lab.topology import INSIDE


@dataclass(frozen=True)
class Played:
    """What clients and real servers reported of the acts."""

    requests: int
    answered: Mapping[str, int]
    logged: Mapping[str, int]
    downloads: Sequence[Download]
    other_port_answered: bool


@dataclass(frozen=True)
class Wires:
    """The captures by host, and by host what tshark objects to."""

    by_host: Mapping[str, Wire]
    bad: Mapping[str, Sequence[str]]


def read_all(captures: Mapping[str, Path]) -> Wires:
    """Parse the captures, while tshark judges each in a process of its own."""
    with ThreadPoolExecutor(len(captures)) as pool:
        judged = {name: pool.submit(check_with_tshark, path) for name, path in captures.items()}
        wires = {name: read(path) for name, path in captures.items()}
    return Wires(wires, {name: task.result() for name, task in judged.items()})


def look(stage: Stage, built: Scene, played: Played, wires: Wires) -> list[Finding]:
    """Judge what was captured, and show the other port, one packet and one dialogue."""
    lab, wire = built.lab, wires.by_host[built.lab.client.name]
    refused = judge.judge_other_port(played.other_port_answered, wire.segments, Endpoint(lab.vip, OTHER_PORT))
    stage.other_port(built, refused)
    control = Endpoint(lab.vip, built.ftp.port)
    dialogues = {client: dialogue(wire.segments, client, control) for client in connections(wire.segments, control)}
    return [
        judge.judge_downloads(built.content, played.downloads, list(dialogues.values())),
        refused,
        judge.judge_addresses(lab.client.v4, lab.vip, wire.addresses, dialogues.values(), INSIDE.v4),
        judge.judge_checksums(wires.bad),
        _journey(stage, built, wires),
        _rewriting(stage, built, wires, dialogues),
    ]


def _journey(stage: Stage, built: Scene, wires: Wires) -> Finding:
    """Follow a request to the last real server, whose port is not the service's."""
    web, service = built.webs[-1], built.config.services[0]
    client, server = (wires.by_host[host.name].segments for host in (built.lab.client, web.host))
    try:
        way = follow(client, server, Endpoint(built.lab.vip, service.port), Endpoint(web.host.v4, web.port))
    except LookupError as error:
        return Finding("", str(error))
    stage.journey(way)
    return Finding("a request followed on four legs")


def _rewriting(stage: Stage, built: Scene, wires: Wires, dialogues: Mapping[Endpoint, list[Line]]) -> Finding:
    """Lay the dialogue with PASV beside the same one at the real server."""
    host, port = built.ftp.host, built.ftp.port
    passive = [client for client, lines in dialogues.items() if any(line.text == "PASV" for line in lines)]
    if not passive:
        return Finding("", "no capture has an FTP dialogue with PASV")
    at_server = dialogue(wires.by_host[host.name].segments, passive[0], Endpoint(host.v4, port))
    lines = side_by_side(dialogues[passive[0]], at_server)
    stage.dialogue(lines)
    return judge.judge_rewriting(lines, built.lab.vip, host.v4)
