"""Explanations: what each plan says of its decision, who is named for it, and that asking changes nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nat_lb.api import Cycle, FlowHash, HashTable, Heaviest, LeastLoad, Load, Plan, Scheduler
from nat_lb.director import Director
from nat_lb.explain import Explainer, trace_hooks
from nat_lb.plugins import Registry
from nat_lb.testing.packets import ACK, PSH, SYN
from nat_lb.testing.scenario import Scenario
from nat_lb.testing.schedules import Service, flow
from tests.little_plugins import Shelf

A, B, C = "172.16.0.2:80", "172.16.0.3:80", "172.16.0.4:80"


def cycle(web: Service) -> Plan:
    return Cycle(web.real_servers, 2)


def table(web: Service) -> Plan:
    return HashTable([*web.real_servers, None], FlowHash(4, port=True), fallback=True)


def test_cycle_names_the_turn_and_who_is_passed_over() -> None:
    web = Service(1, 0, 0)
    assert Cycle(web.real_servers).explain(flow()) == f"Cycle: the turn of entry 1 of 3, {A}"
    told = f"Cycle: the turn of entry 1 of 3, {A}, past {B} (quiesced), {C} (quiesced)"
    assert Cycle(web.real_servers, 1).explain(flow()) == told
    assert Cycle(Service(0).real_servers).explain(flow()) == f"Cycle: nobody's turn, past {A} (quiesced)"
    assert Cycle([]).explain(flow()) == "Cycle: nobody's turn"


def test_hash_table_names_the_slot_and_the_fallback() -> None:
    web = Service(1, 1, 0)
    asked = flow("202.100.1.2:1024")

    def explained(first: int, *, fallback: bool) -> str:
        plan = HashTable(web.real_servers, lambda _, offset: (first + offset) % 3, fallback=fallback)
        return plan.explain(asked)

    assert explained(1, fallback=True) == f"HashTable: {asked} hashes to slot 1 of 3, {B}"
    assert explained(2, fallback=False) == f"HashTable: {asked} hashes to slot 2 of 3, {C} (quiesced)"
    told = f"HashTable: {asked} hashes to slot 2 of 3, {C} (quiesced); fallback to slot 1, {B}, at try 1"
    assert explained(2, fallback=True) == told
    assert HashTable([None], lambda *_: 0, fallback=True).explain(asked) == (
        f"HashTable: {asked} hashes to slot 0 of 1, empty; no slot has a usable server in 1 tries"
    )
    assert HashTable([], lambda *_: 0).explain(asked) == "HashTable: no slots"


def test_least_load_names_the_costs_that_it_compares() -> None:
    web = Service(1, 2, 0)
    web.server("A").count(2, 1)
    web.server("B").count(1, 0)
    plan = LeastLoad(web.real_servers, weighted=True)
    assert plan.explain(flow()) == f"LeastLoad: {B}; {A} costs 515/1, {B} costs 257/2, {C} (quiesced)"
    plan = LeastLoad(web.real_servers, Load.NEXT)
    assert plan.explain(flow()) == f"LeastLoad: {B}; {A} costs 3, {B} costs 2, {C} (quiesced)"
    web.server("B").count(-1, 0)
    plan = LeastLoad(web.real_servers, Load.NEXT, idle_first=True)
    assert plan.explain(flow()).startswith(f"LeastLoad: {B}, the first that is idle; ")
    assert LeastLoad(Service(0).real_servers).explain(flow()) == f"LeastLoad: nobody is usable, {A} (quiesced)"


def test_heaviest_names_the_weight_and_who_is_full() -> None:
    web = Service(1, 3, 0)
    assert Heaviest(web.real_servers).explain(flow()) == f"Heaviest: {B}, weight 3; past {C} (quiesced)"
    web.server("B").count(4, 0)
    told = f"Heaviest: {A}, weight 1; past {C} (quiesced); over their weight: {B}"
    assert Heaviest(web.real_servers, spill=True).explain(flow()) == told
    assert Heaviest(Service(0).real_servers).explain(flow()) == f"Heaviest: nobody, of {A} (quiesced)"


def test_overloaded_server_is_told_from_a_quiesced_one() -> None:
    web = Service(1, 0)
    web.server("A").configure(1, upper_threshold=1)
    web.server("A").count(1, 0)
    assert Cycle(web.real_servers).explain(flow()) == f"Cycle: nobody's turn, past {A} (overloaded), {B} (quiesced)"


PLANS: dict[str, Callable[[Service], Plan]] = {
    "cycle": cycle,
    "table": table,
    "least": lambda web: LeastLoad(web.real_servers, weighted=True),
    "heaviest": lambda web: Heaviest(web.real_servers, spill=True),
}


@pytest.mark.parametrize("kind", PLANS)
def test_plan_chooses_whom_its_explanation_names_and_is_not_moved_by_it(kind: str) -> None:
    asked, silent = Service(2, 1, 3), Service(2, 1, 3)
    plan, same = PLANS[kind](asked), PLANS[kind](silent)
    for port in range(1024, 1084):
        key = flow(f"202.100.1.2:{port}")
        told = plan.explain(key)
        assert plan.explain(key) == told
        chosen, expected = plan.choose(key), same.choose(key)
        assert asked.letter(chosen) == silent.letter(expected)
        if chosen is not None:
            assert str(chosen) in told
            chosen.count(1, 0)
        if expected is not None:
            expected.count(1, 0)


def test_plan_of_somebody_else_is_named_at_least() -> None:
    class Own(Plan):
        def choose(self, flow: object) -> None:
            return None

    class ByCode(Scheduler):
        name = "code"

        def schedule(self, flow: object) -> None:
            return None

    assert Own().explain(flow()) == "Own"
    assert ByCode(Service(1)).explain(flow()) == "ByCode.schedule() decides by code"


TOML = """
[[service]]
name = "web"
protocol = "tcp"
address = "202.103.106.5"
port = 80
KEYS
real_server = [{ address = "172.16.0.2" }, { address = "172.16.0.3" }]
"""


def told(registry: Registry, keys: str, *clients: str) -> list[str]:
    """Return what an explainer tells when these clients connect."""
    lines: list[str] = []
    Explainer(registry, lines.append)
    scenario = Scenario(TOML.replace("KEYS", keys), registry)
    for client in clients:
        scenario.client(client).sends(SYN)
    return lines


def test_explainer_tells_each_connection_once_with_the_reason() -> None:
    assert told(Registry(), 'scheduler = "rr"', "202.100.1.2:1024", "202.100.1.2:1025", "202.100.1.2:1025") == [
        f'web: 202.100.1.2:1024 to {A} - scheduler "rr" - Cycle: the turn of entry 1 of 2, {A}',
        f'web: 202.100.1.2:1025 to {B} - scheduler "rr" - Cycle: the turn of entry 2 of 2, {B}',
    ]


def test_persistence_is_named_where_it_decides() -> None:
    keys = 'scheduler = "rr"\npersistence = 60\npersistence_netmask = 24'
    lines = told(Registry(), keys, "202.100.1.2:1024", "202.100.1.9:1024")
    assert lines[1] == f"web: 202.100.1.9:1024 to {A} - persistence: 202.100.1.9/24 was given it before"
    lines = told(Registry(), keys.replace("24", "32"), "202.100.1.2:1024", "202.100.1.2:1025")
    assert lines[1] == f"web: 202.100.1.2:1025 to {A} - persistence: 202.100.1.2 was given it before"


def test_plugin_that_decides_before_the_scheduler_is_named(shelf: Shelf) -> None:
    quiet = "@hookimpl\ndef nat_lb_schedule(flow):\n    return None\n"
    last = "@hookimpl\ndef nat_lb_schedule(service, flow):\n    if flow.source.port > 2000:\n"
    last += "        return service.real_servers[1]\n"
    shelf.install("aaa", quiet)
    shelf.install("vip", last)
    shelf.install("zzz", quiet)
    lines = told(shelf.registry(), 'scheduler = "rr"', "202.100.1.2:1024", "202.100.1.2:3000")
    assert lines[0].endswith('scheduler "rr" - Cycle: the turn of entry 1 of 2, ' + A)
    assert lines[1] == f'web: 202.100.1.2:3000 to {B} - acme-vip answered nat_lb_schedule; scheduler "rr" was not asked'


def test_wrapper_that_changes_the_answer_is_told(shelf: Shelf) -> None:
    lines = "    answer = yield\n    return service.real_servers[1] if answer else None\n"
    shelf.install("wrap", f"@hookimpl(wrapper=True)\ndef nat_lb_schedule(service):\n{lines}")
    told_of = told(shelf.registry(), 'scheduler = "rr"', "202.100.1.2:1024", "202.100.1.2:1025")
    changed = "a wrapper of nat_lb_schedule put it in the place of another answer"
    assert told_of[0] == f"web: 202.100.1.2:1024 to {B} - {changed}"
    assert told_of[1].endswith(f"entry 2 of 2, {B}")


BROKEN = """
class Broken(Scheduler):
    name = "broken"
    def schedule(self, flow):
        raise ValueError("out of luck")
    def explain(self, flow):
        raise KeyError("why")
