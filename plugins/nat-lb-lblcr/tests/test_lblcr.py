"""Locality-based least connections with replication."""

from __future__ import annotations

from nat_lb.testing.schedules import Service, flow
from nat_lb_lblcr import Replication, ReplicationOptions

FLOW, OTHER = flow(virtual="10.1.0.1:80"), flow(virtual="10.1.0.2:80")


def replicas(web: Service, scheduler: Replication) -> str:
    found = dict(scheduler.remembered)[FLOW.destination.address]
    return "".join(web.letter(server) for server in found.servers)


def test_address_gets_another_server_when_its_servers_have_too_many() -> None:
    web = Service(4, 4, 4)
    scheduler = Replication(web)
    assert web.decisions(scheduler, [FLOW] * 20) == "AAAAABBBBBCCCCCCBACB"
    assert replicas(web, scheduler) == "CBA"


def test_busiest_server_leaves_a_set_that_has_not_changed_for_long() -> None:
    web = Service(2, 2, 9)
    scheduler = Replication(web, ReplicationOptions(expiry=3600.0))
    web.server("C").overloaded = True
    web.decisions(scheduler, [FLOW] * 4)
    assert replicas(web, scheduler) == "BA"
    for web.now in (1800.0, 3600.0):
        scheduler.schedule(FLOW)
        assert replicas(web, scheduler) == "BA"
    web.now += 1
    scheduler.schedule(FLOW)
    assert replicas(web, scheduler) == "B"


def test_unusable_servers_of_an_address_are_passed_over_and_kept() -> None:
    web = Service(9, 9)
    scheduler = Replication(web)
    assert web.decisions(scheduler, [FLOW]) == "A"
    web.reweigh(scheduler, A=0)
    assert web.decisions(scheduler, [FLOW, FLOW]) == "BB"
    web.reweigh(scheduler, A=9)
    assert web.decisions(scheduler, [FLOW]) == "A"


def test_removed_server_leaves_every_set() -> None:
    web = Service(9, 9)
    scheduler = Replication(web)
    assert web.decisions(scheduler, [FLOW, OTHER]) == "AB"
    web.real_servers.remove(web.server("A"))
    scheduler.changed()
    assert [address for address, _ in scheduler.remembered] == [OTHER.destination.address]
    assert web.decisions(scheduler, [FLOW]) == "B"


def test_nobody_usable_means_none_and_nothing_is_remembered() -> None:
    web = Service(0)
    scheduler = Replication(web)
    assert scheduler.schedule(FLOW) is None
    assert len(scheduler.remembered) == 0
