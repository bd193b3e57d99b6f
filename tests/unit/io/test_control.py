"""The control socket: what it says, and that nobody who is connected can keep it from its other work."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import select
import socket
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from nat_lb.errors import NatLbError
from nat_lb.io.control import (
    IDLE,
    LONGEST_REQUEST,
    MOST_CLIENTS,
    TURN,
    Answer,
    Command,
    ControlServer,
    control_socket,
)

STEP = 0.0001  # seconds that pass between two looks at the clock


class Clock:
    """Time that passes only by being looked at."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += STEP
        return self.now


class Shop:
    """Commands whose steps can be counted."""

    def __init__(self) -> None:
        self.steps = 0
        self.closed = 0

    @property
    def commands(self) -> dict[str, Command]:
        return {"count": self.count, "endless": self.endless, "refuse": self.refuse, "fail": self.fail}

    def count(self, arguments: dict[str, Any]) -> Answer:
        for number in range(int(arguments["to"])):
            yield [number]
        return arguments

    def endless(self, arguments: dict[str, Any]) -> Answer:
        try:
            while True:
                self.steps += 1
                yield ["x" * int(arguments["size"])] if arguments.get("size") else []
        finally:
            self.closed += 1

    def refuse(self, arguments: dict[str, Any]) -> Answer:
        yield ["something"]
        raise NatLbError("not today")

    def fail(self, arguments: dict[str, Any]) -> Answer:
        yield []
        raise ZeroDivisionError


class Client:
    """One end of a conversation."""

    def __init__(self, server: ControlServer) -> None:
        self.server = server
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(server.path))
        self.socket.setblocking(False)
        self.heard = b""

    def sends(self, data: bytes) -> None:
        self.socket.sendall(data)

    def asks(self, **request: Any) -> None:
        self.sends(json.dumps(request).encode() + b"\n")

    def hears(self, lines: int = 1) -> list[dict[str, Any]]:
        """Return so many lines, giving the server its turns."""
        while self.heard.count(b"\n") < lines:
            serve(self.server)
            with contextlib.suppress(BlockingIOError):
                while data := self.socket.recv(1 << 20):
                    self.heard += data
                assert self.heard.count(b"\n") >= lines, f"it hung up after {self.heard!r}"
        *told, self.heard = self.heard.split(b"\n", lines)
        return [json.loads(line) for line in told]

    def is_dropped(self) -> bool:
        """Whether the server hung up; what it said before is skipped."""
        try:
            while self.socket.recv(1 << 20):
                pass
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True
        return True


