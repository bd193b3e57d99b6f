"""Locality-based least connections."""

from __future__ import annotations

from nat_lb.testing.schedules import Service, flow
from nat_lb_lblc import LocalityBasedLeastConnections, LocalityOptions

FIRST, SECOND = flow(virtual="10.1.0.1:80"), flow(virtual="10.1.0.2:80")


def test_address_keeps_its_server_until_that_has_too_many() -> None:
    web = Service(4, 4, 4)
    assert web.decisions(LocalityBasedLeastConnections(web), 20) == "AAAAABBBBBCCCCCCCCCC"


def test_second_address_gets_the_least_loaded_server() -> None:
    web = Service(9, 9)
    scheduler = LocalityBasedLeastConnections(web)
    assert web.decisions(scheduler, [FIRST, FIRST, SECOND, FIRST, SECOND]) == "AABAB"


def test_unusable_or_removed_server_is_replaced_for_good() -> None:
    web = Service(9, 9, 9)
    scheduler = LocalityBasedLeastConnections(web)
    assert web.decisions(scheduler, [FIRST]) == "A"
    web.server("A").overloaded = True
    assert web.decisions(scheduler, [FIRST]) == "B"
    web.server("A").overloaded = False
    assert web.decisions(scheduler, [FIRST]) == "B"
    web.real_servers.remove(web.server("B"))
    scheduler.changed()
    assert len(scheduler.remembered) == 0
    assert web.decisions(scheduler, [FIRST]) == "C"


def test_nobody_usable_means_none_and_nothing_is_remembered() -> None:
    web = Service(0, 0)
    scheduler = LocalityBasedLeastConnections(web)
    assert scheduler.schedule(FIRST) is None
    assert len(scheduler.remembered) == 0


def test_unused_address_is_forgotten_after_its_expiry() -> None:
    web = Service(9, 9)
    scheduler = LocalityBasedLeastConnections(web, LocalityOptions(expiry=3600.0))
    web.decisions(scheduler, [FIRST])
    for web.now in range(60, 7300, 60):
        scheduler.schedule(SECOND)
    assert dict(scheduler.remembered) == {SECOND.destination.address: web.server("B")}


def test_memory_is_bounded_however_many_addresses_come() -> None:
    web = Service(9, 9)
    scheduler = LocalityBasedLeastConnections(web, LocalityOptions(size=100))
    for number in range(1000):
        web.now += 1
        scheduler.schedule(flow(virtual=f"10.1.{number // 250}.{number % 250}:80"))
        assert len(scheduler.remembered) <= 150
