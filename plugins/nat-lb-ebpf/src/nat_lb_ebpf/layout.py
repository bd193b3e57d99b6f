"""What the maps hold, as `bpf/structs.h` says it in C.

The law: every structure here has the same size and the same offsets as its namesake in C, which a test checks with the
compiler, and `LAYOUT` changes whenever one of them does: pinned maps of another layout are never adopted.
"""

from __future__ import annotations

import ctypes as c
from enum import IntEnum, IntFlag

LAYOUT = 3

STATES, EVENTS, DIRECTIONS = 16, 8, 2
NS = 1_000_000_000  # a second


class Bucket(c.Structure):
    """Eight flows: half a hash each, and where the connection is."""

    _fields_ = (("places", c.c_uint64 * 8),)


class Flag(IntFlag):
    """Flags of a connection."""

    SLOW = 1
    REPLIED = 2
    ASSURED = 4


class Connection(c.Structure):
    """One connection, 64 octets; times in ns of the coarse monotonic clock; generation 0 is a free slot."""

    last_seen: int
    opened: int
    generation: int
    binding: int
    state: int
    flags: int
    client: c.Array[c.c_uint8]
    client_port: c.Array[c.c_uint8]
    family: int
    _fields_ = (
        ("last_seen", c.c_uint64),
        ("opened", c.c_uint64),
        ("generation", c.c_uint32),
        ("binding", c.c_uint32),
        ("state", c.c_uint32),
        ("flags", c.c_uint32),
        ("client", c.c_uint8 * 16),
        ("client_port", c.c_uint8 * 2),
        ("family", c.c_uint16),
        ("unused", c.c_uint32 * 2),
    )


class Binding(c.Structure):
    """One virtual endpoint and one real endpoint, and the change of checksums by direction; family 0 is a free one."""

    virtual_address: c.Array[c.c_uint8]
    real_address: c.Array[c.c_uint8]
    virtual_port: c.Array[c.c_uint8]
    real_port: c.Array[c.c_uint8]
    address_change: c.Array[c.c_uint16]
    port_change: c.Array[c.c_uint16]
    server: int
    service: int
    tracker: int
    family: int
    protocol: int
    _fields_ = (
        ("virtual_address", c.c_uint8 * 16),
        ("real_address", c.c_uint8 * 16),
        ("virtual_port", c.c_uint8 * 2),
        ("real_port", c.c_uint8 * 2),
        ("address_change", c.c_uint16 * DIRECTIONS),
        ("port_change", c.c_uint16 * DIRECTIONS),
        ("server", c.c_uint32),
        ("service", c.c_uint32),
        ("tracker", c.c_uint32),
        ("family", c.c_uint16),
        ("protocol", c.c_uint16),
        ("unused", c.c_uint32),
    )


class Server(c.Structure):
    """A real server of one service: what schedulers ask for."""

    weight: int
    upper_threshold: int
    lower_threshold: int
    overloaded: int
    active: int
    inactive: int
    opened: int
    _fields_ = (
        ("weight", c.c_uint32),
        ("upper_threshold", c.c_uint32),
        ("lower_threshold", c.c_uint32),
        ("overloaded", c.c_uint32),
        ("active", c.c_uint32),
        ("inactive", c.c_uint32),
        ("opened", c.c_uint64),
        ("unused", c.c_uint32 * 8),
    )


class Traffic(c.Structure):
    """What a real server carried on one CPU, by direction."""

    packets: c.Array[c.c_uint64]
    octets: c.Array[c.c_uint64]
    _fields_ = (("packets", c.c_uint64 * DIRECTIONS), ("octets", c.c_uint64 * DIRECTIONS))


class ServiceKey(c.Structure):
    """A virtual endpoint."""

    _fields_ = (
        ("protocol", c.c_uint16),
        ("port", c.c_uint8 * 2),
        ("family", c.c_uint32),
        ("address", c.c_uint8 * 16),
    )


class Service(c.Structure):
    """Timeouts in ns by state, and the number of the plan for new connections, 0 if Python decides."""

    timeouts: c.Array[c.c_uint64]
    plan: int
    tracker: int
    _fields_ = (("timeouts", c.c_uint64 * STATES), ("plan", c.c_uint32), ("tracker", c.c_uint32))


class Tracker(c.Structure):
    """A tracker's table; `active` and `reopened` have a bit for each state, `opening` one for each event."""

    event_of: c.Array[c.c_uint8]
    next: c.Array[c.Array[c.Array[c.c_uint8]]]
    active: int
    reopened: int
    opening: int
    _fields_ = (
        ("event_of", c.c_uint8 * 256),
        ("next", c.c_uint8 * STATES * EVENTS * DIRECTIONS),
        ("active", c.c_uint32),
        ("reopened", c.c_uint32),
        ("opening", c.c_uint32),
        ("unused", c.c_uint32),
    )


