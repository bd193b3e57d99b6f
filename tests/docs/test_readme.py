"""README.md shows code that runs: its configuration loads, its scheduler balances packets, its commands exist."""

from __future__ import annotations

import re
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP

from nat_lb.config import parse
from nat_lb.director import Director
from nat_lb.plugins import Registry

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
LINES = 10


def block(language: str) -> str:
    """The only code block of a language."""
    (text,) = re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return str(text)


def code_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def balance(director: Director, connections: int) -> list[str]:
    """Open connections from as many ports of one client and return where each went."""
    chosen = []
    for port in range(1024, 1024 + connections):
        syn = IP(src="202.100.1.2", dst="202.103.106.5") / TCP(sport=port, dport=80, flags="S")
        verdict = director.pipeline.process(bytes(syn), 0.0)
        assert isinstance(verdict, bytes)
        packet = IP(verdict)
        chosen.append(f"{packet.dst}:{packet[TCP].dport}")
    return chosen


def test_ten_lines_of_toml_are_ten_and_balance_by_weight() -> None:
    assert len(code_lines(block("toml"))) == LINES
    chosen = balance(Director(parse(block("toml"), "README.md"), "README.md"), 30)
    assert [chosen.count(server) for server in ("172.16.0.2:80", "172.16.0.3:8000")] == [10, 20]


def test_ten_lines_of_scheduler_are_ten_and_choose_the_heaviest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(code_lines(block("python"))) == LINES
    (tmp_path / "scheduler_of_the_readme.py").write_text(block("python"))
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = Registry(found=[EntryPoint("failover", "scheduler_of_the_readme", "nat_lb")])
    assert registry.problems == []
    text = block("toml").replace('"wrr"', '"failover"')
    assert set(balance(Director(parse(text, "README.md"), "README.md", registry), 5)) == {"172.16.0.3:8000"}


def test_scheduler_is_that_of_the_example_distribution() -> None:
    example = ROOT / "docs" / "examples" / "nat-lb-failover" / "src" / "nat_lb_failover" / "__init__.py"
    assert block("python") == example.read_text()


def test_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE))
    assert named == {"demo", "test", "install", "docs"}
    assert named <= targets


def test_plugins_that_are_named_are_installed() -> None:
    (sentence,) = re.findall(r"the schedulers (.*?), persistence", README, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", sentence)) == set(Registry().schedulers)
