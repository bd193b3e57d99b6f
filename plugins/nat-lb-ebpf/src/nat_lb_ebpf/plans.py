"""Plans and trackers as the kernel reads them.

The law: what cannot be said exactly in the kernel's terms is not said at all: the answer is None, and Python decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nat_lb.api import Cycle, Direction, FlowHash, HashTable, Heaviest, LeastLoad, Load, Plan, RealServer, Tracker
from nat_lb_ebpf.layout import EVENTS, STATES, PlanFlag, PlanKind
from nat_lb_ebpf.layout import Plan as PlanRecord
from nat_lb_ebpf.layout import Tracker as TrackerRecord

_TCP, _UDP = (6, 20, 16), (17, 8, 6)  # protocol, shortest header, where the checksum is
_FLAGS_AT = 13  # of a TCP header: the one octet that the kernel cuts out of a packet for a tracker


class Compiled(NamedTuple):
    """A plan's record, still without a place, and its slots: real servers in the order in which they are looked at."""

    record: PlanRecord
    servers: Sequence[RealServer | None]


def compile_plan(plan: Plan | None) -> Compiled | None:
    """Return what the kernel needs to carry a plan out; None for a plan that it does not know."""
    kind = type(plan)
    if kind is Cycle and isinstance(plan, Cycle):
        return _compiled(PlanKind.CYCLE, PlanFlag(0), plan.order, position=plan.position)
    if kind is LeastLoad and isinstance(plan, LeastLoad):
        flags = PlanFlag.LOAD_NEXT if plan.load is Load.NEXT else PlanFlag(0)
        flags |= PlanFlag.WEIGHTED if plan.weighted else 0
        flags |= PlanFlag.IDLE_FIRST if plan.idle_first else 0
        return _compiled(PlanKind.LEAST_LOAD, flags, plan.servers)
    if kind is Heaviest and isinstance(plan, Heaviest):
        return _compiled(PlanKind.HEAVIEST, PlanFlag.SPILL if plan.spill else PlanFlag(0), plan.servers)
    if kind is HashTable and isinstance(plan, HashTable):
        return _hash_table(plan)
    return None


def _compiled(kind: PlanKind, flags: PlanFlag, servers: Sequence[RealServer | None], **more: int) -> Compiled:
    return Compiled(PlanRecord(kind=kind, flags=flags, length=len(servers), **more), servers)


def _hash_table(plan: HashTable) -> Compiled | None:
    key = plan.key
    if not isinstance(key, FlowHash) or type(key) is not FlowHash or (plan.slots and key.size != len(plan.slots)):
        return None
    flags = PlanFlag.FALLBACK if plan.fallback else PlanFlag(0)
    flags |= PlanFlag.HASH_PORT if key.port else 0
    flags |= PlanFlag.HASH_DESTINATION if key.destination else 0
    flags |= PlanFlag.HASH_KEYED if key.key is not None else 0
    return _compiled(PlanKind.HASH_TABLE, flags, plan.slots, shift=33 - key.size.bit_length(), key=key.key or 0)


def compile_tracker(tracker: type[Tracker]) -> TrackerRecord | None:
    """Return a tracker's table; None if it is not one of TCP's or UDP's flags, or too large."""
    shape = (tracker.protocol, tracker.header, tracker.checksum_at or 0)
    octets = {_UDP: (None,), _TCP: (None, _FLAGS_AT)}.get(shape, ())
    if (
        tracker.event_at not in octets
        or tracker.ports_at != (0, 2)
        or len(tracker.states) > STATES
        or len(tracker.events) > EVENTS
    ):
        return None
    event = {name: number for number, name in enumerate(tracker.events)}
    state = {name: number for number, name in enumerate(tracker.states)}
    record = TrackerRecord(
        active=_bits(state, tracker.active),
        reopened=_bits(state, tracker.reopened),
        opening=_bits(event, tracker.opening),
    )
    for octet in range(256):
        record.event_of[octet] = event[tracker.event(octet if tracker.event_at is not None else 0)]
    for direction in Direction:
        for name, row in tracker.transitions[direction].items():
            for at, following in enumerate(row):
                record.next[direction][event[name]][at] = state[following]
    return record


def _bits(numbers: Mapping[str, int], names: frozenset[str]) -> int:
    return sum(1 << numbers[name] for name in names)