def has_work(server: ControlServer) -> bool:
    poll = select.poll()
    poll.register(server.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def serve(server: ControlServer) -> None:
    if has_work(server):
        server.serve()


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(tmp_path: Path, shop: Shop, clock: Clock) -> Iterator[ControlServer]:
    with ControlServer(tmp_path / "s", shop.commands, clock) as server:
        yield server


# --- what it says ----------------------------------------------------------------------------------------------------


def test_answer_is_its_parts_and_then_the_result(server: ControlServer) -> None:
    client = Client(server)
    client.asks(command="count", to=2)
    assert client.hears(3) == [{"part": [0]}, {"part": [1]}, {"result": {"to": 2}}]


def test_requests_that_come_at_once_are_answered_in_turn(server: ControlServer) -> None:
    client = Client(server)
    client.sends(b"".join(b'{"command": "count", "to": 1, "n": %d}\n' % number for number in range(50)))
    results = [line["result"]["n"] for line in client.hears(100) if "result" in line]
    assert results == list(range(50))


def test_request_may_come_octet_by_octet(server: ControlServer) -> None:
    client = Client(server)
    for octet in b'{"command": "count", "to": 0}\n':
        client.sends(bytes((octet,)))
        serve(server)
    assert client.hears() == [{"result": {"to": 0}}]


def test_client_that_only_listens_any_more_gets_its_answer(server: ControlServer) -> None:
    client = Client(server)
    client.sends(b'{"command": "count", "to": 0}')
    client.socket.shutdown(socket.SHUT_WR)
    assert client.hears() == [{"result": {"to": 0}}]
    serve(server)
    assert client.is_dropped()


def test_refusal_is_told_in_words_and_the_conversation_goes_on(server: ControlServer) -> None:
    client = Client(server)
    client.asks(command="refuse")
    assert client.hears(2) == [{"part": ["something"]}, {"error": "not today"}]
    client.asks(command="count", to=0)
    assert client.hears() == [{"result": {"to": 0}}]


@pytest.mark.parametrize(
    "line", [b"", b"hello", b'"status"', b"{}", b"[1]", b"\xff\xfe", b"[" * 4000, b"nul", b"1" * 4000]
)
def test_line_that_is_no_request_is_refused_with_an_example(server: ControlServer, line: bytes) -> None:
    client = Client(server)
    client.sends(line + b"\n")
    assert client.hears() == [{"error": 'expected a line with a JSON object such as {"command": "status"}'}]


def test_unknown_command_is_told_those_there_are(server: ControlServer) -> None:
    client = Client(server)
    client.asks(command="destroy")
    assert client.hears() == [{"error": "the commands are count, endless, refuse, fail"}]


def test_request_that_never_ends_is_refused_and_its_sender_dropped(server: ControlServer) -> None:
    client = Client(server)
    client.sends(b"x" * (LONGEST_REQUEST + 1))
    assert client.hears() == [{"error": f"a request has at most {LONGEST_REQUEST} octets"}]
    serve(server)
    assert client.is_dropped()


def test_answer_with_nothing_to_say_gives_a_sign_of_life(server: ControlServer, clock: Clock) -> None:
    client = Client(server)
    client.asks(command="endless")
    started = clock.now
    assert client.hears(2) == [{"part": []}] * 2
    assert 2.0 <= clock.now - started < 2.5


# --- what it does not let happen -------------------------------------------------------------------------------------


def test_turn_is_short_however_much_there_is_to_tell(server: ControlServer, shop: Shop, clock: Clock) -> None:
    clients = [Client(server) for _ in range(3)]
    for client in clients:
        client.asks(command="endless")
        serve(server)
    for _ in range(20):
        before, steps = clock.now, shop.steps
        server.serve()
        assert clock.now - before < 2 * TURN
        assert shop.steps - steps >= 3, "each had its share"


def test_client_that_never_reads_costs_a_bounded_buffer_and_no_time(server: ControlServer, shop: Shop) -> None:
    client, other = Client(server), Client(server)
    client.asks(command="endless", size=1000)
    for turns in count(1):
        if not has_work(server):
            break
        server.serve()
        assert turns < 10_000
    assert shop.steps * 1000 < 1_000_000
    other.asks(command="count", to=1)
    assert other.hears(2)[-1] == {"result": {"to": 1}}
    assert not has_work(server), "the loop may sleep"


def test_client_that_reads_again_is_told_the_rest(server: ControlServer) -> None:
    client = Client(server)
    client.asks(command="count", to=20_000)
    while has_work(server):
        server.serve()
    lines = client.hears(20_001)
    assert [line["part"][0] for line in lines[:-1]] == list(range(20_000))


def test_idle_clients_are_dropped_and_busy_ones_are_not(server: ControlServer, shop: Shop, clock: Clock) -> None:
    silent, deaf, busy = Client(server), Client(server), Client(server)
    deaf.asks(command="endless", size=1000)
    while has_work(server):
        server.serve()
    clock.now += IDLE - 1
    busy.asks(command="count", to=0)
    busy.hears()
    server.tick(clock.now)
    assert not silent.is_dropped()
    clock.now += 2
    server.tick(clock.now)
    assert silent.is_dropped() and deaf.is_dropped() and not busy.is_dropped()
    assert shop.closed == 1


def test_client_too_many_is_told_so_and_the_others_are_served(server: ControlServer) -> None:
    clients = [Client(server) for _ in range(MOST_CLIENTS)]
    for client in clients:
        client.asks(command="count", to=0)
        client.hears()
    late = Client(server)
    assert late.hears() == [{"error": f"{MOST_CLIENTS} clients are connected already. Try again."}]
    assert late.is_dropped()
    clients[3].socket.close()
    serve(server)
    again = Client(server)
    again.asks(command="count", to=0)
    assert again.hears() == [{"result": {"to": 0}}]


def test_client_that_hangs_up_in_the_middle_ends_its_answer(server: ControlServer, shop: Shop) -> None:
    client = Client(server)
    client.asks(command="endless", size=1000)
    serve(server)
    serve(server)
    assert shop.steps
    client.socket.close()
    serve(server)
    assert shop.closed == 1
    assert not has_work(server)


def test_fault_of_a_command_is_raised_and_costs_its_client_alone(server: ControlServer) -> None:
    other, client = Client(server), Client(server)
    client.asks(command="fail")
    with pytest.raises(ZeroDivisionError):
        client.hears()
    assert client.is_dropped()
    other.asks(command="count", to=0)
    assert other.hears() == [{"result": {"to": 0}}]


def test_want_of_descriptors_pauses_the_listening_until_the_tick(
    server: ControlServer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client(server)
    client.asks(command="count", to=0)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    first_free = os.dup(0)
    os.close(first_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (first_free, before[1]))
    try:
        server.serve()
        assert not has_work(server), "it would be tried again and again"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert "a client was not admitted: Too many open files" in caplog.text
    server.tick(clock.now)
    assert client.hears() == [{"result": {"to": 0}}]


# --- how it begins and ends ------------------------------------------------------------------------------------------


def test_socket_is_removed_at_the_end_and_clients_hear_it(tmp_path: Path, shop: Shop) -> None:
    with ControlServer(tmp_path / "s", shop.commands) as server:
        client = Client(server)
        serve(server)
    assert not (tmp_path / "s").exists()
    assert client.is_dropped()
    server.close()


def test_socket_of_a_successor_is_left_alone_at_the_end(tmp_path: Path, shop: Shop) -> None:
    with ControlServer(tmp_path / "s", shop.commands):
        (tmp_path / "s").unlink()
        successor = ControlServer(tmp_path / "s", shop.commands)
    assert (tmp_path / "s").exists()
    successor.close()


def test_director_that_cannot_make_its_socket_warns_and_goes_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING), control_socket(tmp_path / "file" / "s", {}) as server:
        assert server is None
    (message,) = caplog.messages
    assert message.startswith(f"control socket {tmp_path}/file/s: cannot be made: Not a directory. `nat-lb status`")
