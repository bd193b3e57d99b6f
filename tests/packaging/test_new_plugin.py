"""From nothing to a package: `nat-lb new`, a wheel, a fresh environment with the core's wheel alone, real traffic."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP
from scapy.utils import PcapReader, wrpcap

from nat_lb.testing.lab import Lab
from nat_lb.testing.lab.waiting import wait_until
from nat_lb.testing.servers import Nginx
from tests.packaging.wheels import ROOT, beside, build, environment, install, run

NAMES = {"scheduler": "few-first", "helper": "announce", "tracker": "lite"}
VIP = "202.103.106.5"
CONFIGURATION = f"""
[[service]]
name = "web"
protocol = "tcp"
address = "{VIP}"
port = 80
scheduler = "few-first"
real_server = [{{ address = "172.16.0.2" }}, {{ address = "172.16.0.3", weight = 2 }}]

[[service]]
name = "data"
protocol = "tcp"
address = "{VIP}"
port = 7000
scheduler = "few-first"
helpers = ["announce"]
real_server = [{{ address = "172.16.0.2" }}]
"""


@pytest.fixture(scope="module")
def fresh(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment: the core's wheel and what it needs."""
    python = environment(tmp_path_factory.mktemp("fresh") / "environment", wheels, ["nat-lb"])
    assert [plugin["distribution"] for plugin in plugins(python)] == ["nat-lb"]
    return python


@pytest.fixture(scope="module")
def generated(fresh: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A scheduler, a helper and a tracker as the wheel's `nat-lb new` writes them, by kind."""
    folder = tmp_path_factory.mktemp("generated")
    for kind, name in NAMES.items():
        run(fresh.with_name("nat-lb"), "new", kind, name, "--into", folder, cwd=folder)
    return {kind: folder / f"nat-lb-{name}" for kind, name in NAMES.items()}


@pytest.fixture(scope="module")
def python(fresh: Path, wheels: Path, generated: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of the fresh environment after the plugins' wheels were installed there."""
    for source in generated.values():
        build(source, tmp_path_factory.mktemp("build"), wheels)
    install(fresh, wheels, [source.name for source in generated.values()])
    return fresh


def plugins(python: Path) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(run(python.with_name("nat-lb"), "plugins", "--json", cwd=python.parent))
    return listed


def test_generated_plugins_are_listed_with_where_they_come_from(python: Path) -> None:
    found = {plugin["distribution"]: plugin for plugin in plugins(python)[1:]}
    assert sorted(found) == ["nat-lb-announce", "nat-lb-few-first", "nat-lb-lite"]
    for kind, name in NAMES.items():
        plugin, module = found[f"nat-lb-{name}"], f"nat_lb_{name.replace('-', '_')}"
        assert (plugin["name"], plugin["state"], plugin["origin"]) == (name, "loaded", module)
        assert plugin["registers"] == [f"{kind} {name}"]
        assert Path(plugin["location"]).is_relative_to(python.parents[1] / "lib")


def test_configuration_that_chooses_them_is_good(python: Path, tmp_path: Path) -> None:
    (tmp_path / "web.toml").write_text(CONFIGURATION)
    said = run(python.with_name("nat-lb"), "check", "web.toml", cwd=tmp_path)
    assert said == "web.toml: 2 services with 3 real servers. The configuration is good.\n"


def test_generated_scheduler_balances_a_recorded_capture(python: Path, tmp_path: Path) -> None:
    (tmp_path / "web.toml").write_text(CONFIGURATION)
    syns = [IP(src="202.100.1.2", dst=VIP) / TCP(sport=port, dport=80, flags="S") for port in range(1024, 1054)]
    wrpcap(str(tmp_path / "in.pcap"), syns)
    run(python.with_name("nat-lb"), "replay", "--config", "web.toml", "in.pcap", "out.pcap", cwd=tmp_path)
    with PcapReader(str(tmp_path / "out.pcap")) as packets:
        assert Counter(packet[IP].dst for packet in packets) == {"172.16.0.2": 10, "172.16.0.3": 20}


@pytest.mark.parametrize("kind", NAMES)
def test_generated_plugin_passes_its_own_tests(
    kind: str, wheels: Path, generated: dict[str, Path], testing: Path, tmp_path: Path
) -> None:
    source = generated[kind]
    build(source, tmp_path, wheels)
    others = [name for name in ("nat-lb-rr",) if name in (source / "pyproject.toml").read_text()]
    for name in others:
        build(ROOT / "plugins" / name, tmp_path, wheels)
    alone = beside(wheels, tmp_path / "alone", source.name, *others)
    run(testing, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=source, env=alone)


@pytest.mark.parametrize("kind", NAMES)
def test_generated_plugin_is_typed_and_in_style(kind: str, generated: dict[str, Path], tmp_path: Path) -> None:
    source = generated[kind]
    for command in (["check"], ["format", "--check"]):
        run(sys.executable, "-m", "ruff", *command, "--no-cache", ".", cwd=source)
    core = os.environ | {"MYPYPATH": str(ROOT)}
    cache = tmp_path.parent / "mypy"
    run(sys.executable, "-m", "mypy", "--cache-dir", cache, "--follow-imports=silent", cwd=source, env=core)


SERVER = """
import socket
control = socket.create_server(("172.16.0.2", 7000))
data = socket.create_server(("172.16.0.2", 50000))
while True:
    asked, _ = control.accept()
    asked.sendall(b"DATA 172.16.0.2 50000\\r\\n")
    fetched, peer = data.accept()
    fetched.sendall(b"hello " + peer[0].encode())
    fetched.close()
    asked.close()
"""
CLIENT = """
import socket, sys
control = socket.create_connection((sys.argv[1], 7000), 30)
word, address, port = control.makefile().readline().split()
data = socket.create_connection((address, int(port)), 30)
print(address, data.makefile().read())
"""


@pytest.mark.live
def test_generated_plugins_balance_and_help_real_traffic(python: Path) -> None:
    with Lab() as lab, Nginx(lab.servers[0]), Nginx(lab.servers[1]):
        file, log = lab.directory / "web.toml", lab.directory / "director.log"
        file.write_text(f'{CONFIGURATION}\n[director]\ncontrol = "{lab.directory / "control.sock"}"\n')
        with log.open("w") as output:
            director = lab.director.spawn([python, "-m", "nat_lb", "run", file], stdout=output, stderr=output)
        wait_until(lambda: log.read_text().endswith("ready\n") or director.poll() is not None, what="the director")
        assert director.poll() is None, log.read_text()
        fetch = ["curl", "-sS", "--max-time", "30", f"http://{VIP}/"]
        answers = Counter(lab.client.run(fetch, check=True).stdout for _ in range(12))
        assert answers == {"server1\n": 4, "server2\n": 8}
        lab.servers[0].spawn([sys.executable, "-c", SERVER], stderr=subprocess.DEVNULL)
        lab.servers[0].wait_listening(50000)
        said = lab.client.python(CLIENT, VIP, check=True).stdout
        assert said == f"{VIP} hello {lab.client.v4}\n"
        assert lab.director.stop(director) == 0
