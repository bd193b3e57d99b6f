"""The director: what it owns; how it reloads is a matter of the scenarios."""

from __future__ import annotations

from nat_lb.config import parse
from nat_lb.director import Director
from tests.scenario.nets import IPV4


def test_director_owns_its_plugins_and_shares_nothing_with_another() -> None:
    first, second = (Director(parse(IPV4.web, "t"), "t") for _ in range(2))
    assert first.registry.manager is not second.registry.manager
    assert first.lifecycle.connections is not second.lifecycle.connections
