"""Round robin, decision by decision."""

from __future__ import annotations

from ipaddress import ip_address

from nat_lb.api import Cycle, Endpoint, FlowKey, RealServer
from nat_lb_rr import RoundRobin, nat_lb_register_schedulers

FLOW = FlowKey(6, Endpoint(ip_address("202.100.1.2"), 3000), Endpoint(ip_address("202.103.106.5"), 80))


class Service:
    """A service of real servers called A, B, C and so on."""

    name = "web"
    now = 0.0

    def __init__(self, *weights: int) -> None:
        self.real_servers = [self.server(at, weight) for at, weight in enumerate(weights)]
        self.named = dict(zip(map(id, self.real_servers), "ABCDEF", strict=False))

    @staticmethod
    def server(number: int, weight: int = 1) -> RealServer:
        return RealServer(Endpoint(ip_address("172.16.0.2") + number, 80), weight)

    def decisions(self, scheduler: RoundRobin, count: int) -> str:
        chosen = [scheduler.schedule(FLOW) for _ in range(count)]
        return "".join(self.named.get(id(server), "?") if server else "-" for server in chosen)


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
    assert RoundRobin(Service()).schedule(FLOW) is None
    assert RoundRobin(Service(0, 0)).schedule(FLOW) is None


def test_circle_goes_on_after_the_last_chosen_when_servers_join() -> None:
    service = Service(1, 1)
    scheduler = RoundRobin(service)
    assert service.decisions(scheduler, 3) == "ABA"
    service.real_servers.append(service.server(2))
    service.named[id(service.real_servers[2])] = "C"
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
    assert scheduler.schedule(FLOW) is service.real_servers[0]


def test_plan_is_a_cycle_that_a_fast_path_can_carry_out() -> None:
    service = Service(1, 1)
    plan = RoundRobin(service).plan()
    assert isinstance(plan, Cycle)
    assert plan.order == tuple(service.real_servers)


def test_plugin_offers_the_scheduler_rr() -> None:
    assert [scheduler.name for scheduler in nat_lb_register_schedulers()] == ["rr"]
