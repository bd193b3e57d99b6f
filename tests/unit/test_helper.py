"""The helper's side of a message: what it sees and what it may ask for."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from nat_lb.flow import Direction
from nat_lb.helper import Edit, Helper, Message, Peers, Refusal, Terms
from nat_lb.testing.packets import endpoint
from nat_lb.testing.recording import Recording

PEERS = Peers(endpoint("202.100.1.2:3000"), endpoint("202.103.106.5:21"), endpoint("172.16.0.3:21"))


class Plain(Helper):
    """A helper with nothing but defaults."""

    name = "plain"

    def rewrite(self, message: Message) -> Iterable[Edit]:
        return ()


@pytest.fixture
def recorded() -> Recording:
    return Recording(PEERS)


@pytest.fixture
def message(recorded: Recording) -> Message:
    return Message(b"PASV\r\n", Direction.ORIGINAL, PEERS, recorded)


def test_message_passes_every_wish_on_to_its_registrar(message: Message, recorded: Recording) -> None:
    assert message.expect_client(PEERS.real) == PEERS.virtual
    message.expect_server(PEERS.client)
    message.expect_range(range(5000, 5010))
    message.forget(PEERS.virtual, protocol="gre")
    message.refuse("no", kind="never")
    message.stop()
    assert (recorded.to_real, recorded.to_client) == (["172.16.0.3:21"], ["202.100.1.2:3000"])
    assert (recorded.ranges, recorded.forgotten) == ([range(5000, 5010)], ["202.103.106.5:21"])
    assert (recorded.refused, recorded.kinds, recorded.stopped) == (["no"], ["never"], True)
    assert recorded.terms == [Terms(), Terms(), Terms(many=True)]


def test_terms_are_what_the_message_was_given(message: Message, recorded: Recording) -> None:
    message.expect_client(
        PEERS.real, protocol="udp", ports=2, helper="h245", any_client=True, many=True, bound=True, timeout=9.0
    )
    message.expect_server(PEERS.client, protocol="udp", ports=2, helper="data", many=True, bound=True, timeout=9.0)
    message.expect_between(PEERS.client, PEERS.real, protocol="gre", helper="call", bound=True, timeout=9.0)
    assert recorded.terms == [
        Terms("udp", 2, "h245", True, True, True, 9.0),
        Terms("udp", 2, "data", False, True, True, 9.0),
        Terms("gre", 1, "call", False, False, True, 9.0),
    ]


def test_refusal_says_why_and_of_what_kind() -> None:
    assert (str(Refusal("no")), Refusal("no").kind, Refusal("no", "never").kind) == ("no", "refused", "never")


@pytest.mark.parametrize("direction", list(Direction))
def test_message_tells_who_sent_it(direction: Direction) -> None:
    assert Message(b"", direction, PEERS, Recording(PEERS)).from_client is (direction is Direction.ORIGINAL)


@pytest.mark.parametrize(("data", "size"), [(b"", 0), (b"USER", 0), (b"USER\r\n", 6), (b"\n", 1), (b"a\nb\n", 2)])
def test_messages_are_lines_by_default(data: bytes, size: int) -> None:
    assert Plain(PEERS).frame(data, Direction.ORIGINAL) == size


def test_only_the_servers_half_lines_are_held_by_default() -> None:
    assert [Plain(PEERS).holds(b"22", direction) for direction in Direction] == [False, True]


def test_helper_without_rewrite_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="rewrite"):
        Helper(PEERS)  # type: ignore[abstract]