@hookimpl
def nat_lb_register_schedulers():
    return [Broken]
"""


def test_fallback_is_named_with_the_fault_that_it_makes_good(shelf: Shelf) -> None:
    shelf.install("broken", BROKEN)
    keys = 'scheduler = "broken"\nfallback_scheduler = "rr"'
    assert told(shelf.registry(), keys, "202.100.1.2:1024") == [
        f'web: 202.100.1.2:1024 to {A} - fallback "rr" - Cycle: the turn of entry 1 of 2, {A}; '
        "the decision failed: ValueError: out of luck"
    ]


def test_decision_that_fails_without_a_fallback_is_told(shelf: Shelf) -> None:
    shelf.install("broken", BROKEN)
    lines = told(shelf.registry(), 'scheduler = "broken"', "202.100.1.2:1024")
    assert lines == ["web: 202.100.1.2:1024 dropped - the decision failed: ValueError: out of luck"]


def test_explanation_that_fails_costs_nobody_a_connection(shelf: Shelf) -> None:
    shelf.install("mute", BROKEN.replace("raise ValueError", "return self.service.real_servers[0] #"))
    lines = told(shelf.registry(), 'scheduler = "broken"', "202.100.1.2:1024")
    assert lines == [f"web: 202.100.1.2:1024 to {A} - scheduler \"broken\" - its explain() failed: KeyError: 'why'"]


def test_client_that_nobody_is_chosen_for_is_told() -> None:
    lines: list[str] = []
    registry = Registry()
    Explainer(registry, lines.append)
    text = TOML.replace("KEYS", 'scheduler = "rr"').replace('" }', '", weight = 0 }')
    Scenario(text, registry).client("202.100.1.2:1024").sends(SYN).expect_icmp(3, 3)
    told = f"Cycle: nobody's turn, past {A} (quiesced), {B} (quiesced)"
    assert lines == [f'web: 202.100.1.2:1024 refused - scheduler "rr" - {told}']


def test_expected_connection_names_the_one_that_announced_it() -> None:
    lines: list[str] = []
    registry = Registry()
    Explainer(registry, lines.append)
    scenario = Scenario(TOML.replace("port = 80\nKEYS", 'port = 21\nhelpers = ["ftp"]\nscheduler = "rr"'), registry)
    client, server = scenario.client("202.100.1.2:1024"), scenario.server("172.16.0.2:21", "202.100.1.2:1024")
    client.sends(SYN, seq=99)
    server.sends(SYN | ACK, seq=499, ack=100)
    client.sends(PSH | ACK, b"PASV\r\n", seq=100, ack=500)
    server.sends(PSH | ACK, b"227 (172,16,0,2,195,80)\r\n", seq=500, ack=106)
    scenario.client("202.100.1.2:1025", "202.103.106.5:50000").sends(SYN)
    assert lines[-1] == (
        "web: 202.100.1.2:1025 to 172.16.0.2:50000 - expected: announced on the connection of 202.100.1.2:1024 to "
        "202.103.106.5:21"
    )


def test_hook_trace_tells_arguments_plugins_and_answers(shelf: Shelf) -> None:
    shelf.install("vip", "@hookimpl\ndef nat_lb_schedule(service, flow):\n    return service.real_servers[1]\n")
    registry, lines = shelf.registry(), list[str]()
    trace_hooks(registry, lines.append)
    Scenario(TOML.replace("KEYS", 'scheduler = "rr"'), registry).client("202.100.1.2:1024").sends(SYN)
    assert lines == [
        "hook nat_lb_check_config(config=(Config)) of nat-lb -> [(generator)]",
        f"hook nat_lb_schedule(service=web, flow=202.100.1.2:1024 > 202.103.106.5:80) of acme-vip, nat-lb -> {B}",
    ]


def test_hook_trace_tells_what_was_raised(shelf: Shelf) -> None:
    shelf.install("bad", "@hookimpl\ndef nat_lb_schedule(service, flow):\n    raise ValueError('no')\n")
    registry, lines = shelf.registry(), list[str]()
    trace_hooks(registry, lines.append)
    Scenario(TOML.replace("KEYS", 'scheduler = "rr"'), registry).client("202.100.1.2:1024").sends(SYN)
    assert lines[-1].endswith(" of acme-bad, nat-lb -> ValueError: no")


def test_nothing_is_asked_to_explain_unless_somebody_wants_to_know(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(Scheduler, "explain", lambda _, flow: str(asked.append(flow)))  # type: ignore[func-returns-value]
    scenario = Scenario(TOML.replace("KEYS", 'scheduler = "rr"'))
    scenario.client("202.100.1.2:1024").sends(SYN).expect_forwarded(dst=A)
    assert asked == []
    told(Registry(), 'scheduler = "rr"', "202.100.1.2:1024")
    assert len(asked) == 1
    assert isinstance(scenario.director, Director)
