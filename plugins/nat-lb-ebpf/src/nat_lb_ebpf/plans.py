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

# The protocols whose packets the kernel can take apart: protocol, shortest header, where checksum and numbers are.
_TCP, _UDP, _GRE = (6, 20, 16, (0, 2)), (17, 8, 6, (0, 2)), (47, 8, None, (None, 6))
_PPTP = ((0, 0xEF, 0x20), (1, 0x7F, 0x01), (2, 0xFF, 0x88), (3, 0xFF, 0x0B))  # GRE version 1 (RFC 2637 section 4.1)
_FLAGS_AT = 13  # of a TCP header: the one octet that the kernel cuts out of a packet for a tracker
_KNOWN = {(_TCP, _FLAGS_AT, ()), (_TCP, None, ()), (_UDP, None, ()), (_GRE, None, _PPTP)}


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
    """Return a tracker's table; None if it reads what the kernel does not cut out of a packet, or is too large."""
    shape = (tracker.protocol, tracker.header, tracker.checksum_at, tracker.ports_at)
    small = len(tracker.states) <= STATES and len(tracker.events) <= EVENTS
    if (shape, tracker.event_at, tracker.signature) not in _KNOWN or not small:
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
