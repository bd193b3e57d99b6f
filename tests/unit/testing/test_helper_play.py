"""Plays of a dialogue: the announced connection, the variation, and what is measured."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import pytest

from nat_lb.api import Edit, Endpoint, Helper, Message
from nat_lb.flow import Direction
from nat_lb.packet import UDP
from nat_lb.testing.dialogue import Dialogue, client_connects, client_says, server_connects, server_says
from nat_lb.testing.helper_play import Play, Variation, deep_size, play_of


class Opener(Helper):
    """`OPEN n` of the server is a port that the client connects to; `AT n` of the client one that the server does."""

    name = "opener"
    most_expectations = 2

    def rewrite(self, message: Message) -> Iterable[Edit]:
        word, _, port = message.data.strip().partition(b" ")
        if word == b"OPEN":
            public = message.expect_client(Endpoint(message.peers.real.address, int(port)))
            return [Edit(5, 5 + len(port), b"%d!" % public.port)]
        if word == b"AT":
            message.expect_server(Endpoint(message.peers.client.address, int(port)))
        return []


TALK = Dialogue(
    client_says(b"AT 4000\n"),
    server_connects("10.77.0.11:20", to="203.0.113.10:4000", seen_from="203.0.113.100:20"),
    server_says(b"OPEN 5000\n", arrives=b"OPEN 5000!\n"),
    client_connects("203.0.113.100:5000", reaches="10.77.0.11:5000"),
)


@pytest.mark.parametrize(
    "variation",
    [
        Variation(),
        Variation(second=True),
        Variation(octet_by_octet=True, nagle=True),
        Variation(cut=(3, 4)),
        Variation(cut=(0, 4)),
        Variation(seed=7, loss=0.3, reorder=0.3, duplicate=0.3),
    ],
    ids=str,
)
def test_both_ends_get_what_the_dialogue_says(variation: Variation) -> None:
    play = Play(Opener, {}, TALK, variation)
    result = play.run()
    assert result is not None
    assert result.server_received == TALK.arrived(Direction.ORIGINAL)
    assert result.client_received == TALK.arrived(Direction.REPLY)
    assert play.faults.raised == []
    assert len(play.lifecycle.expectations) == 0
    assert len(play.lifecycle.connections) == 3 + variation.second
    assert play.forget() == (0, 0)


class Post(Opener):
    """The same in datagrams, for a pair of ports and a range; each time it says, the announcement is one more."""

    name = "post"
    protocol = "udp"
    most_expectations = 2

    def rewrite(self, message: Message) -> Iterable[Edit]:
        word, _, port = message.data.strip().partition(b" ")
        if word != b"OPEN":
            return []
        public = message.expect_client(Endpoint(message.peers.real.address, int(port)), ports=2)
        return [Edit(5, 5 + len(port), b"%d!" % public.port)]


LETTERS = Dialogue(
    client_says(b"hello"),
    server_says(b"OPEN 5000\n", arrives=b"OPEN 5000!\n"),
    client_connects("203.0.113.100:5001", reaches="10.77.0.11:5001", protocol=UDP),
    client_connects("203.0.113.100:5000", reaches="10.77.0.11:5000", protocol=UDP),
)


@pytest.mark.parametrize(
    "variation", [Variation(), Variation(second=True), Variation(merged=True, duplicate=1.0)], ids=str
)
def test_datagrams_arrive_whole_once_or_twice(variation: Variation) -> None:
    play = play_of(Post, {}, LETTERS, variation)
    play.run()
    assert play.model.server.received == b"hello"
    assert play.model.client.received == b"OPEN 5000!\n"
    assert (play.faults.raised, len(play.lifecycle.expectations), play.forget()) == ([], 0, (0, 0))


class Counting(Post):
    """A helper that is wrong: what comes twice is not the same twice."""

    name = "counting"
    said = 0

    def rewrite(self, message: Message) -> Iterable[Edit]:
        self.said += 1
        return [Edit(0, 1, b"%d" % self.said)]


def test_datagram_that_arrives_otherwise_when_it_comes_again_is_found() -> None:
    with pytest.raises(AssertionError, match="step 1, client says b'hello': sent again, it arrives otherwise"):
        play_of(Counting, {}, Dialogue(client_says(b"hello")), Variation(duplicate=1.0)).run()


def test_datagrams_are_poured_too() -> None:
    play = play_of(Post, {}, LETTERS, Variation())
    play.pour([(Direction.ORIGINAL, b"x"), (Direction.REPLY, b"OPEN 6000\n"), (Direction.REPLY, b"OPEN 6002\n")])
    assert (play.most_held, play.most_expected) == (0, 2)


def test_connection_that_reaches_nobody_is_told_with_its_step() -> None:
    talk = TALK.with_steps(*TALK.steps[:3], client_connects("203.0.113.100:5001", reaches="10.77.0.11:5001"))
    with pytest.raises(AssertionError, match=r"step 4, client connects to 203.0.113.100:5001: .*no-service.*one to 10"):
        Play(Opener, {}, talk, Variation()).run()


def test_variation_prints_as_the_code_that_makes_it() -> None:
    variation = Variation(cut=(2, 9), loss=0.1)
    assert str(variation) == "Variation(cut=(2, 9), loss=0.1)"
    assert eval(str(variation)) == variation
    assert str(Variation()) == "Variation()"


def test_play_measures_what_is_held_and_expected_at_most() -> None:
    play = Play(Opener, {}, TALK, Variation())
    play.pour([(Direction.REPLY, b"OPEN 5000\n"), (Direction.REPLY, b"OPEN 5001\n"), (Direction.REPLY, b"x" * 900)])
    assert (play.most_held, play.most_expected) == (900, 2)
    assert isinstance(play.object, Opener)


def test_size_of_an_object_counts_what_it_refers_to_once() -> None:
    class Kept:
        __slots__ = ("inner",)

        def __init__(self, inner: object) -> None:
            self.inner = inner

    text = b"x" * 10_000
    assert 10_000 < deep_size(Kept({"a": [text], "b": deque([text])})) < 11_500
    assert deep_size(Kept(Kept)) < 500
