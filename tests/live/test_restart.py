"""Directors that come and go: no rule stays behind, none is there twice, and no two get in each other's way."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from nat_lb.testing.lab import Host, Lab, LabError
from nat_lb.testing.servers import Nginx
from tests.live.ground import IPV4, IPV6, Family, both_families, curl, fetch, of_both

SAVE = {4: "iptables-save", 6: "ip6tables-save"}


def web(family: Family) -> str:
    return family.service("web", 80, servers="1:80 2:80")


TWO_WEBS = of_both(web)


@pytest.fixture
def served(lab: Lab) -> Iterator[Lab]:
    with Nginx(lab.servers[0]), Nginx(lab.servers[1]):
        yield lab


def rules(host: Host, family: Family) -> list[str]:
    """Return the chains and rules as iptables-save has them, without comments and counters."""
    lines = host.run([SAVE[family.version]], check=True).stdout.splitlines()
    return [re.sub(r" \[\d+:\d+\]$", "", line) for line in lines if line and line[0] in ":-"]


def answers(lab: Lab) -> set[str]:
    return {fetch(lab, family) for family in (IPV4, IPV6) for _ in range(2)}


def test_terminated_director_leaves_no_rule_and_touches_no_other(served: Lab) -> None:
    for family in (IPV4, IPV6):  # somebody else's rules, in the same tables; saved once so that the tables exist
        program = SAVE[family.version].removesuffix("-save")
        for table, chain in (("raw", "PREROUTING"), ("mangle", "POSTROUTING"), ("filter", "FORWARD")):
            rule = ["-t", table, "-A", chain, "-p", "tcp", "--dport", "12345", "-j", "ACCEPT"]
            served.director.run([program, *rule], check=True)
    before = [sorted(set(rules(served.director, family))) for family in (IPV4, IPV6)]
    director = served.start_director(TWO_WEBS)
    while_running = [rules(served.director, family) for family in (IPV4, IPV6)]
    assert all(any("NAT-LB" in rule for rule in lines) for lines in while_running)
    assert answers(served) == {"server1\n", "server2\n"}
    assert director.stop() == 0
    after = [rules(served.director, family) for family in (IPV4, IPV6)]
    assert not any("NAT-LB" in rule or "nat-lb" in rule for lines in after for rule in lines)
    builtin = re.compile(r":(PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING) ACCEPT")
    assert [sorted(rule for rule in set(lines) if not builtin.match(rule)) for lines in after] == [
        [rule for rule in lines if not builtin.match(rule)] for lines in before
    ]


def test_killed_director_is_followed_by_one_with_the_same_rules(served: Lab) -> None:
    first = served.start_director(TWO_WEBS)
    before = [rules(served.director, family) for family in (IPV4, IPV6)]
    first.kill()
    assert [rules(served.director, family) for family in (IPV4, IPV6)] == before, "a killed director cannot tidy up"
    second = served.start_director(TWO_WEBS)
    after = [rules(served.director, family) for family in (IPV4, IPV6)]
    assert [Counter(lines) for lines in after] == [Counter(lines) for lines in before]
    jumps = [rule for lines in after for rule in lines if re.match(r"-A (PREROUTING|OUTPUT|INPUT|POSTROUTING) ", rule)]
    assert len(jumps) == len(set(jumps)) + len(set(before[0]) & set(before[1]) & set(jumps))
    assert answers(served) == {"server1\n", "server2\n"}
    assert second.stop() == 0
    assert not any("NAT-LB" in rule for family in (IPV4, IPV6) for rule in rules(served.director, family))


@pytest.mark.usefixtures("slow_path")
@both_families
def test_killed_director_lets_nothing_through_untranslated(served: Lab, family: Family) -> None:
    served.start_director(TWO_WEBS).kill()
    done = curl(served.client, "--max-time", "0.5", family.url())
    assert done.returncode == 28, "nobody answers, not even with a reset of the director's own stack"


@pytest.mark.usefixtures("slow_path")
def test_connection_of_before_a_restart_is_reset_and_new_ones_work(served: Lab) -> None:
    director = served.start_director(TWO_WEBS)
    assert answers(served) == {"server1\n", "server2\n"}
    assert director.stop() == 0
    assert curl(served.client, IPV4.url()).returncode == 7, "without a director nobody listens at the VIP"
    served.start_director(TWO_WEBS)
    assert answers(served) == {"server1\n", "server2\n"}


def test_second_director_on_the_same_queue_is_refused(served: Lab) -> None:
    served.start_director(TWO_WEBS)
    before = [rules(served.director, family) for family in (IPV4, IPV6)]
    with pytest.raises(
        LabError, match=r"another nat-lb is running in this network namespace, on queue 0\. Stop it first"
    ):
        served.start_director(TWO_WEBS)
    assert [rules(served.director, family) for family in (IPV4, IPV6)] == before
    assert answers(served) == {"server1\n", "server2\n"}


def test_second_director_on_another_queue_is_refused(served: Lab) -> None:
    served.start_director(TWO_WEBS)
    before = [rules(served.director, family) for family in (IPV4, IPV6)]
    with pytest.raises(LabError, match="another nat-lb is running in this network namespace, on queue 0"):
        served.start_director(f"[director]\nqueue = 10\n{TWO_WEBS}")
    assert [rules(served.director, family) for family in (IPV4, IPV6)] == before
    assert answers(served) == {"server1\n", "server2\n"}


def test_refused_director_says_why_in_one_line_without_traceback(served: Lab) -> None:
    served.start_director(TWO_WEBS)
    with pytest.raises(LabError) as failure:
        served.start_director(TWO_WEBS)
    log = str(failure.value).partition("Its log:\n")[2].splitlines()
    assert len(log) == 1, log
    assert "exited 1 before" in str(failure.value)
