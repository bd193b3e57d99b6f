"""A scheduler that fails or is slow in a running director: clients are served by its fallback."""

from __future__ import annotations

from pathlib import Path

import pytest

from nat_lb.testing.lab import Lab
from nat_lb.testing.servers import Nginx
from tests.live.ground import IPV4, fetch
from tests.live.test_plugin_faults import install

FAULTY = """
import time
from nat_lb.api import Scheduler, hookimpl


class Broken(Scheduler):
    name = "broken"

    def schedule(self, flow):
        raise ZeroDivisionError("no servers left to divide by")


class Slow(Scheduler):
    name = "slow"

    def schedule(self, flow):
        time.sleep(0.1)
        return self.service.real_servers[0]


@hookimpl
def nat_lb_register_schedulers():
    return [Broken, Slow]
"""


def service(scheduler: str) -> str:
    more = [f'scheduler = "{scheduler}"', 'fallback_scheduler = "rr"', "scheduler_budget = 0.05"]
    return IPV4.service("web", 80, more, servers="1:80 2:80")


@pytest.mark.parametrize(
    ("scheduler", "answers", "told"),
    [
        ("broken", "1212", "nat-lb-faulty: nat_lb_schedule failed for web4: ZeroDivisionError"),
        ("slow", "1212121", 'web4: scheduler "slow" (nat-lb-faulty) took '),
    ],
)
def test_clients_of_a_faulty_scheduler_are_served_by_its_fallback(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheduler: str, answers: str, told: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    install(tmp_path, "nat-lb-faulty", FAULTY)
    with Nginx(lab.servers[0]), Nginx(lab.servers[1]):
        director = lab.start_director(service(scheduler))
        assert "".join(fetch(lab, IPV4).strip()[-1] for _ in answers) == answers
        assert director.stop() == 0
    assert len([line for line in director.log().splitlines() if told in line]) == 1
