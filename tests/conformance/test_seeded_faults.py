"""The kit catches what plugins get wrong: mutants of the project's own, each with one fault, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import pytest
from hypothesis import Phase, settings

from nat_lb.api import (
    Cycle,
    Direction,
    Edit,
    FlowKey,
    HashTable,
    LeastLoad,
    Message,
    Peers,
    RealServer,
    Refusal,
    Scheduler,
    Tracker,
)  # fmt: skip
from nat_lb.testing.conformance import (
    FAIR_BY_WEIGHT,
    FAIR_EQUALLY,
    MOVES_FEW,
    STICKY,
    Dialogue,
    HelperConformance,
    SchedulerConformance,
    TrackerConformance,
    client_connects,
    client_says,
    server_says,
)
from nat_lb.trackers import Tcp
from nat_lb_ftp import Ftp
from nat_lb_lc import LeastConnections
from nat_lb_rr import RoundRobin
from nat_lb_sh import SourceHashing, SourceHashingOptions
from nat_lb_wrr import WeightedRoundRobin, rotation

ALIKE = settings(SchedulerConformance.search, derandomize=True, database=None, phases=(Phase.generate,))


class SchedulerKit(SchedulerConformance):
    """The kit on a mutant, searching alike in every run, and not for the shortest example."""

    search = settings(ALIKE, max_examples=60, stateful_step_count=30)


def kit(mutant: type[Scheduler], **says: Any) -> SchedulerConformance:
    """Return the conformance class of a mutant, as its author would write it."""
    attributes = {"scheduler": mutant.name, "scheduler_class": classmethod(lambda _cls: mutant), **says}
    made: SchedulerConformance = type("TestMutant", (SchedulerKit,), attributes)()
    return made


def complaint(test: Callable[[], None]) -> str:
    """Return what a test of the kit says of a fault; fails if it finds none."""
    with pytest.raises(AssertionError) as caught:
        test()
    return "\n".join([str(caught.value), *getattr(caught.value, "__notes__", ())])


def test_rotation_that_is_off_by_one_is_not_fair() -> None:
    class OffByOne(WeightedRoundRobin):
        def plan(self) -> Cycle:
            return Cycle(tuple(rotation(self.service.real_servers))[1:])

    said = complaint(kit(OffByOne, claims=(FAIR_BY_WEIGHT,)).test_connections_are_shared_as_it_claims)
    assert 'scheduler "wrr"' in said
    assert "gave A 0 of 240 connections" in said
    assert "expected: 120, give or take 2" in said
    assert "claimed: connections are spread in proportion to the weights" in said


def test_scheduler_that_ignores_weight_zero_chooses_a_quiesced_server() -> None:
    class IgnoresQuiescence(RoundRobin):
        def schedule(self, flow: FlowKey) -> RealServer | None:
            servers = [server for server in self.service.real_servers if not server.overloaded]
            return servers[flow.source.port % len(servers)] if servers else None

    said = complaint(kit(IgnoresQuiescence).test_only_usable_servers_are_chosen_whatever_changes)
    assert "which is quiesced (weight 0)" in said
    assert "state.connect(" in said
    said = complaint(kit(IgnoresQuiescence).test_nobody_is_chosen_when_all_are_quiesced_or_overloaded)
    assert "which is quiesced (weight 0)" in said
    assert "real servers: A 172.16.0.2:80 weight 0, 0 connections" in said


def test_scheduler_that_keeps_its_list_chooses_a_removed_server() -> None:
    class Forgetful(RoundRobin):
        def plan(self) -> Cycle:
            present = self.present_plan
            return present if isinstance(present, Cycle) and present.order else Cycle(self.service.real_servers)

    said = complaint(kit(Forgetful).test_only_usable_servers_are_chosen_whatever_changes)
    assert "which was removed" in said or "chose None although a real server is usable" in said
    said = complaint(kit(Forgetful).test_nobody_is_chosen_when_there_is_no_real_server)
    assert "chose real server A, which was removed" in said
    assert "4. add A with weight 1" in said
    assert "6. remove A" in said


def test_scheduler_that_looks_at_weights_only_chooses_an_overloaded_server() -> None:
    class Overloads(LeastConnections):
        def schedule(self, flow: FlowKey) -> RealServer | None:
            servers = [server for server in self.service.real_servers if server.weight > 0]
            return min(servers, key=lambda server: server.active, default=None)

    for test in (
        kit(Overloads).test_only_usable_servers_are_chosen_whatever_changes,
        kit(Overloads).test_nobody_is_chosen_when_all_are_quiesced_or_overloaded,
    ):
        said = complaint(test)
        assert "which is overloaded (" in said
        assert "upper_threshold" in said
        assert "steps:" in said


def test_hash_of_the_client_port_is_not_sticky() -> None:
    class HashesThePort(SourceHashing):
        def plan(self) -> HashTable:
            self.settings = SourceHashingOptions(port=True)
            return super().plan()

    said = complaint(kit(HashesThePort, claims=(STICKY,)).test_client_stays_at_its_server_if_it_claims_so)
    assert "is not sticky: one client was sent to " in said
    assert "again, whatever its source port" in said


def test_hash_by_remainder_moves_too_many_clients() -> None:
    class ByRemainder(SourceHashing):
        def plan(self) -> HashTable:
            servers = tuple(self.service.real_servers)
            return HashTable(servers, lambda flow, at: (int(flow.source.address) + at) % max(len(servers), 1))

    said = complaint(kit(ByRemainder, claims=(MOVES_FEW,)).test_few_clients_move_when_a_server_goes_if_it_claims_so)
    assert "of 800 clients of the real servers that stayed" in said
    assert "10% at most (most_moved)" in said


def test_scheduler_that_divides_by_no_servers_raises() -> None:
    class Raises(RoundRobin):
        at = 0

        def schedule(self, flow: FlowKey) -> RealServer | None:
            self.at = (self.at + 1) % len(self.service.real_servers)
            return self.service.real_servers[self.at]

    said = complaint(kit(Raises).test_nobody_is_chosen_when_there_is_no_real_server)
    assert "raised ZeroDivisionError" in said
    assert "real servers: none" in said
    assert "self.at = (self.at + 1) % len(self.service.real_servers)" in said


def test_scheduler_that_waits_for_its_turn_finds_nobody() -> None:
    class GivesUp(RoundRobin):
        def schedule(self, flow: FlowKey) -> RealServer | None:
            chosen = super().schedule(flow)
            return chosen if chosen in self.service.real_servers[-1:] else None

    said = complaint(kit(GivesUp).test_only_usable_servers_are_chosen_whatever_changes)
    assert "chose None although a real server is usable" in said


def test_plan_that_is_not_what_the_code_does_is_told() -> None:
    class Contradicts(LeastConnections):
        def schedule(self, flow: FlowKey) -> RealServer | None:
            return LeastLoad(self.service.real_servers, weighted=True).choose(flow)

    said = complaint(kit(Contradicts).test_plan_and_code_agree_on_every_decision)
    assert "contradicts its own plan: schedule() chose " in said
    assert "a fast path carries out the plan" in said


def test_unfair_spread_is_told_with_its_numbers() -> None:
    class First(RoundRobin):
        def plan(self) -> Cycle:
            return Cycle([server for server in self.service.real_servers if server.usable][:1])

    said = complaint(kit(First, claims=(FAIR_EQUALLY,)).test_connections_are_shared_as_it_claims)
    assert "gave A 240 of 240 connections" in said


# Helpers.


class FtpKit(HelperConformance):
    """The dialogues that mutants of "ftp" fail."""

    helper = "ftp"
    search = settings(ALIKE, max_examples=60)
    dialogues: ClassVar[Mapping[str, Dialogue]] = {
        "passive": Dialogue(
            client_says(b"PASV\r\n"),
            server_says(b"227 (10,77,0,11,4,210)\r\n", arrives=b"227 (203,0,113,100,4,210)\r\n"),
            client_connects("203.0.113.100:1234", reaches="10.77.0.11:1234"),
            client_says(b"RETR a\r\n"),
            server_says(b"150 here\r\n"),
            server_says(b"226 done\r\n"),
        ),
        "refused": Dialogue(client_says(b"PORT 203,0,113,10,0,80\r\n"), server_says(b"500 Illegal PORT command.\r\n")),
    }


def ftp_kit(mutant: type[Ftp]) -> HelperConformance:
    made: HelperConformance = type("TestMutant", (FtpKit,), {"helper_class": classmethod(lambda _cls: mutant)})()
    return made


def test_sound_helper_passes_what_its_mutants_fail() -> None:
    sound = FtpKit()
    for name in dir(sound):
        if name.startswith("test_"):
            getattr(sound, name)()


def test_helper_that_collects_octets_itself_rewrites_twice() -> None:
    class CollectsTwice(Ftp):
        """Takes what frame() sees for new octets each time, though what was not whole is shown again."""

        def __init__(self, peers: Peers, options: Any = None) -> None:
            super().__init__(peers, options)
            self._collected = b""

        def frame(self, data: bytes, direction: Direction) -> int:
            self._collected += data if direction is Direction.REPLY else b""
            return super().frame(data, direction)

        def rewrite(self, message: Message) -> Iterable[Edit]:
            edits = list(super().rewrite(message))
            if not message.from_client:
                extra = self._collected.count(b"(10,77,0,11")
                edits = [edit._replace(text=edit.text * extra) for edit in edits]
                self._collected = b""
            return edits

    ftp_kit(CollectsTwice).test_dialogues_arrive_as_expected()  # uncut, nothing shows
    said = complaint(ftp_kit(CollectsTwice).test_dialogues_cut_at_every_octet_arrive_as_expected)
    assert "the client did not get what it should, in dialogue 'passive'" in said
    assert "in step 2: server says b'227 (10,77,0,11,4,210)" in said
    assert "found:    b'227 (203,0,113,100,4,210203,0,113,100,4,210)" in said
    assert "reproduce: TestMutant().replay('passive', Variation(cut=(2, " in said
    complaint(ftp_kit(CollectsTwice).test_dialogues_survive_loss_reordering_and_retransmission)


def test_helper_that_takes_segments_for_messages_misses_what_is_cut() -> None:
    class TakesSegments(Ftp):
        def frame(self, data: bytes, direction: Direction) -> int:
            return len(data)

    ftp_kit(TakesSegments).test_dialogues_arrive_as_expected()
    said = complaint(ftp_kit(TakesSegments).test_dialogues_cut_at_every_octet_arrive_as_expected)
    assert "the client did not get what it should, in dialogue 'passive'" in said
    assert "found:    b'227 (10,77,0,11,4,210)" in said
    assert "Variation(cut=(1, 1))" in said


def test_helper_that_expects_before_it_refuses_leaks_an_expectation() -> None:
    class Leaks(Ftp):
        def _expect_server(self, message: Message, verb: str, endpoint: Any) -> None:
            message.expect_server(endpoint)
            try:
                self._check_port(verb, endpoint.port)
            except Refusal as refusal:  # raised, it would undo what was expected
                message.refuse(str(refusal))

    said = complaint(ftp_kit(Leaks).test_dialogues_arrive_as_expected)
    assert "1 expectations are left over at the end of dialogue 'refused', the dialogue says 0" in said
    assert "left over: one to 203.0.113.10:80" in said
    assert "A message that is refused must expect nothing" in said


def test_edit_that_is_off_by_one_octet_is_shown() -> None:
    class OffByOne(Ftp):
        def rewrite(self, message: Message) -> Iterable[Edit]:
            return [edit._replace(start=edit.start + 1) for edit in super().rewrite(message)]

    said = complaint(ftp_kit(OffByOne).test_dialogues_arrive_as_expected)
    assert "first difference: octet 5" in said
    assert "expected: b'227 (203,0,113,100,4,210)" in said
    assert "found:    b'227 (1203,0,113,100,4,210)" in said


def test_helper_that_holds_for_ever_stops_the_dialogue() -> None:
    class HoldsForEver(Ftp):
        def frame(self, data: bytes, direction: Direction) -> int:
            return data.find(b"\n\n") + 1

        def holds(self, tail: bytes, direction: Direction) -> bool:
            return True

    said = complaint(ftp_kit(HoldsForEver).test_dialogues_arrive_as_expected)
    assert "did not come to its end" in said
    assert "6 octets of incomplete messages are held" in said
    assert "not arrived: step 1, client says b'PASV" in said


def test_announcement_that_is_not_expected_leads_nowhere() -> None:
    class ForgetsToExpect(Ftp):
        def _expect_client(self, message: Message, code: str, address: Any, port: int) -> Any:
            return self.peers.virtual._replace(port=port)

    said = complaint(ftp_kit(ForgetsToExpect).test_dialogues_arrive_as_expected)
    assert "step 3, client connects to 203.0.113.100:1234" in said
    assert "expected 203.0.113.10:50001 > 10.77.0.11:1234" in said
    assert "expected connections at this time: none" in said


def test_helper_that_raises_on_garbage_is_told_with_the_exception() -> None:
    class Trusting(Ftp):
        def rewrite(self, message: Message) -> Iterable[Edit]:
            message.data.decode("ascii")
            return super().rewrite(message)

    said = complaint(ftp_kit(Trusting).test_garbage_raises_nothing_and_breaks_no_stream)
    assert "raised UnicodeDecodeError" in said
    assert "no exception, whatever octets come" in said


def test_helper_that_remembers_everything_grows_without_bound() -> None:
    class Remembers(Ftp):
        def ignores(self, octets: bytes, direction: Direction) -> bool:
            return False

        def rewrite(self, message: Message) -> Iterable[Edit]:
            self.__dict__.setdefault("history", []).append(message.data)
            return super().rewrite(message)

    said = complaint(ftp_kit(Remembers).test_long_conversations_take_no_more_memory)
    assert "octets are kept by the helper's object" in said


# Trackers.


def tracker_kit(mutant: type[Tracker]) -> TrackerConformance:
    class Kit(TrackerConformance):
        tracker = mutant.name

        @classmethod
        def tracker_class(cls) -> type[Tracker]:
            return mutant

    return Kit()


def changed(
    direction: Direction, event: str, row: tuple[str, ...]
) -> Mapping[Direction, Mapping[str, tuple[str, ...]]]:
    """Return TCP's table with one row changed."""
    return {**Tcp.transitions, direction: {**Tcp.transitions[direction], event: row}}


