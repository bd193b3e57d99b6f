"""What every helper owes, shown by dialogues that it comes with, as tests to inherit.

    from nat_lb.testing.conformance import Dialogue, HelperConformance, client_connects, client_says, server_says

    class TestMine(HelperConformance):
        helper = "mine"
        dialogues = {
            "one announcement": Dialogue(
                client_says(b"WHERE\\r\\n"),
                server_says(b"AT 10.77.0.11 4000\\r\\n", arrives=b"AT 203.0.113.100 4000\\r\\n"),
                client_connects("203.0.113.100:4000", reaches="10.77.0.11:4000"),
            )
        }

The law: a dialogue arrives as it says however its octets travel, through a whole director with two real servers. What
fails names the dialogue, the step and the `Variation` that plays it again.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NoReturn

from hypothesis import given, settings
from hypothesis import strategies as st

from nat_lb.config import parse
from nat_lb.director import Director
from nat_lb.flow import Direction
from nat_lb.helper import Helper
from nat_lb.testing.claims import SEARCH, fail
from nat_lb.testing.dialogue import WHO, Connects, Dialogue, Says, Step, client_says, server_says
from nat_lb.testing.helper_play import Play, Variation, deep_size, play_of, registry_with
from nat_lb.testing.installed import check_found, check_unknown_option, class_of

MOST_CUTS = 400  # one by one; in a longer dialogue, steps that are neither edited nor announce are cut all at once
TROUBLES = st.builds(
    Variation,
    second=st.booleans(),
    octet_by_octet=st.sampled_from([False, False, True]),
    merged=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
    loss=st.sampled_from([0.0, 0.1, 0.2]),
    duplicate=st.sampled_from([0.0, 0.1]),
    reorder=st.sampled_from([0.0, 0.2, 0.4]),
    mss=st.sampled_from([1460, 536, 88]),
    window=st.sampled_from([65535, 600]),
    sack=st.booleans(),
    timestamps=st.booleans(),
    nagle=st.booleans(),
    recut=st.booleans(),
)
MUTATION = st.tuples(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 40), st.binary(max_size=30))


class HelperConformance:
    """Tests of one helper; a subclass names it and gives dialogues."""

    helper: ClassVar[str]
    dialogues: ClassVar[Mapping[str, Dialogue]]
    options: ClassVar[Mapping[str, Any]] = {}  # [service.helper_options.NAME]
    distribution: ClassVar[str] = ""  # nat-lb-NAME if empty
    most_held: ClassVar[int] = 65536  # octets of incomplete messages that one direction may keep
    most_memory: ClassVar[int] = 65536  # octets that the helper's own object may take
    search: ClassVar[settings] = settings(SEARCH, max_examples=100)

    @classmethod
    def helper_class(cls) -> type[Helper]:
        """Return the class to test: the one that is installed under the name."""
        offered: type[Helper] = class_of("helper", cls.helper)
        return offered

    def replay(self, name: str, variation: Variation | None = None) -> Play:
        """Play a dialogue and check all that it says; returns the play, for further questions."""
        __tracebackhide__ = True
        return self._replay(name, self.dialogues[name], variation or Variation())

    def test_plugin_is_found_under_its_entry_point_name(self) -> None:
        """It is installed, loaded, in the distribution and under the entry point that users expect."""
        check_found("helper", self.helper, self.distribution or f"nat-lb-{self.helper}")

    def test_option_that_it_does_not_declare_is_refused(self) -> None:
        """An unknown key in [service.helper_options.NAME] is an error that names the key."""
        table = f"service.helper_options.{self.helper}"
        registry = registry_with(helpers={self.helper: self.helper_class()})
        toml = (
            f'[[service]]\nprotocol = "{self.helper_class().protocol}"\naddress = "203.0.113.100"\nport = 21\n'
            f'scheduler = "conformance"\nhelpers = ["{self.helper}"]\nreal_server = [{{ address = "10.77.0.11" }}]\n'
        )

        def configure(unknown: str) -> None:
            Director(parse(f"{toml}[{table}]\n{unknown} = 1\n", "conformance.toml"), "conformance.toml", registry)

        check_unknown_option(f'helper "{self.helper}"', table, configure)

    def test_dialogues_arrive_as_expected(self) -> None:
        """Nothing goes wrong: both ends read what they should, whichever real server was chosen."""
        if not self.dialogues:
            fail(f"{type(self).__name__} has no dialogues, so nothing of its helper is proven")
        for name in self.dialogues:
            for second in False, True:
                self.replay(name, Variation(second=second))

    def test_dialogues_cut_at_every_octet_arrive_as_expected(self) -> None:
        """Each step comes in two segments, cut at every place; datagrams are never cut."""
        for name, dialogue in self.dialogues.items():
            for cut in () if self.helper_class().protocol == "udp" else cuts(dialogue):
                self.replay(name, Variation(cut=cut))

    def test_dialogues_sent_octet_by_octet_arrive_as_expected(self) -> None:
        """Each octet is a segment of its own, with and without Nagle's algorithm."""
        for name in self.dialogues:
            for nagle in False, True:
                self.replay(name, Variation(octet_by_octet=True, nagle=nagle))

    def test_coalesced_dialogues_arrive_as_expected(self) -> None:
        """What one end says in a row comes in one segment."""
        for name in self.dialogues:
            self.replay(name, Variation(merged=True))

    def test_dialogues_survive_loss_reordering_and_retransmission(self) -> None:
        """Segments are lost, doubled, reordered and sent again with other boundaries, with and without SACK."""

        @self.search
        @given(st.sampled_from(sorted(self.dialogues)), TROUBLES)
        def travel(name: str, variation: Variation) -> None:
            self.replay(name, variation)

        travel()

    def test_garbage_raises_nothing_and_breaks_no_stream(self) -> None:
        """Octets are replaced at random: no method raises, and both streams still end."""

        @self.search
        @given(st.sampled_from(sorted(self.dialogues)), st.lists(MUTATION, min_size=1, max_size=5), st.integers(0, 99))
        def babble(name: str, mutations: list[tuple[int, int, int, bytes]], seed: int) -> None:
            dialogue = spoiled(self.dialogues[name], mutations)
            self._survive(name, dialogue, Variation(patient=False, seed=seed, loss=0.05, reorder=0.1))

        babble()

    def test_endless_messages_are_not_kept(self) -> None:
        """A message without an end is given up in bounded memory, at each step of each dialogue."""
        for name, dialogue in self.dialogues.items():
            for number, step in dialogue.says:
                said = [(s.sender, s.data) for n, s in dialogue.says if n < number]
                flood = [(step.sender, octets) for octets in [step.data[:-2], *[b"1" * 1000] * 150]]
                self._pour(f"{name}, step {number} without an end", dialogue, [*said, *flood])

    def test_long_conversations_take_no_more_memory(self) -> None:
        """A thousand messages leave no more behind than a few."""
        for name, dialogue in self.dialogues.items():
            said = [(step.sender, step.data) for _, step in dialogue.says]
            times = 1000 // (len(said) or 1) + 1
            self._pour(f"{name}, {times} times", dialogue, said * times)

    def _replay(self, name: str, dialogue: Dialogue, variation: Variation) -> Play:
        __tracebackhide__ = True
        play = play_of(self.helper_class(), self.options, dialogue, variation)
        again = f"reproduce: {type(self).__name__}().replay({name!r}, {variation})"
        broken = _broken(play)
        self._check_faults(name, play, again)
        for sender, end in (Direction.ORIGINAL, play.model.server), (Direction.REPLY, play.model.client):
            if broken is None or not play.dialogue.arrived(sender).startswith(end.received):
                self._check_stream(name, play, sender, end.received, again)
        if broken is not None:
            self._blame(name, play, broken, again)
        self._check_expectations(name, play, again)
        self._check_memory(name, play, again)
        return play

    def _survive(self, name: str, dialogue: Dialogue, variation: Variation) -> None:
        """Play what need not make sense: nothing is raised, both streams are delivered, nothing piles up."""
        play = play_of(self.helper_class(), self.options, dialogue, variation)
        said = "\n".join(str(step)[:200] for step in dialogue.steps[:12])
        again = f"played with {variation}:\n{said}"
        broken = _broken(play)
        self._check_faults(name, play, again)
        if broken is not None:
            self._blame(name, play, broken, again)
        self._check_memory(name, play, again)

    def _pour(self, name: str, dialogue: Dialogue, said: list[tuple[Direction, bytes]]) -> None:
        play = play_of(self.helper_class(), self.options, dialogue, Variation())
        play.pour(said)
        again = "the octets came in one go, and nothing was acknowledged"
        self._check_faults(name, play, again)
        self._check_memory(name, play, again)

    @property
    def _title(self) -> str:
        helper = self.helper_class()
        return f'helper "{self.helper}" ({helper.__module__}.{helper.__qualname__})'

    def _blame(self, name: str, play: Play, failure: AssertionError, again: str) -> NoReturn:
        __tracebackhide__ = True
        packets = "\n".join(line for note in getattr(failure, "__notes__", ()) for line in note.splitlines()[-16:])
        stuck = ""
        if "not finished" in str(failure):
            stuck = (
                f"{play.most_held} octets of incomplete messages are held; does holds() keep what no edit can reach, "
                "or frame() never find the end of a message?"
                if play.most_held
                else "an end waits for octets that did not arrive"
            )
        fail(
            f"{self._title}: dialogue {name!r} did not come to its end: {failure}",
            stuck,
            _position(play),
            _refused(play),
            again,
            f"last packets:\n{packets}",
        )

    def _check_faults(self, name: str, play: Play, again: str) -> None:
        __tracebackhide__ = True
        if play.faults.raised:
            where, error = play.faults.raised[0]
            shown = "".join(traceback.format_exception(error)[-3:]).rstrip()
            fail(
                f"{self._title}: {where}() raised {type(error).__name__} in dialogue {name!r}: {error}",
                "expected: no exception, whatever octets come. Use message.refuse() for what is not acceptable.",
                again,
                shown,
            )

    def _check_stream(self, name: str, play: Play, sender: Direction, found: bytes, again: str) -> None:
        __tracebackhide__ = True
        expected = play.dialogue.arrived(sender)
        if found == expected:
            return
        at = next((at for at, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b), None)
        at = min(len(found), len(expected)) if at is None else at
        reader, writer = WHO[Direction(1 - sender)], WHO[sender]
        number, step = _step_at(play.dialogue, sender, at)
        begin = max(at - 30, 0)
        fail(
            f"{self._title}: the {reader} did not get what it should, in dialogue {name!r}",
            f"in step {number}: {writer} says {step.data!r}" if step is not None else "after the last step",
            f"first difference: octet {at} of what the {writer} wrote in all, as it arrived",
            f"expected: {expected[begin : at + 50]!r}",
            f"found:    {found[begin : at + 50]!r}",
            _refused(play),
            again,
        )

    def _check_expectations(self, name: str, play: Play, again: str) -> None:
        __tracebackhide__ = True
        left = len(play.lifecycle.expectations)
        if left != play.dialogue.left_over:
            fail(
                f"{self._title}: {left} expectations are left over at the end of dialogue {name!r}, "
                f"the dialogue says {play.dialogue.left_over}",
                f"left over: {play._expectations()}",
                "A message that is refused must expect nothing: call message.expect_…() after all that may refuse, or "
                "raise. If they are meant, add client_connects() or server_connects() steps, or left_over.",
                again,
            )
        remaining = play.forget()
        if any(remaining):
            fail(
                f"{self._title}: {remaining[0]} connections and {remaining[1]} expectations never expire, "
                f"in dialogue {name!r}",
                again,
            )

    def _check_memory(self, name: str, play: Play, again: str) -> None:
        __tracebackhide__ = True
        most = play.helper.most_expectations
        size = deep_size(play.object) if play.object is not None else 0
        for what, found, allowed, remedy in (
            ("octets are held", play.most_held, self.most_held, "Lower longest_message, or hold less."),
            ("expectations stand at one time", play.most_expected, most, "That is most_expectations."),
            ("octets are kept by the helper's object", size, self.most_memory, "Bound what it remembers."),
        ):
            if found > allowed:
                fail(f"{self._title}: {found} {what} in dialogue {name!r}, {allowed} are allowed", remedy, again)


