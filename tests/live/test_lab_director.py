"""The lab runs a director as an operator does, and tells what it said when it does not run."""

from __future__ import annotations

import pytest

from nat_lb.testing.lab import Lab, LabError
from nat_lb.testing.servers import Nginx

WEB = """
[[service]]
name = "web"
protocol = "tcp"
address = "202.103.106.5"
port = 80
scheduler = "rr"
real_server = [{ address = "172.16.0.2" }, { address = "172.16.0.3" }]
"""


def fetch(lab: Lab) -> str:
    return lab.client.run(["curl", "-sS", "--max-time", "30", f"http://{lab.vip}/"], check=True).stdout


def test_director_is_ready_when_it_is_returned(lab: Lab) -> None:
    with Nginx(lab.servers[0]), Nginx(lab.servers[1]):
        director = lab.start_director(WEB)
        assert {fetch(lab) for _ in range(4)} == {"server1\n", "server2\n"}
        assert director.stop() == 0


def test_director_starts_again_after_a_kill(lab: Lab) -> None:
    with Nginx(lab.servers[0]), Nginx(lab.servers[1]):
        lab.start_director(WEB).kill()
        lab.start_director(WEB)
        assert {fetch(lab) for _ in range(4)} == {"server1\n", "server2\n"}


def test_director_that_does_not_start_is_quoted(lab: Lab) -> None:
    with pytest.raises(LabError, match=r'(?s)director: exited 2 before "ready"\. Its log:.*"wrrr"'):
        lab.start_director(WEB.replace('"rr"', '"wrrr"'))


def test_two_labs_have_each_a_director(lab: Lab) -> None:
    with Lab() as other, Nginx(lab.servers[0]), Nginx(other.servers[0], name="other"):
        text = WEB.replace(', { address = "172.16.0.3" }', "")
        for each in (lab, other):
            each.start_director(text)
        assert [fetch(lab), fetch(other)] == ["server1\n", "other\n"]
