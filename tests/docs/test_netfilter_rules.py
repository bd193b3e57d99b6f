"""docs/explanation/netfilter-rules.md prints the rules that the director installs for the example."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nat_lb.io.inject import MARK
from nat_lb.io.nfqueue import LARGE
from nat_lb.io.rules import IPV4, TABLES, Plan, installation
from nat_lb.testing.lab import Lab

PAGE = (Path(__file__).parents[2] / "docs" / "explanation" / "netfilter-rules.md").read_text()
EXAMPLE = Plan(("202.103.106.5",), ("172.16.0.2", "172.16.0.3"), 0, ("tcp", "udp"))
CONFIGURATION = """
[[service]]
protocol = "tcp"
address = "202.103.106.5"
port = 80
real_server = [{ address = "172.16.0.2" }, { address = "172.16.0.3" }]
"""


def test_rules_on_the_page_are_those_of_the_code() -> None:
    printed = re.findall(r"^```iptables\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert printed == [installation(IPV4, table, EXAMPLE, "") for table in TABLES]


def test_mark_and_length_on_the_page_are_those_of_the_code() -> None:
    assert f"`{MARK:#x}`" in PAGE
    assert f"length above {LARGE} " in PAGE


@pytest.mark.live
def test_rules_of_a_killed_director_are_removed_by_the_commands_on_the_page() -> None:
    theirs = "-A FORWARD -m comment --comment theirs -j ACCEPT"
    with Lab() as lab:
        lab.director.run(["iptables", *theirs.split()], check=True)
        lab.start_director(CONFIGURATION).kill()
        assert "NAT-LB" in lab.director.run(["iptables-save"], check=True).stdout
        commands = re.findall(r"^ip6?tables-save \| .*$", PAGE, re.MULTILINE)
        lab.director.run(["sh", "-ec", "\n".join(commands)], check=True)
        for program in ("iptables-save", "ip6tables-save"):
            assert "NAT-LB" not in lab.director.run([program], check=True).stdout
        assert theirs in lab.director.run(["iptables-save"], check=True).stdout
