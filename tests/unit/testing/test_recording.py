"""The recording registrar: it answers as a director with a free table, and remembers."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from nat_lb.api import Direction, Edit, Endpoint, ExpectationRefused, Helper, Message, Peers, Refusal
from nat_lb.testing.packets import endpoint
from nat_lb.testing.recording import Recording

PEERS = Peers(*map(endpoint, ("203.0.113.10:40000", "203.0.113.100:21", "10.77.0.11:21")))
REAL = endpoint("10.77.0.11:5000")


class Does(Helper):
    """Does as it is told."""

    name = "does"
    what: Callable[[Message], Iterable[Edit]]

    def rewrite(self, message: Message) -> Iterable[Edit]:
        return self.what(message)


def told(what: Callable[[Message], Iterable[Edit]]) -> Helper:
    helper = Does(PEERS)
    helper.what = what
    return helper


def shows(recording: Recording, what: Callable[[Message], Iterable[Edit]]) -> list[Edit]:
    return recording.shows(told(what), b"hello", Direction.REPLY)


def test_public_endpoint_has_the_same_port_or_the_next_in_steps() -> None:
    recording = Recording(PEERS)
    message = Message(b"", Direction.REPLY, PEERS, recording)
    assert message.expect_client(REAL) == Endpoint(PEERS.virtual.address, 5000)
    recording.taken = {5000, 5001, 5003}
    assert message.expect_client(REAL).port == 5002
    assert message.expect_client(REAL, ports=2).port == 5004
    assert recording.to_real == [str(REAL)] * 3


def test_full_table_refuses_everything() -> None:
    recording = Recording(PEERS)
    recording.full = True
    message = Message(b"", Direction.REPLY, PEERS, recording)
    for ask in (
        lambda: message.expect_client(REAL), lambda: message.expect_server(PEERS.client),
        lambda: message.expect_between(PEERS.client, REAL), lambda: message.expect_range(range(9)),
    ):  # fmt: skip
        with pytest.raises(ExpectationRefused, match="no public port is free"):
            ask()
    assert recording.terms == []


def test_edits_are_returned_and_refusals_noted() -> None:
    recording = Recording(PEERS)

    def refuses(message: Message) -> Iterable[Edit]:
        raise Refusal("not him", "foreign address")

    assert shows(recording, lambda message: [Edit(0, 1, b"J")]) == [Edit(0, 1, b"J")]
    assert shows(recording, refuses) == []
    assert (recording.refused, recording.kinds) == (["not him"], ["foreign address"])


def test_message_passes_with_its_edits_made_and_nonsense_does_not() -> None:
    recording = Recording(PEERS)
    ends = told(lambda message: [Edit(0, 1, b"J"), Edit(4, 5, b"y bean")])
    assert recording.passes(ends, b"hello", Direction.REPLY) == b"Jelly bean"
    with pytest.raises(ValueError, match="no edit of a message of 5 octets"):
        recording.passes(told(lambda message: [Edit(4, 6, b"")]), b"hello", Direction.REPLY)
