"""Plans, executed in Python: what each chooses, and what none of them ever chooses."""

from __future__ import annotations

from typing import Any

import pytest

from nat_lb.flow import FlowKey
from nat_lb.scheduler import Cycle, HashTable, Heaviest, LeastLoad, Load, Plan, Scheduler
from nat_lb.service import RealServer, VirtualService
from nat_lb.testing.packets import endpoint
from nat_lb.trackers import Tcp

FLOW = FlowKey(6, endpoint("202.100.1.2:3000"), endpoint("202.103.106.5:80"))


def servers(*weights: int) -> list[RealServer]:
    return [RealServer(endpoint(f"172.16.0.{2 + at}:80"), weight) for at, weight in enumerate(weights)]


def letters(plan: Plan, of: list[RealServer], count: int) -> str:
    chosen = [plan.choose(FLOW) for _ in range(count)]
    return "".join("ABCDEF"[of.index(server)] if server else "-" for server in chosen)


def test_cycle_takes_its_entries_in_turn_past_the_unusable() -> None:
    of = servers(1, 0, 1)
    assert letters(Cycle(of), of, 5) == "ACACA"


def test_cycle_goes_on_where_it_stopped_when_a_server_returns() -> None:
    of = servers(1, 1, 1)
    cycle = Cycle(of)
    assert letters(cycle, of, 1) == "A"
    of[1].overloaded = True
    assert letters(cycle, of, 2) == "CA"
    of[1].overloaded = False
    assert letters(cycle, of, 2) == "BC"


@pytest.mark.parametrize("position", [0, 1, 2, 3, 4, 300])
def test_cycle_starts_at_any_position_there_is(position: int) -> None:
    of = servers(1, 1, 1)
    assert letters(Cycle(of, position), of, 3) == ("ABC" * 200)[position : position + 3]


def test_empty_plans_choose_nobody() -> None:
    assert Cycle([]).choose(FLOW) is None
    assert LeastLoad([]).choose(FLOW) is None
    assert HashTable([], lambda flow, offset: 0).choose(FLOW) is None


def test_plans_without_a_usable_server_choose_nobody() -> None:
    of = servers(0, 0)
    hashed = HashTable(of, lambda flow, offset: offset % 2, fallback=True)
    plans: list[Plan] = [Cycle(of), LeastLoad(of), LeastLoad(of, idle_first=True), hashed, Heaviest(of)]
    for plan in (*plans, Heaviest(of, spill=True)):
        assert plan.choose(FLOW) is None


def test_heaviest_takes_the_first_of_equals_and_spills_when_full() -> None:
    of = servers(1, 2, 2)
    assert letters(Heaviest(of), of, 2) == "BB"
    of[1].count(2, 0)
    assert letters(Heaviest(of, spill=True), of, 1) == "B"
    of[1].count(1, 0)
    assert letters(Heaviest(of, spill=True), of, 1) == "C"
    assert letters(Heaviest(of), of, 1) == "B"


def test_least_load_reckons_with_the_next_connection_and_idle_servers_first() -> None:
    of = servers(1, 4)
    of[1].count(2, 300)
    assert letters(LeastLoad(of, Load.NEXT, weighted=True), of, 1) == "B"
    assert letters(LeastLoad(of, Load.NEXT, weighted=True, idle_first=True), of, 1) == "A"
    of[0].overloaded = True
    assert letters(LeastLoad(of, idle_first=True), of, 1) == "B"


def test_hash_table_without_fallback_refuses_whose_slot_is_unusable() -> None:
    of = servers(1, 0)
    assert HashTable([of[1], of[0]], lambda flow, offset: offset).choose(FLOW) is None
    assert HashTable([None, of[0]], lambda flow, offset: offset).choose(FLOW) is None


def test_hash_table_with_fallback_tries_the_following_offsets() -> None:
    of = servers(0, 1, 1)
    plan = HashTable(of, lambda flow, offset: (offset + 0) % 3, fallback=True)
    assert plan.choose(FLOW) is of[1]


def test_least_load_prefers_one_active_less_over_many_inactive() -> None:
    a, b = servers(1, 1)
    a.count(1, 0)
    b.count(0, 255)
    assert LeastLoad([a, b]).choose(FLOW) is b
    b.count(0, 3)
    assert LeastLoad([a, b]).choose(FLOW) is a


def test_least_load_gives_ties_to_the_first_and_may_weigh() -> None:
    a, b = servers(1, 3)
    assert LeastLoad([a, b]).choose(FLOW) is a
    a.count(1, 0)
    b.count(2, 0)
    assert LeastLoad([a, b]).choose(FLOW) is a
    assert LeastLoad([a, b], weighted=True).choose(FLOW) is b


class Planned(Scheduler):
    """A scheduler whose plan is the servers as they stand."""

    name = "planned"

    def plan(self) -> Plan:
        return Cycle(self.service.real_servers)


def service() -> VirtualService:
    made = VirtualService("web", Tcp, endpoint("202.103.106.5:80"), Tcp.seconds())
    for server in servers(1, 1):
        made.add(server)
    return made


def test_scheduler_carries_out_its_plan_and_makes_a_new_one_on_a_change() -> None:
    web = service()
    scheduler = Planned(web, options=None)
    first = scheduler.present_plan
    assert scheduler.schedule(FLOW) is web.real_servers[0]
    web.real_servers.pop(0)
    scheduler.changed()
    assert scheduler.present_plan is not first
    assert scheduler.schedule(FLOW) is web.real_servers[0]


def test_scheduler_with_neither_plan_nor_code_says_so() -> None:
    class Lazy(Scheduler):
        name = "lazy"

    with pytest.raises(NotImplementedError, match='scheduler "lazy" has neither a plan nor a schedule'):
        Lazy(service()).schedule(FLOW)


def test_scheduler_keeps_its_options_as_settings() -> None:
    settings: Any = object()
    assert Planned(service(), settings).settings is settings
