"""Trackers: the state machine of one transport protocol, written as a table.

The law: for every direction, event and state there is exactly one next state, and every state has a timeout.  A tracker
holds no code that runs for a packet: an octet of the transport header picks the event, the table picks the state. The
core, the documentation and a fast path all read the same table.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import ClassVar

from nat_lb.errors import PluginError
from nat_lb.flow import Direction
from nat_lb.packet import PortsAt

Rows = tuple[tuple[int, ...], ...]  # an event octet's value (0..255) -> a row: present state -> next state


class Tracker:
    """Base of all trackers: a subclass only fills in the class attributes.

    Registered by returning the class from `nat_lb_register_trackers`; `name` is what a service's `protocol` says in
    TOML. The first state is that of a connection which has seen no packet yet.
    """

    name: ClassVar[str]
    protocol: ClassVar[int]  # IP protocol number
    header: ClassVar[int]  # shortest transport header, octets
    checksum_at: ClassVar[int | None]  # offset of the checksum in the transport header, None if it has none
    # Offsets of the 16-bit numbers that tell flows apart, the source's and the destination's.  None: packets do not
    # say, as those of GRE version 1, which name a call by its receiver's number alone.
    ports_at: ClassVar[PortsAt] = (0, 2)
    # (offset, mask, value) of header octets; packets of the protocol that have others are no concern of the director's.
    signature: ClassVar[tuple[tuple[int, int, int], ...]] = ()
    states: ClassVar[tuple[str, ...]]
    events: ClassVar[tuple[str, ...]]
    transitions: ClassVar[
        Mapping[Direction, Mapping[str, tuple[str, ...]]]
    ]  # event -> next state, in the order of `states`
    timeouts: ClassVar[Mapping[str, float]]  # state -> seconds without a packet
    groups: ClassVar[Mapping[str, tuple[str, ...]]] = {}  # configuration key -> the states it sets together
    active: ClassVar[frozenset[str]]  # states in which a connection counts as a real server's load
    reopened: ClassVar[frozenset[str]] = frozenset()  # states in which an opening event starts a new connection
    opening: ClassVar[frozenset[str]]  # events that may open a connection
    sterile: ClassVar[frozenset[str]] = frozenset()  # events that never open one, not even where any packet may
    event_at: ClassVar[int | None] = None  # offset in the transport header of the octet that tells the event

    @classmethod
    def event(cls, octet: int) -> str:
        """Return the event that the octet at `event_at` (0 to 255) stands for.

        The only event where there is just one.
        """
        return cls.events[0]

    @classmethod
    def has_ports(cls) -> bool:
        """Whether packets name both ends, so that a service can have a port of this protocol."""
        return None not in cls.ports_at

    @classmethod
    def recognises(cls, header: bytes) -> bool:
        """Whether a transport header, and what follows it, is one that this tracker is about."""
        return len(header) >= cls.header and all(header[at] & mask == value for at, mask, value in cls.signature)

    @classmethod
    def timeout_names(cls) -> frozenset[str]:
        """Return the keys that `[timeouts]` may hold for this tracker: its groups and its states in lower case."""
        return frozenset(cls.groups) | {state.lower() for state in cls.states}

    @classmethod
    def check(cls) -> None:
        """Raise PluginError unless the table is total, every state has a timeout and no unknown name is used."""
        for state in cls.states:
            if state not in cls.timeouts:
                raise PluginError(f'tracker "{cls.name}": state {state} has no timeout. Add it to `timeouts`.')
        for direction in Direction:
            for event in cls.events:
                row = cls.transitions.get(direction, {}).get(event, ())
                if len(row) != len(cls.states) or not set(row) <= set(cls.states):
                    raise PluginError(
                        f'tracker "{cls.name}": transitions[{direction.name}]["{event}"] must name one known state '
                        f"for each of {len(cls.states)} states, found {len(row)}: {' '.join(row)}."
                    )
        grouped = {state for states in cls.groups.values() for state in states}
        for what, used, known in (
            ("event()", {cls.event(octet) for octet in range(256)}, cls.events),
            ("opening or sterile", cls.opening | cls.sterile, cls.events),
            ("active, reopened or groups", cls.active | cls.reopened | grouped, cls.states),
        ):
            if strange := ", ".join(sorted(used - set(known))):
                raise PluginError(f'tracker "{cls.name}": {what} names {strange}. Known: {", ".join(known)}.')
        for at in (*cls.ports_at, cls.checksum_at):
            if at is not None and not 0 <= at <= cls.header - 2:
                raise PluginError(f'tracker "{cls.name}": offset {at} is not within the header of {cls.header} octets.')
        for at, mask, value in cls.signature:
            if not 0 <= at < cls.header or value & ~mask:
                raise PluginError(f'tracker "{cls.name}": signature ({at}, {mask:#x}, {value:#x}) can never match.')

    @classmethod
    @cache
    def rows(cls, direction: Direction) -> Rows:
        """Compile one direction's table: 256 octets to rows of state numbers, rows shared between octets."""
        number = {state: at for at, state in enumerate(cls.states)}
        compiled = {event: tuple(number[state] for state in cls.transitions[direction][event]) for event in cls.events}
        return tuple(compiled[cls.event(octet)] for octet in range(256))

    @classmethod
    def seconds(cls, *tables: Mapping[str, float]) -> tuple[float, ...]:
        """Return each state's timeout in seconds.

        Later tables win, and in one table a state's own key beats its group's.
        """
        result = dict(cls.timeouts)
        for table in tables:
            for group, states in cls.groups.items():
                if group in table:
                    result.update(dict.fromkeys(states, table[group]))
            result.update({state: table[state.lower()] for state in cls.states if state.lower() in table})
        return tuple(float(result[state]) for state in cls.states)


def table(states: Mapping[str, str], text: str) -> dict[str, tuple[str, ...]]:
    """Read rows such as `syn SR ES ES` (an event, then a next state for each state) written with abbreviated states."""
    rows = (line.split() for line in text.strip().splitlines())
    return {row[0]: tuple(states[short] for short in row[1:]) for row in rows}
