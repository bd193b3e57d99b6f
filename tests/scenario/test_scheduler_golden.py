"""Every scheduler against the decisions that a running IPVS took: the same clients, the same servers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nat_lb.plugins import Registry
from nat_lb.testing.packets import SYN
from nat_lb.testing.scenario import Scenario
from nat_lb.verdict import NotForwarded

RECORDING = Path(__file__).parents[3] / "shared" / "ipvs-golden" / "sched.json"
pytestmark = pytest.mark.skipif(not RECORDING.exists(), reason=f"no recording in {RECORDING}")

VIP = "10.1.0.100"
NAMES = {"10.2.0.11:80": "A", "10.2.0.12:80": "B", "10.2.0.13:80": "C"}
CASES: list[dict[str, Any]] = json.loads(RECORDING.read_text()) if RECORDING.exists() else []
BY_LOT = [case for case in CASES if case["scheduler"] == "twos"]
CERTAIN = [case for case in CASES if case["scheduler"] != "twos"]
OPTIONS = {"port": "port = true", "fallback": "fallback = true"}


def name(case: dict[str, Any]) -> str:
    return f"{case['scheduler']}-{case['list_order_weights']}-{case['flags'] or case['note']}"


def configuration(case: dict[str, Any], weights: list[int], more: str = "") -> str:
    options = [OPTIONS[flag.rpartition("-")[2]] for flag in case["flags"].split(",") if flag]
    table = "\n".join(["[service.scheduler_options]", *options, more]) if options or more else ""
    head = f'[[service]]\nprotocol = "tcp"\naddress = "{VIP}"\nport = 80\nscheduler = "{case["scheduler"]}"\n{table}\n'
    servers = [
        f'[[service.real_server]]\naddress = "{endpoint.removesuffix(":80")}"\nweight = {weight}\n'
        for endpoint, weight in zip(NAMES, weights, strict=False)
    ]
    if case["note"] == "A upper threshold 2":
        servers[0] += "upper_threshold = 2\n"
    return head + "".join(servers)


def decisions(s: Scenario, clients: list[str]) -> str:
    """Return the letters of the servers that the clients are given; - is a refusal."""
    letters = ""
    for client in clients:
        if isinstance(s.client(client).sends(SYN).verdict, NotForwarded):
            letters += "-"
        else:
            letters += NAMES[str(s.connection(client).real)]
    return letters


def clients_of(case: dict[str, Any]) -> list[str]:
    return case["clients"] or [f"10.1.0.2:{port}" for port in range(20_000, 20_060)]


def played(case: dict[str, Any], more: str = "") -> str:
    s = Scenario(configuration(case, case["list_order_weights"], more))
    if case["note"] == "A set to weight 0 after add":
        s.reload(configuration(case, [0, *case["list_order_weights"][1:]], more))
    return decisions(s, clients_of(case))


def first_partial_cycle(case: dict[str, Any]) -> int:
    """Return how many decisions IPVS needs to come to its rotation after its servers were added one by one."""
    return len(set(case["result"])) if case["scheduler"] == "wrr" else 0


@pytest.mark.parametrize("case", CERTAIN, ids=name)
def test_each_recorded_decision_is_ours_too(case: dict[str, Any]) -> None:
    theirs = case["result"][first_partial_cycle(case) :]
    assert played(case)[: len(theirs)] == theirs


@pytest.mark.parametrize("case", BY_LOT, ids=name)
def test_decisions_by_lot_differ_by_seed_and_even_out_as_the_recorded(case: dict[str, Any]) -> None:
    number = len(case["result"])
    runs = [played(case, f"seed = {seed}") for seed in range(12)]
    assert runs[3] == played(case, "seed = 3")
    assert len({run[:number] for run in runs}) > 8
    shares = [run.count(letter) for run in runs for letter in set(case["result"])]
    assert min(shares) >= 14  # of 60; chance alone would often give less
    assert max(shares) <= 26


def test_all_schedulers_of_the_field_are_recorded_and_installed() -> None:
    field = {"rr", "wrr", "lc", "wlc", "sed", "nq", "fo", "ovf", "twos", "dh", "sh", "mh", "lblc", "lblcr"}
    assert {case["scheduler"] for case in CASES} == field
    assert field <= Registry().schedulers.keys()


# IPVS.md's table of what else was observed; A, B, C are the list's order and no connection closes.
OBSERVED = [
    ("wlc", [3, 2, 1], "ABCABAABCABAABCABA"),
    ("wlc", [1, 10], "ABBBBBBBBBBABBBBBBBBBB"),
    ("sed", [1, 10], "BBBBBBBBBABBBBBBBBBBAB"),
    ("nq", [1, 10], "ABBBBBBBBBBBBBBBBBBBAB"),
]


@pytest.mark.parametrize(("scheduler", "weights", "result"), OBSERVED)
def test_further_observed_decisions_are_ours_too(scheduler: str, weights: list[int], result: str) -> None:
    case = {"scheduler": scheduler, "list_order_weights": weights, "flags": "", "note": "", "clients": None}
    assert played(case)[: len(result)] == result
