"""The conformance suites: what a plugin's author inherits to prove a plugin.

    from nat_lb.testing.conformance import FAIR_BY_WEIGHT, SchedulerConformance

    class TestMine(SchedulerConformance):
        scheduler = "mine"
        claims = {FAIR_BY_WEIGHT}

The law: the core's own plugins pass the same classes as anybody's, with no exception made for them.
"""

from __future__ import annotations

from nat_lb.testing.claims import Claim
from nat_lb.testing.dialogue import Dialogue, client_connects, client_says, server_connects, server_says
from nat_lb.testing.helper_conformance import HelperConformance
from nat_lb.testing.helper_play import Variation
from nat_lb.testing.scheduler_conformance import SchedulerConformance
from nat_lb.testing.tracker_conformance import TrackerConformance

FAIR_BY_WEIGHT = Claim.FAIR_BY_WEIGHT
FAIR_EQUALLY = Claim.FAIR_EQUALLY
MOVES_FEW = Claim.MOVES_FEW
STICKY = Claim.STICKY
STICKY_TO_DESTINATION = Claim.STICKY_TO_DESTINATION

__all__ = [
    "FAIR_BY_WEIGHT",
    "FAIR_EQUALLY",
    "MOVES_FEW",
    "STICKY",
    "STICKY_TO_DESTINATION",
    "Dialogue",
    "HelperConformance",
    "SchedulerConformance",
    "TrackerConformance",
    "Variation",
    "client_connects",
    "client_says",
    "server_connects",
    "server_says",
]