class PlanKind(IntEnum):
    """How a plan chooses."""

    NO_PLAN = 0
    CYCLE = 1
    HASH_TABLE = 2
    LEAST_LOAD = 3
    HEAVIEST = 4


class PlanFlag(IntFlag):
    """How a plan chooses, in detail."""

    FALLBACK = 1
    HASH_PORT = 2
    HASH_DESTINATION = 4
    HASH_KEYED = 8
    LOAD_NEXT = 16
    WEIGHTED = 32
    IDLE_FIRST = 64
    SPILL = 128


class Plan(c.Structure):
    """A plan: what it looks at is in the map `slots`, from `first` on."""

    kind: int
    flags: int
    first: int
    length: int
    position: int
    shift: int
    key: int
    _fields_ = (
        ("kind", c.c_uint32),
        ("flags", c.c_uint32),
        ("first", c.c_uint32),
        ("length", c.c_uint32),
        ("position", c.c_uint32),
        ("shift", c.c_uint32),
        ("key", c.c_uint64),
    )


class Settings(c.Structure):
    """Limits, the events that are wanted (a bit each), the pace of the sweep, and how flows are hashed."""

    limit: int
    embryos: int
    events: int
    step: int
    tick: int
    seed: int
    buckets: int
    _fields_ = (
        ("limit", c.c_uint32),
        ("embryos", c.c_uint32),
        ("events", c.c_uint32),
        ("step", c.c_uint32),
        ("tick", c.c_uint64),
        ("seed", c.c_uint64),
        ("buckets", c.c_uint32),
        ("unused", c.c_uint32),
    )


class Allocator(c.Structure):
    """What all CPUs change when connections come and go."""

    fresh: int
    generation: int
    embryo: int
    swept: int
    _fields_ = (
        ("fresh", c.c_uint32),
        ("generation", c.c_uint32),
        ("embryo", c.c_uint32),
        ("swept", c.c_uint32),
    )


class EventKind(IntEnum):
    """What happened to a connection."""

    OPENED = 0
    STATE_CHANGED = 1
    CLOSED = 2


class CloseReason(IntEnum):
    """Why a connection was closed."""

    EXPIRED = 0
    REUSED = 1
    EVICTED = 2
    REMOVED = 3


class Event(c.Structure):
    """A record of the ring buffer."""

    time: int
    kind: int
    reason: int
    old_state: int
    new_state: int
    connection: int
    generation: int
    binding: int
    client: c.Array[c.c_uint8]
    client_port: c.Array[c.c_uint8]
    family: int
    _fields_ = (
        ("time", c.c_uint64),
        ("kind", c.c_uint32),
        ("reason", c.c_uint32),
        ("old_state", c.c_uint32),
        ("new_state", c.c_uint32),
        ("connection", c.c_uint32),
        ("generation", c.c_uint32),
        ("binding", c.c_uint32),
        ("client", c.c_uint8 * 16),
        ("client_port", c.c_uint8 * 2),
        ("family", c.c_uint16),
    )


class Trunk(c.Structure):
    """A VLAN's device as tags on another, its carrier; 0 where there is none."""

    carrier: int
    outer: int
    inner: int
    _fields_ = (("carrier", c.c_uint32), ("outer", c.c_uint16), ("inner", c.c_uint16))


class Counter(IntEnum):
    """What is counted, on every CPU."""

    NEW_CONNECTIONS = 0
    UP_SLOW = 1
    UP_ROUTE = 2
    UP_NEIGHBOR = 3
    UP_HOPS = 4
    UP_CHECKSUM = 5
    UP_REOPENED = 6
    UP_REFUSED = 7
    UP_FULL = 8
    UP_DEVICE = 9
    EVENTS_LOST = 10
    EVICTIONS = 11


class Operation(IntEnum):
    """What the control program is asked."""

    OPEN = 0
    CLOSE = 1
    NOTE = 2
    SWEEP = 3
    START = 4
    FIND = 5


class Control(c.Structure):
    """A request to the control program, and its answer."""

    operation: int
    result: int
    key: c.Array[c.c_uint8]
    reply_key: c.Array[c.c_uint8]
    family: int
    binding: int
    state: int
    flags: int
    reason: int
    octet: int
    octets: int
    first: int
    count: int
    connection: int
    generation: int
    closed: int
    now: int
    _fields_ = (
        ("operation", c.c_uint32),
        ("result", c.c_int32),
        ("key", c.c_uint8 * 40),
        ("reply_key", c.c_uint8 * 40),
        ("family", c.c_uint32),
        ("binding", c.c_uint32),
        ("state", c.c_uint32),
        ("flags", c.c_uint32),
        ("reason", c.c_uint32),
        ("octet", c.c_uint32),
        ("octets", c.c_uint32),
        ("first", c.c_uint32),
        ("count", c.c_uint32),
        ("connection", c.c_uint32),
        ("generation", c.c_uint32),
        ("closed", c.c_uint32),
        ("now", c.c_uint64),
    )
