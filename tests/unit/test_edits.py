"""One message and its helper: edits that are none, failures and refusals leave the message as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from nat_lb.edits import checked, show
from nat_lb.flow import Direction
from nat_lb.helper import Edit, Helper, Message, Peers, Refusal
from nat_lb.testing.packets import endpoint
from nat_lb.testing.recording import Recording

PEERS = Peers(*map(endpoint, ("202.100.1.2:3000", "202.103.106.5:21", "172.16.0.3:21")))


class Book(Recording):
    """A ledger that notes what is done with a message."""

    now = 0.0

    def __init__(self) -> None:
        super().__init__(PEERS)
        self.did: list[str] = []

    def begin(self) -> None:
        self.did.append("begin")

    def commit(self, edited: bool) -> None:
        self.did.append(f"commit {edited}")

    def undo(self) -> None:
        self.did.append("undo")

    def fault(self, method: str, error: Exception) -> None:
        self.did.append(f"{method}: {error}")


class Does(Helper):
    """Does as it is told."""

    name = "does"
    what: Callable[[Message], Iterable[Edit]]

    def rewrite(self, message: Message) -> Iterable[Edit]:
        return self.what(message)


def shown(what: Callable[[Message], Iterable[Edit]], passed: int = 0) -> tuple[list[Edit], Book]:
    helper, book = Does(PEERS), Book()
    helper.what = what
    return show(helper, Message(b"0123456789", Direction.REPLY, PEERS, book), book, passed), book


def refusing(message: Message) -> Iterable[Edit]:
    message.expect_client(PEERS.real)
    raise Refusal("not him", "foreign address")


def failing(message: Message) -> Iterable[Edit]:
    raise RuntimeError("oh")


def test_edits_are_returned_and_the_message_is_kept() -> None:
    edits, book = shown(lambda message: [Edit(0, 1, b"xx")])
    assert (edits, book.did) == ([Edit(0, 1, b"xx")], ["begin", "commit True"])


def test_edit_that_changes_nothing_is_none() -> None:
    edits, book = shown(lambda message: [Edit(0, 1, b"0"), Edit(2, 3, b"2")])
    assert (edits, book.did) == ([], ["begin", "commit False"])


def test_refusal_is_noted_by_its_kind_and_undone() -> None:
    edits, book = shown(refusing)
    assert (edits, book.did, book.refused, book.kinds) == ([], ["begin", "undo"], ["not him"], ["foreign address"])


def test_failure_is_a_fault_and_undone() -> None:
    edits, book = shown(failing)
    assert (edits, book.did) == ([], ["begin", "undo", "rewrite: oh"])


def test_octets_that_passed_are_out_of_reach() -> None:
    _, book = shown(lambda message: [Edit(2, 4, b"x")], passed=3)
    assert book.did[1:] == [
        "undo",
        "rewrite: Edit(start=2, end=4, text=b'x') reaches into octets that holds() let pass",
    ]


@pytest.mark.parametrize(
    "edits",
    [[(0, 0, b"x")], [(3, 2, b"x")], [(-1, 2, b"x")], [(0, 99, b"x")], [(0, 4, b"x"), (3, 5, b"y")],
     [(4, 5, b"x"), (0, 1, b"y")], [(0, 1, "text")], [(0, 1)], 7, None],
)  # fmt: skip
def test_edits_that_are_none_are_refused(edits: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        checked(edits, 10)


def test_edits_in_order_are_accepted_as_any_iterable() -> None:
    assert checked(((0, 1, b""), (1, 10, b"yy")), 10) == [Edit(0, 1, b""), Edit(1, 10, b"yy")]
