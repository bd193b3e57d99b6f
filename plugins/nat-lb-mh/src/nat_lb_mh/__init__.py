"""Maglev hashing: a client's address leads to the same real server, and few clients move when servers change.

Every server has a permutation of a table's slots, which two hashes of its address and port define: where it begins,
and how far it goes each time (the table's size is a prime, so every step meets every slot). The servers take turns in
the order of the file; at its turn a server takes the next free slots of its permutation, as many as its weight divided
by the weights' greatest common divisor (scaled down if weights are far apart, but one at least), until no slot is free.
A server that comes or goes takes or leaves its share of slots, and the other slots mostly stay whose they are.

The client's address is hashed to a slot. If that slot's server is not usable the client is refused, or with `fallback
= true` further slots are tried. With `port = true` the client's port takes part, which spreads one client's
connections. Quiescing a server moves nobody: its slots wait for it, by its last weight that was not 0.

The hash is SipHash-1-3 of 32 bits with fixed keys. Directors, and IPVS, with the same servers in the same order agree.
Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section 3.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import gcd
from typing import Any

from pydantic import Field, field_validator

from nat_lb.api import Endpoint, FlowHash, HashTable, Options, RealServer, Scheduler, ServiceView, hookimpl

OFFSET_KEY, SKIP_KEY = 2654435761, 2654446892
TABLE_SIZES = (251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071)


class MaglevHashingOptions(Options):
    """The table [service.scheduler_options] of "mh"."""

    port: bool = Field(default=False, description="Hash the client's port too.")
    fallback: bool = Field(default=False, description="Try further slots when a slot's server is not usable.")
    table_size: int = Field(default=4093, description="Slots: a prime, a hundred times the servers or more.")

    @field_validator("table_size")
    @classmethod
    def _is_a_known_prime(cls, size: int) -> int:
        if size not in TABLE_SIZES:
            raise ValueError(f"must be one of {', '.join(map(str, TABLE_SIZES))}", "Write 4093.")
        return size


def turns(weights: Sequence[int], table_size: int) -> list[int]:
    """Return how many slots each server takes at its turn."""
    divisor = gcd(*weights) or 1
    shift = max(0, (max(weights, default=0) // divisor).bit_length() - table_size.bit_length() // 2)
    return [weight // divisor >> shift or int(weight > 0) for weight in weights]


def populate(table_size: int, endpoints: Sequence[Endpoint], shares: Sequence[int]) -> list[int | None]:
    """Return for each slot the number of the server that has it."""
    begin = FlowHash(table_size, port=True, key=OFFSET_KEY)
    skip = FlowHash(table_size - 1, port=True, key=SKIP_KEY)
    slots: list[int | None] = [None] * table_size
    places = [begin.of(endpoint) for endpoint in endpoints]
    steps = [skip.of(endpoint) + 1 for endpoint in endpoints]
    order = [number for number, share in enumerate(shares) for _ in range(share)]
    free = table_size if order else 0
    while True:
        for number in order:
            if not free:
                return slots
            while slots[places[number]] is not None:
                places[number] = (places[number] + steps[number]) % table_size
            slots[places[number]] = number
            free -= 1
        if not free:
            return slots


class MaglevHashing(Scheduler):
    """The scheduler "mh"."""

    name = "mh"
    options = MaglevHashingOptions

    def __init__(self, service: ServiceView, options: Any = None) -> None:
        self._last_weights: dict[RealServer, int] = {}  # the last ones that were not 0
        super().__init__(service, options)

    def plan(self) -> HashTable:
        """Return the table of slots; raises ValueError if there are more servers than slots."""
        settings: MaglevHashingOptions = self.settings or MaglevHashingOptions()
        size, servers = settings.table_size, self.service.real_servers
        if len(servers) > size:
            raise ValueError(f"{len(servers)} real servers do not fit into {size} slots. Raise table_size.")
        weights = {server: server.weight or self._last_weights.get(server, 0) for server in servers}
        present = self.present_plan
        if isinstance(present, HashTable) and list(weights.items()) == list(self._last_weights.items()):
            return present  # only quiesced, or back: the table is that of the last weights
        self._last_weights = weights
        owners = populate(size, [server.endpoint for server in servers], turns(list(weights.values()), size))
        slots = [servers[owner] if owner is not None else None for owner in owners]
        return HashTable(slots, FlowHash(size, port=settings.port, key=OFFSET_KEY), fallback=settings.fallback)


@hookimpl
def nat_lb_register_schedulers() -> Iterable[type[Scheduler]]:
    """Offer "mh"."""
    return [MaglevHashing]
