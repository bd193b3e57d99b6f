"""The fuzzer: a short run over every helper, and that it sees what it looks for."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from typing import Any

import pytest

from nat_lb.api import Edit, Helper, Message
from nat_lb.expectation import ExpectationTable
from nat_lb.flow import Endpoint
from nat_lb.ledger import ExpectationLedger
from nat_lb.public import PublicEndpoints
from nat_lb.seqadj import SequenceMap
from nat_lb.testing.conformance import Dialogue, client_says, server_says
from nat_lb.testing.packets import endpoint
from tests.bench.fuzz import __main__ as command
from tests.bench.fuzz import watch
from tests.bench.fuzz.__main__ import Arena, fuzz, fuzz_together
from tests.bench.fuzz.mutation import LONGEST, Mutator
from tests.bench.fuzz.seeds import Seeds, find
from tests.bench.fuzz.watch import Broken

FOUND = find()
RANDOM = random.SystemRandom().getrandbits(31)  # what fails says which it was
INPUTS = 150


@pytest.mark.parametrize("seed", [1, pytest.param(RANDOM, id="random")])
@pytest.mark.parametrize("name", FOUND)
def test_mutated_dialogues_break_nothing(name: str, seed: int) -> None:
    assert fuzz(name, FOUND[name], seed, range(INPUTS)) == INPUTS


class Pointer(Helper):
    """Follows whoever says `AT address:port`, and writes the public endpoint."""

    name = "pointer"
    most_expectations = 2

    def rewrite(self, message: Message) -> Iterable[Edit]:
        found = re.match(rb"AT (10\.77\.0\.\d|203\.0\.113\.[1-9]\d?):(\d{1,4})\s", message.data)
        if found is None:
            return []
        named = endpoint(b":".join(found.groups()).decode())
        if message.from_client:
            message.expect_server(named)
            return []
        public = message.expect_client(named)
        return [Edit(found.start(1), found.end(2), str(public).encode())]


class Raising(Pointer):
    def rewrite(self, message: Message) -> Iterable[Edit]:
        if b"5000" not in message.data and message.data.startswith(b"AT"):
            raise ValueError("no 5000")
        return super().rewrite(message)


DIALOGUE = Dialogue(
    client_says(b"AT 203.0.113.10:5000\n"),
    server_says(b"AT 10.77.0.1:5000\n"),
    server_says(b"more\n"),
    client_says(b"thanks\n"),
    real="10.77.0.1:21",
)


def seeds(helper: type[Helper]) -> list[Seeds]:
    return [Seeds(helper, {}, (DIALOGUE,))]


def test_sound_helper_breaks_nothing_either() -> None:
    assert fuzz("pointer", seeds(Pointer), 1, range(INPUTS)) == INPUTS


def test_helper_that_raises_is_caught_and_can_be_played_again() -> None:
    with pytest.raises(Broken, match=r"pointer.rewrite raised ValueError") as caught:
        fuzz("pointer", seeds(Raising), 1, range(INPUTS))
    found = re.search(r"--seed 1 --only (\d+)", str(caught.value))
    assert found is not None
    with pytest.raises(Broken, match=r"pointer.rewrite raised ValueError"):
        fuzz("pointer", seeds(Raising), 1, [int(found[1])])


@pytest.mark.parametrize("check", ["_check_client", "_check_real"])
def test_expectation_of_a_third_party_is_caught(check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ExpectationLedger, check, lambda self, endpoint: None)
    with pytest.raises(Broken, match="expected: "):
        fuzz("pointer", seeds(Pointer), 1, range(2000))


def test_call_that_leads_to_another_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ExpectationTable, "find_free", lambda self, virtual, *_: Endpoint(virtual, 7))
    monkeypatch.setattr(PublicEndpoints, "connections", lambda self, *_: [])
    with pytest.raises(Broken, match=r"to number 203\.0\.113\.100:7 came as [0-9a-f]+, expected one to 10\.77\."):
        fuzz("pptp", FOUND["pptp"], 1, range(2000))


def test_packet_that_was_expected_and_does_not_pass_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ExpectationTable, "match", lambda self, key: None)
    with pytest.raises(Broken, match=r"a packet to number .* was not forwarded"):
        fuzz("pptp", FOUND["pptp"], 1, range(INPUTS))
    with pytest.raises(Broken, match=r"a packet to \[.* was not forwarded|the real server's own connection came as"):
        fuzz("pointer", seeds(Pointer), 1, range(INPUTS))


def test_wrong_sequence_adjustment_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = SequenceMap.forward
    monkeypatch.setattr(SequenceMap, "forward", lambda self, at: right(self, at) + (1 if self.shift else 0))
    with pytest.raises(Broken):
        fuzz("pointer", seeds(Pointer), 1, range(INPUTS))


def test_expectations_beyond_the_limit_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ExpectationLedger, "_make_room", lambda self: None)
    with pytest.raises(Broken, match="expectations, 2 are allowed"):
        fuzz("pointer", seeds(Pointer), 1, range(5000))


def test_directors_whose_turn_it_is_not_get_their_time_too() -> None:
    arena = Arena(seeds(Pointer) * 2, 1)
    for number in range(1000):
        arena.run(number)
    waiting = [len(place.director.lifecycle.connections._wheel) for place in arena._places.values()]
    assert len(waiting) == 2
    assert max(waiting) < 150


def test_process_that_grows_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[bytes] = []

    class Keeping(Pointer):
        def rewrite(self, message: Message) -> Iterable[Edit]:
            kept.append(b"x" * (1 << 16))
            return super().rewrite(message)

    monkeypatch.setattr(command, "WARM", 20)
    monkeypatch.setattr(watch, "MOST_GROWTH", 8 << 20)
    with pytest.raises(Broken, match=r"pointer, seed 1, range\(0, 1000\): the process grew by \d+ MB"):
        fuzz("pointer", seeds(Keeping), 1, range(1000))
    assert fuzz("pointer", seeds(Pointer), 1, range(1000)) == 1000


def test_processes_share_the_inputs() -> None:
    assert fuzz_together(3, "pointer", seeds(Pointer), 1, 100) == 100


def test_what_breaks_in_one_process_ends_all() -> None:
    with pytest.raises(Broken, match=r"--seed 1 --only \d+"):
        fuzz_together(2, "pointer", seeds(Raising), 1, 1_000_000)


def test_same_seed_makes_the_same_conversation_of_bounded_length() -> None:
    for number in range(200):
        said: list[Any] = []
        for _ in range(2):
            said.append(Mutator([DIALOGUE], random.Random(number)).conversation())
        assert said[0] == said[1]
        assert sum(len(data) for _, data in said[0][1]) <= LONGEST


def test_every_registered_helper_has_dialogues() -> None:
    assert {"ftp", "irc"} <= set(FOUND)
    assert {one.helper.name for one in FOUND["h323"]} == {"h323", "h245", "ras"}
    assert all(one.dialogues for found in FOUND.values() for one in found)
