"""Destination hashing: a virtual address always leads to the same real server.

A table of 256 buckets is filled by going round the servers in the order of the file, one bucket each; weights do not
matter, except that 0 means quiesced. The virtual address, folded to 32 bits and multiplied by the golden ratio, picks
the bucket. If that bucket's server is not usable the client is refused: no other server has the contents.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import cycle, islice

from nat_lb.api import FlowHash, HashTable, Scheduler, hookimpl

BUCKETS = 256


class DestinationHashing(Scheduler):
    """The scheduler "dh"."""

    name = "dh"

    def plan(self) -> HashTable:
        """Return the table of buckets."""
        slots = tuple(islice(cycle(self.service.real_servers), BUCKETS))
        return HashTable(slots, FlowHash(BUCKETS, destination=True))


@hookimpl
def nat_lb_register_schedulers() -> Iterable[type[Scheduler]]:
    """Offer "dh"."""
    return [DestinationHashing]