def cuts(dialogue: Dialogue) -> Iterator[tuple[int, int]]:
    """Yield cuts that leave no place out: the step's number, 0 for all of them, and how many octets come first."""
    said = list(dialogue.says)
    one_by_one = sum(len(step.data) - 1 for _, step in said) <= MOST_CUTS
    for number, step in said:
        announces = number < len(dialogue.steps) and isinstance(dialogue.steps[number], Connects)
        if one_by_one or announces or step.arrives != step.data:
            yield from ((number, at) for at in range(1, len(step.data)))
    if not one_by_one:
        yield from ((0, at) for at in range(1, max(len(step.data) for _, step in said)))


def spoiled(dialogue: Dialogue, mutations: Sequence[tuple[int, int, int, bytes]]) -> Dialogue:
    """Return a dialogue some of whose octets are replaced, and which nobody is expected to understand."""
    said: list[Step] = [step for step in dialogue.steps if isinstance(step, Says)]
    for which, at, length, octets in mutations:
        step = said[which % len(said)]
        assert isinstance(step, Says)
        place = at % (len(step.data) + 1)
        data = step.data[:place] + octets + step.data[place + length :]
        say = client_says if step.sender is Direction.ORIGINAL else server_says
        said[which % len(said)] = say(data)
    return dialogue.with_steps(*said)


def _step_at(dialogue: Dialogue, sender: Direction, octet: int) -> tuple[int, Says | None]:
    """Return the step in which an octet of what arrives was said."""
    end = 0
    for number, step in dialogue.says:
        if step.sender is sender:
            end += len(step.arrives)
            if octet < end:
                return number, step
    return 0, None


def _broken(play: Play) -> AssertionError | None:
    """Play, and return what an end objected to, if it did."""
    try:
        play.run()
    except AssertionError as failure:
        return failure
    return None


def _refused(play: Play) -> str:
    """Say what the helper refused, if anything."""
    return f"the helper refused: {'; '.join(play.refusals.lines[-3:])}" if play.refusals.lines else ""


def _position(play: Play) -> str:
    """Say which step was waited for."""
    for number, step in play.dialogue.says:
        end = play.model.server if step.sender is Direction.ORIGINAL else play.model.client
        if len(end.received) < len(play.dialogue.arrived(step.sender, number + 1)):
            return f"not arrived: step {number}, {step}"
    return ""