def test_table_with_a_hole_names_the_row_and_the_state() -> None:
    class Hole(Tcp):
        transitions = changed(Direction.REPLY, "fin", Tcp.transitions[Direction.REPLY]["fin"][:-1])

    said = complaint(tracker_kit(Hole).test_table_has_a_next_state_for_every_event_in_every_state)
    assert 'tracker "tcp"' in said
    assert 'a hole in its table: transitions[REPLY]["fin"] has 10 entries' in said
    assert "expected: 11; without: SYNACK" in said


def test_state_that_nothing_leads_out_of_never_ends() -> None:
    def stays(row: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(
            "ESTABLISHED" if state == "ESTABLISHED" else next_ for state, next_ in zip(Tcp.states, row, strict=True)
        )

    class NeverEnds(Tcp):
        transitions: ClassVar[Any] = {
            way: {event: stays(row) for event, row in rows.items()} for way, rows in Tcp.transitions.items()
        }

    said = complaint(tracker_kit(NeverEnds).test_every_state_has_a_way_to_the_end)
    assert "state ESTABLISHED never ends: no sequence of events leads from it to CLOSE, TIME_WAIT" in said
    assert "how it is reached: syn from the client, " in said


def test_state_whose_silence_lasts_for_ever_is_told() -> None:
    class Patient(Tcp):
        timeouts: ClassVar[Mapping[str, float]] = {**Tcp.timeouts, "FIN_WAIT": float("inf")}

    said = complaint(tracker_kit(Patient).test_every_state_has_a_timeout_that_ends_it)
    assert "state FIN_WAIT has the timeout inf, so a silent connection would stay for ever" in said


def test_opening_event_that_is_not_declared_is_told() -> None:
    class NotOpening(Tcp):
        opening = frozenset({"fin", "nonsense"})

    said = complaint(tracker_kit(NotOpening).test_groups_and_sets_name_known_states_and_events)
    assert "opening names nonsense" in said
