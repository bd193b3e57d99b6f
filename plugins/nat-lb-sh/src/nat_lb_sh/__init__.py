"""Source hashing: a client's address always leads to the same real server.

A table of 256 buckets is filled by going round the servers in the order of the file, each taking as many buckets in a
row as its weight (a quiesced server takes one, so that its return moves few clients). The client's address, folded to
32 bits and multiplied by the golden ratio, picks the bucket. If that bucket's server is not usable the client is
refused, or with `fallback = true` the buckets from the hash's next position on are tried. With `port = true` the
client's port takes part, which spreads one client's connections.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import Field

from nat_lb.api import FlowHash, HashTable, Options, RealServer, Scheduler, hookimpl

BUCKETS = 256


class SourceHashingOptions(Options):
    """The table [service.scheduler_options] of "sh"."""

    port: bool = Field(default=False, description="Hash the client's port too: one client's connections are spread.")
    fallback: bool = Field(default=False, description="Try further buckets when a bucket's server is not usable.")


def fill(servers: Sequence[RealServer]) -> list[RealServer]:
    """Return the servers of all buckets."""
    buckets: list[RealServer] = []
    while servers and len(buckets) < BUCKETS:
        for server in servers:
            buckets.extend([server] * min(max(server.weight, 1), BUCKETS))
    return buckets[:BUCKETS]


class SourceHashing(Scheduler):
    """The scheduler "sh"."""

    name = "sh"
    options = SourceHashingOptions

    def plan(self) -> HashTable:
        """Return the table of buckets."""
        settings: SourceHashingOptions = self.settings or SourceHashingOptions()
        key = FlowHash(BUCKETS, port=settings.port)
        return HashTable(fill(self.service.real_servers), key, fallback=settings.fallback)


@hookimpl
def nat_lb_register_schedulers() -> Iterable[type[Scheduler]]:
    """Offer "sh"."""
    return [SourceHashing]
