"""docs/examples work as printed: an author's own tests pass, and an installed example is found and balances."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP

from nat_lb.config import parse
from nat_lb.director import Director
from nat_lb.plugins import Registry

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
FOLDERS = sorted(path.parent for path in EXAMPLES.glob("*/pyproject.toml"))


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def folder(request: pytest.FixtureRequest) -> Path:
    path = request.param
    assert isinstance(path, Path)
    return path


def project(folder: Path) -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return table


def install(folder: Path, target: Path) -> dict[str, str]:
    """Do what pip does: metadata beside the code; return the environment of a process that has it installed."""
    facts = project(folder)
    metadata = target / f"{facts['name'].replace('-', '_')}-{facts['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {facts['name']}\nVersion: {facts['version']}\n")
    entries = "".join(f"{name} = {value}\n" for name, value in facts["entry-points"]["nat_lb"].items())
    (metadata / "entry_points.txt").write_text(f"[nat_lb]\n{entries}")
    return os.environ | {"PYTHONPATH": f"{target}{os.pathsep}{folder / 'src'}"}


def imported(file: Path) -> set[str]:
    tree = ast.walk(ast.parse(file.read_text()))
    names = [[node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
             for node in tree if isinstance(node, ast.ImportFrom | ast.Import)]  # fmt: skip
    return {name for group in names for name in group if name and name.partition(".")[0] == "nat_lb"}


def test_there_is_an_example_to_look_at() -> None:
    assert [folder.name for folder in FOLDERS] == ["nat-lb-failover", "nat-lb-least-response-time"]


def test_example_imports_nothing_of_the_core_but_its_api(folder: Path) -> None:
    files = [*folder.glob("src/**/*.py"), *folder.glob("tests/**/*.py")]
    used = {name for file in files for name in imported(file)}
    assert {name for name in used if not name.startswith("nat_lb.testing")} == {"nat_lb.api"}


def test_own_tests_of_an_example_pass_where_it_is_installed(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder / "tests")]
    done = subprocess.run(command, cwd=tmp_path, env=install(folder, tmp_path), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_installed_example_is_found_by_the_command_line(folder: Path, tmp_path: Path) -> None:
    readme = (folder / "README.md").read_text()
    (tmp_path / "example.toml").write_text(readme.partition("```toml\n")[2].partition("```")[0])
    environment = install(folder, tmp_path) | {"COLUMNS": "200"}

    def nat_lb(*arguments: str) -> str:
        command = [sys.executable, "-m", "nat_lb", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "The configuration is good." in nat_lb("check", "example.toml")
    (row,) = (line for line in nat_lb("plugins").splitlines() if f" {project(folder)['name']} " in line)
    ((name, module),) = project(folder)["entry-points"]["nat_lb"].items()
    assert row.split()[-4:] == [module, "scheduler", name, "loaded"]


FAILOVER = """
[[service]]
protocol = "tcp"
address = "202.103.106.5"
port = 80
scheduler = "failover"
real_server = [{ address = "172.16.0.2", weight = 2, upper_threshold = 2 }, { address = "172.16.0.3" }]
"""


def test_failover_sends_packets_to_the_second_when_the_first_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES / "nat-lb-failover" / "src"))
    registry = Registry(found=[EntryPoint("failover", "nat_lb_failover", "nat_lb")])
    assert not registry.problems
    director = Director(parse(FAILOVER, "example.toml"), "example.toml", registry)
    chosen = []
    for port in range(1024, 1027):
        syn = IP(src="202.100.1.2", dst="202.103.106.5") / TCP(sport=port, dport=80, flags="S")
        verdict = director.pipeline.process(bytes(syn), 0.0)
        assert isinstance(verdict, bytes)
        chosen.append(IP(verdict).dst)
    assert chosen == ["172.16.0.2", "172.16.0.2", "172.16.0.3"]


def test_replay_guide_shows_what_replay_prints_and_writes(tmp_path: Path) -> None:
    page = (EXAMPLES.parent / "how-to" / "replay-a-capture.md").read_text()
    blocks = dict(re.findall(r"^```(toml|python|json)\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    (tmp_path / "web.toml").write_text(blocks["toml"])
    (tmp_path / "make_capture.py").write_text(blocks["python"])
    first, second = re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    make, replay, *shown = first.splitlines()

    def run(line: str) -> list[str]:
        program, *arguments = shlex.split(line.removeprefix("$ "))
        command = {"python": [sys.executable], "nat-lb": [sys.executable, "-m", "nat_lb"]}.get(program, [program])
        done = subprocess.run([*command, *arguments], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    assert run(make) == []
    assert run(replay) == shown
    assert json.loads((tmp_path / "connections.json").read_text()) == json.loads(blocks["json"])
    tshark, *packets = second.splitlines()
    assert [line.split() for line in run(tshark)] == [line.split() for line in packets]


def code_blocks(page: str, language: str) -> list[str]:
    text = (EXAMPLES.parent / "how-to" / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_scheduler_guide_shows_the_example_distribution() -> None:
    folder = EXAMPLES / "nat-lb-failover"
    assert code_blocks("write-a-scheduler.md", "python")[0] == (folder / "src/nat_lb_failover/__init__.py").read_text()
    shown = tomllib.loads(code_blocks("write-a-scheduler.md", "toml")[0])
    whole = tomllib.loads((folder / "pyproject.toml").read_text())
    assert shown["project"].items() <= whole["project"].items()
    assert {key: whole[key] for key in ("build-system",)} == {"build-system": shown["build-system"]}
    assert shown["tool"]["setuptools"]["packages"] == whole["tool"]["setuptools"]["packages"]


HOOK = """
from nat_lb.api import hookimpl
@hookimpl
def nat_lb_register_schedulers():
    return [CLASS]
"""


@pytest.mark.parametrize(
    ("number", "name", "class_name"), [(1, "wlc", "WeightedLeastConnections"), (2, "first", "First")]
)
def test_other_schedulers_of_the_guide_balance_packets(
    number: int, name: str, class_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = f"guide_{name}"
    block = code_blocks("write-a-scheduler.md", "python")[number]
    (tmp_path / f"{module}.py").write_text(block + HOOK.replace("CLASS", class_name))
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = Registry(found=[EntryPoint(name, module, "nat_lb")])
    assert registry.problems == []
    text = code_blocks("write-a-scheduler.md", "toml")[1]
    if name == "wlc":
        text = text.replace('"first"', '"wlc"').replace("  [service.scheduler_options]\n  skip = 1\n", "")
    director = Director(parse(text, "guide"), "guide", registry)
    chosen = []
    for port in (1024, 1025):
        syn = IP(src="202.100.1.2", dst="202.103.106.5") / TCP(sport=port, dport=80, flags="S")
        verdict = director.pipeline.process(bytes(syn), 0.0)
        assert isinstance(verdict, bytes)
        chosen.append(IP(verdict).dst)
    assert chosen == {"wlc": ["172.16.0.2", "172.16.0.3"], "first": ["172.16.0.3", "172.16.0.3"]}[name]


@pytest.mark.parametrize(
    "page", ["write-a-scheduler.md", pytest.param("test-a-plugin-in-the-lab.md", marks=pytest.mark.live)]
)
def test_guide_shows_a_test_that_passes(page: str, tmp_path: Path) -> None:
    (block,) = (block for block in code_blocks(page, "python") if "def test_" in block)
    (tmp_path / "test_guide.py").write_text(block)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_guide.py"]
    environment = install(EXAMPLES / "nat-lb-failover", tmp_path)
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
