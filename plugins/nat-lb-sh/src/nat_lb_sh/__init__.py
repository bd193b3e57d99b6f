"""Source hashing: a client's address always leads to the same real server.

A table of 256 buckets is filled by going round the servers in the order of the file, each taking as many buckets in a
row as its weight (a quiesced server takes one, so that its return moves few clients). The client's address, folded to
32 bits and multiplied by the golden ratio, picks the bucket. If that bucket's server is not usable the client is
refused, or with `fallback = true` the buckets from the hash's next position on are tried. With `port = true` the
client's port takes part, which spreads one client's connections.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nat_lb.api import FlowKey, HashTable, Options, RealServer, Scheduler, hookimpl

BUCKETS = 256
GOLDEN_RATIO_32 = 0x61C88647  # Knuth's multiplicative hash, as Linux uses it


class SourceHashingOptions(Options):
    """The table [service.scheduler_options] of "sh"."""

    port: bool = False
    fallback: bool = False


def source_hash(flow: FlowKey, *, with_port: bool) -> int:
    """Return the bucket, 0 to 255, of a client."""
    packed = flow.source.address.packed
    folded = 0
    for at in range(0, len(packed), 4):
        folded ^= int.from_bytes(packed[at : at + 4], "big")
    value = folded + (flow.source.port if with_port else 0)
    return (value * GOLDEN_RATIO_32 & 0xFFFFFFFF) >> 24


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

        def key(flow: FlowKey, offset: int) -> int:
            return (offset + source_hash(flow, with_port=settings.port)) % BUCKETS

        return HashTable(fill(self.service.real_servers), key, fallback=settings.fallback)


@hookimpl
def nat_lb_register_schedulers() -> Iterable[type[Scheduler]]:
    """Offer "sh"."""
    return [SourceHashing]
