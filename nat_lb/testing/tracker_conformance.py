"""What every tracker owes, as tests to inherit.

    from nat_lb.testing.conformance import TrackerConformance

    class TestMine(TrackerConformance):
        tracker = "mine"

The law: the table is read as data first, and then held against a whole director: a packet of each event, in each state
that can be reached, leads where the table says, and a connection that falls silent in it is gone in time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from ipaddress import ip_address
from math import isfinite
from typing import ClassVar, NoReturn, TypeAlias

from nat_lb.flow import Direction, Endpoint
from nat_lb.helper import Edit, Helper, Message
from nat_lb.packet import build, pseudo_sum, sealed
from nat_lb.testing import packets
from nat_lb.testing.claims import fail
from nat_lb.testing.helper_play import SCHEDULER, registry_with
from nat_lb.testing.installed import REALS, VIRTUAL, check_found, class_of
from nat_lb.testing.scenario import Outcome, Scenario
from nat_lb.tracker import Tracker
from nat_lb.verdict import NotForwarded

Move: TypeAlias = tuple[Direction, str]  # an event, and which way it is seen

CLIENT, CLIENT_PORT, PORT = "203.0.113.10", 40000, 4000


class _Announcer(Helper):
    """Announces a connection between both ends, whatever the client says."""

    name = "announcer"
    protocol = "udp"
    expectation_timeout = 1e6
    announced: ClassVar[str]

    def rewrite(self, message: Message) -> Iterable[Edit]:
        client, _, real = message.peers
        if message.from_client:
            message.expect_between(
                Endpoint(client.address, CLIENT_PORT), Endpoint(real.address, PORT), protocol=self.announced
            )
        return ()


class TrackerConformance:
    """Tests of one tracker; a subclass names it."""

    tracker: ClassVar[str]
    distribution: ClassVar[str] = ""  # nat-lb-NAME if empty
    ends: ClassVar[Collection[str]] = ()  # states of a connection that is over; worked out if empty, see `end_states`

    @classmethod
    def tracker_class(cls) -> type[Tracker]:
        """Return the class to test: the one that is installed under the name."""
        offered: type[Tracker] = class_of("tracker", cls.tracker)
        return offered

    @classmethod
    def header(cls, event: int) -> bytes:
        """Return a transport header, checksum 0, whose event octet is `event`; the rest is the signature and 0.

        The two numbers that tell flows apart are written into it afterwards.
        """
        table = cls.tracker_class()
        header = bytearray(table.header)
        for at, _, value in table.signature:
            header[at] = value
        if table.event_at is not None:
            header[table.event_at] = event
        return bytes(header)

    @cached_property
    def table(self) -> type[Tracker]:
        """The tracker."""
        return self.tracker_class()

    @property
    def end_states(self) -> frozenset[str]:
        """The states of a connection that is over: `ends`, else those reopened, else those that are no load.

        All states, if the tracker knows no end but silence, as UDP's.
        """
        idle = frozenset(self.table.states[1:]) - self.table.active
        return frozenset(self.ends) or self.table.reopened or idle or frozenset(self.table.states)

    def test_plugin_is_found_under_its_entry_point_name(self) -> None:
        """It is installed, loaded, in the distribution and under the entry point that users expect."""
        check_found("tracker", self.tracker, self.distribution or f"nat-lb-{self.tracker}")

    def test_table_has_a_next_state_for_every_event_in_every_state(self) -> None:
        """The table is total: each direction, event and state leads to a known state."""
        for direction in Direction:
            for event in self.table.events:
                row = self.table.transitions.get(direction, {}).get(event)
                if row is None:
                    self._blame(
                        f'has no row for the event "{event}" in transitions[{direction.name}]',
                        f"expected: {len(self.table.states)} next states, for {', '.join(self.table.states)}",
                    )
                self._check_row(f'transitions[{direction.name}]["{event}"]', row)
        self.table.check()

    def test_every_octet_stands_for_a_known_event(self) -> None:
        """Any packet is some event, and any event some packet."""
        for octet in range(256):
            if (event := self.table.event(octet)) not in self.table.events:
                self._blame(f"event({octet}) is {event!r}", f"expected: one of {', '.join(self.table.events)}")
        unseen = set(self.table.events) - {self.table.event(octet) for octet in range(256)}
        if unseen:
            self._blame(f"no octet stands for {', '.join(sorted(unseen))}", "expected: event() returns each event")

    def test_every_state_has_a_timeout_that_ends_it(self) -> None:
        """A connection that falls silent is forgotten in finite time."""
        for state in self.table.states:
            seconds = self.table.timeouts.get(state)
            if seconds is None or not isfinite(seconds) or seconds <= 0:
                self._blame(
                    f"state {state} has the timeout {seconds}, so a silent connection would stay for ever",
                    "expected: a finite number of seconds above 0 in `timeouts`",
                )
        self._check_names("timeouts", self.table.timeouts)

    def test_every_state_has_a_way_to_the_end(self) -> None:
        """From every state that is reached, some events lead to one in which the connection is over."""
        for state in self._paths():
            if not self.end_states & self._paths(state).keys():
                self._blame(
                    f"state {state} never ends: no sequence of events leads from it to {_any_of(self.end_states)}",
                    f"how it is reached: {_told(self._paths()[state])}",
                    "expected: some event leads on. Or name the states that end a connection in `ends`.",
                )

    def test_groups_and_sets_name_known_states_and_events(self) -> None:
        """`groups`, `active`, `reopened`, `opening` and `sterile` name nothing unknown."""
        for group, states in self.table.groups.items():
            self._check_names(f'groups["{group}"]', states)
        self._check_names("active", self.table.active)
        self._check_names("reopened", self.table.reopened)
        self._check_names("ends", self.ends)
        for what, events in ("opening", self.table.opening), ("sterile", self.table.sterile):
            if strange := set(events) - set(self.table.events):
                self._blame(f"{what} names {_any_of(strange)}", f"known events: {', '.join(self.table.events)}")

    def test_opening_events_and_no_others_open_a_connection(self) -> None:
        """In a whole director, for each of the 256 octets: `opening` says whether a connection is opened."""
        if not self.table.opening:
            self._blame("has no opening event, so no connection is ever opened", "expected: events in `opening`")
        for octet in range(256):
            event = self.table.event(octet)
            scenario = self._scenario()
            outcome = self._send(scenario, Direction.ORIGINAL, octet)
            opened, may = bool(self._states(scenario)), event in self.table.opening
            if opened is not may:
                did = "opened a connection" if opened else "opened no connection"
                self._blame(
                    f'event "{event}" (octet {octet:#04x}) {did}: {outcome}',
                    f"expected: {'opened' if may else 'refused'}, as `opening` says: {_any_of(self.table.opening)}",
                )

    def test_packets_lead_where_the_table_says_and_silence_ends_it(self) -> None:
        """In a whole director, for each state that can be reached: packets lead there, and silence ends it."""
        for state, path in self._paths().items():
            if not path:
                continue  # the state of a connection that has seen no packet
            scenario = self._scenario()
            for direction, event in path:
                self._send(scenario, direction, self._octet(event))
            found = self._states(scenario)
            if found != [state]:
                self._blame(f"is in {_any_of(found)} after {_told(path)}", f"expected: {state}")
            scenario.jump(self.table.timeouts[state] + 2)
            if self._states(scenario):
                self._blame(
                    f"state {state}: the connection is still there after {self.table.timeouts[state]} s of silence",
                    f"how it is reached: {_told(path)}",
                )

    def _check_row(self, where: str, row: tuple[str, ...]) -> None:
        states = self.table.states
        if len(row) != len(states):
            missing = ", ".join(states[len(row) :]) or "none"
            self._blame(
                f"has a hole in its table: {where} has {len(row)} entries",
                f"expected: {len(states)}; without: {missing}",
            )
        for state, following in zip(states, row, strict=True):
            if following not in states:
                self._blame(
                    f"has a hole in its table: {where} leads from {state} to {following!r}",
                    f"expected: one of {', '.join(states)}",
                )

    def _check_names(self, where: str, names: Collection[str] | Mapping[str, float]) -> None:
        if strange := set(names) - set(self.table.states):
            self._blame(f"{where} names {_any_of(strange)}", f"known states: {', '.join(self.table.states)}")

    def _paths(self, start: str = "") -> dict[str, list[Move]]:
        """Return every state that events can lead to, with the shortest way there from `start`.

        By default from the first state, by an opening event; where a reopening packet would open a new connection, no
        way goes on.
        """
        table = self.table
        first = start or table.states[0]
        paths: dict[str, list[Move]] = {first: []}
        waiting = deque([first])
        while waiting:
            state = waiting.popleft()
            for direction in Direction:
                for event in table.events:
                    if state == table.states[0] and not self._opens(direction, event):
                        continue
                    if state in table.reopened and direction is Direction.ORIGINAL and event in table.opening:
                        continue
                    following = table.transitions[direction][event][table.states.index(state)]
                    if following not in paths:
                        paths[following] = [*paths[state], (direction, event)]
                        waiting.append(following)
        if len(table.states) == 1 and not start:
            paths[first] = [(Direction.ORIGINAL, sorted(table.opening)[0])]
        return paths

    def _opens(self, direction: Direction, event: str) -> bool:
        """Whether an event may open a connection: a service is for clients, an announced call for both ends."""
        return event in self.table.opening and (direction is Direction.ORIGINAL or not self.table.has_ports())

    def _states(self, scenario: Scenario) -> list[str]:
        """Return the states of the connections that this tracker has."""
        return [c.state_name for c in scenario.connections if c.tracking.tracker is self.table]

    def _octet(self, event: str) -> int:
        return next(octet for octet in range(256) if self.table.event(octet) == event)

    def _scenario(self) -> Scenario:
        """Return a director that has a service of this protocol with one real server.

        Where packets do not name their source, it has a service that announces a connection of this protocol.
        """
        if not self.table.has_ports():
            return self._announced()
        toml = (
            f'[[service]]\nprotocol = "{self.table.name}"\naddress = "{VIRTUAL}"\nport = {PORT}\n'
            f'scheduler = "{SCHEDULER}"\nreal_server = [{{ address = "{REALS[0]}" }}]\n'
        )
        return Scenario(toml, registry_with(trackers={self.table.name: self.table}))

    def _announced(self) -> Scenario:
        helper = type("Announcer", (_Announcer,), {"announced": self.table.name})
        toml = (
            f'[[service]]\nprotocol = "udp"\naddress = "{VIRTUAL}"\nport = {PORT}\nscheduler = "{SCHEDULER}"\n'
            f'helpers = ["announcer"]\nreal_server = [{{ address = "{REALS[0]}" }}]\n'
        )
        offers = {"trackers": {self.table.name: self.table}, "helpers": {"announcer": helper}}
        scenario = Scenario(toml, registry_with(**offers))
        scenario.client(f"{CLIENT}:{CLIENT_PORT}", f"{VIRTUAL}:{PORT}").sends_packet(
            packets.udp(f"{CLIENT}:{CLIENT_PORT}", f"{VIRTUAL}:{PORT}", b"announce")
        )
        return scenario

    def _send(self, scenario: Scenario, direction: Direction, octet: int) -> Outcome:
        """Send a packet with this event octet; fails if a packet that is forwarded goes to a wrong place."""
        source, to, numbers = (
            (CLIENT, VIRTUAL, (CLIENT_PORT, PORT))
            if direction is Direction.ORIGINAL
            else (REALS[0], CLIENT, (PORT, CLIENT_PORT))
        )
        from_, to_ = ip_address(source).packed, ip_address(to).packed
        header = bytearray(self.header(octet))
        for at, number in zip(self.table.ports_at, numbers, strict=True):
            if at is not None:
                header[at : at + 2] = number.to_bytes(2, "big")
        body = bytes(header)
        if self.table.checksum_at is not None:
            body = sealed(body, self.table.checksum_at, pseudo_sum(from_, to_, self.table.protocol, len(body)))
        outcome = scenario.process(build(from_, to_, self.table.protocol, body))
        if not isinstance(outcome.verdict, NotForwarded):
            inside = ip_address(REALS[0] if direction is Direction.ORIGINAL else VIRTUAL).packed
            if inside not in bytes(outcome.verdict)[12:20]:
                self._blame(f"a packet is not translated: {outcome}")
        return outcome

    def _blame(self, what: str, *details: str) -> NoReturn:
        __tracebackhide__ = True
        fail(f'tracker "{self.tracker}" ({self.table.__module__}.{self.table.__qualname__}) {what}', *details)


def _any_of(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _told(path: list[Move]) -> str:
    return ", ".join(f"{event} from the {'client' if way is Direction.ORIGINAL else 'server'}" for way, event in path)


__all__ = ["TrackerConformance"]
