"""Round robin, decision by decision."""

from __future__ import annotations

from nat_lb.api import Cycle
from nat_lb.testing.schedules import Service, flow
from nat_lb_rr import RoundRobin, nat_lb_register_schedulers


def test_servers_take_turns_in_the_order_of_the_file() -> None:
    service = Service(1, 1, 1)
    assert service.decisions(RoundRobin(service), 7) == "ABCABCA"


def test_weights_other_than_zero_do_not_matter() -> None:
    service = Service(1, 0, 100)
    assert service.decisions(RoundRobin(service), 4) == "ACAC"


def test_overloaded_server_is_passed_over_until_it_recovers() -> None:
    service = Service(1, 1, 1)
    scheduler = RoundRobin(service)
    service.real_servers[1].overloaded = True
    assert service.decisions(scheduler, 3) == "ACA"
    service.real_servers[1].overloaded = False
    assert service.decisions(scheduler, 3) == "BCA"


def test_nobody_is_chosen_when_nobody_is_usable() -> None:
    assert RoundRobin(Service()).schedule(flow()) is None
    assert RoundRobin(Service(0, 0)).schedule(flow()) is None


def test_circle_goes_on_after_the_last_chosen_when_servers_join() -> None:
    service = Service(1, 1, 1)
    late = service.real_servers.pop()
    scheduler = RoundRobin(service)
    assert service.decisions(scheduler, 3) == "ABA"
    service.real_servers.append(late)
    scheduler.changed()
    assert service.decisions(scheduler, 4) == "BCAB"


def test_circle_goes_on_after_the_predecessor_of_a_server_that_left() -> None:
    service = Service(1, 1, 1, 1)
    scheduler = RoundRobin(service)
    assert service.decisions(scheduler, 3) == "ABC"
    del service.real_servers[2]
    scheduler.changed()
    assert service.decisions(scheduler, 3) == "DAB"


def test_circle_starts_anew_when_everybody_was_replaced() -> None:
    service = Service(1, 1)
    scheduler = RoundRobin(service)
    service.decisions(scheduler, 1)
    service.real_servers[:] = Service(1, 1).real_servers
    scheduler.changed()
    assert scheduler.schedule(flow()) is service.real_servers[0]


def test_plan_is_a_cycle_that_a_fast_path_can_carry_out() -> None:
    service = Service(1, 1)
    plan = RoundRobin(service).plan()
    assert isinstance(plan, Cycle)
    assert plan.order == tuple(service.real_servers)


def test_plugin_offers_the_scheduler_rr() -> None:
    assert [scheduler.name for scheduler in nat_lb_register_schedulers()] == ["rr"]
