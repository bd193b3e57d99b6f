"""The helper's side of a message: what it sees and what it may ask for."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from nat_lb.flow import Direction, Endpoint
from nat_lb.helper import Edit, Helper, Message, Peers
from nat_lb.testing.packets import endpoint

PEERS = Peers(endpoint("202.100.1.2:3000"), endpoint("202.103.106.5:21"), endpoint("172.16.0.3:21"))


class Recorder:
    """A registrar that records."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    def expect_client(self, real: Endpoint, helper: str | None, any_client: bool) -> Endpoint:
        self.asked.append(("client", str(real), helper, any_client))
        return PEERS.virtual

    def expect_server(self, client: Endpoint, helper: str | None) -> None:
        self.asked.append(("server", str(client), helper))

    def refuse(self, why: str) -> None:
        self.asked.append(("refuse", why))

    def stop(self) -> None:
        self.asked.append(("stop",))


class Plain(Helper):
    """A helper with nothing but defaults."""

    name = "plain"

    def rewrite(self, message: Message) -> Iterable[Edit]:
        return ()


def test_message_passes_every_wish_on_to_its_registrar() -> None:
    recorder = Recorder()
    message = Message(b"PASV\r\n", Direction.ORIGINAL, PEERS, recorder)
    assert message.expect_client(PEERS.real) == PEERS.virtual
    message.expect_client(PEERS.real, helper="h245", any_client=True)
    message.expect_server(PEERS.client, helper="data")
    message.refuse("no")
    message.stop()
    assert recorder.asked == [
        ("client", "172.16.0.3:21", None, False),
        ("client", "172.16.0.3:21", "h245", True),
        ("server", "202.100.1.2:3000", "data"),
        ("refuse", "no"),
        ("stop",),
    ]


@pytest.mark.parametrize("direction", list(Direction))
def test_message_tells_who_sent_it(direction: Direction) -> None:
    assert Message(b"", direction, PEERS, Recorder()).from_client is (direction is Direction.ORIGINAL)


@pytest.mark.parametrize(("data", "size"), [(b"", 0), (b"USER", 0), (b"USER\r\n", 6), (b"\n", 1), (b"a\nb\n", 2)])
def test_messages_are_lines_by_default(data: bytes, size: int) -> None:
    assert Plain(PEERS).frame(data, Direction.ORIGINAL) == size


def test_only_the_servers_half_lines_are_held_by_default() -> None:
    assert [Plain(PEERS).holds(b"22", direction) for direction in Direction] == [False, True]


def test_helper_without_rewrite_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="rewrite"):
        Helper(PEERS)  # type: ignore[abstract]
