"""The control socket: a running director answers questions and takes orders, between two packets.

The law: whatever a client does, packets go on.  A turn takes some 2 ms, however much was asked for and however many
clients there are; an answer is made as fast as it is read, and no faster; who neither asks nor reads is dropped.

A request is a line, a JSON object whose "command" names one of the commands; the rest are its arguments.  The answer is
lines, JSON objects too: any number with "part", a list, then one with "result" or, in words, "error".
"""

from __future__ import annotations

import contextlib
import json
import logging
import select
import socket
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from nat_lb.errors import NatLbError
from nat_lb.io.listener import identity, listen

log = logging.getLogger(__name__)

Answer: TypeAlias = Generator[list[Any], None, Any]
"""Yields parts of an answer, each made in a fraction of a millisecond and perhaps empty; returns the result."""

Command: TypeAlias = Callable[[dict[str, Any]], Answer]
"""Takes the arguments; raises `NatLbError` for what the client is to be told."""

TURN = 0.002  # seconds
LONGEST_REQUEST = 4096  # octets
MOST_CLIENTS = 8
IDLE = 30.0  # seconds without a word, or without taking one
SIGN_OF_LIFE = 1.0  # seconds after which an answer that has nothing to say yet says so
_ROOM = 1 << 16  # octets that may wait to be read before no more is made


class ControlServer:
    """Listens at `path`, for root alone, in place of what a director that is dead left there.

    `fileno` becomes readable when there is something to do for `serve`; `tick` is called about once a second.  Raises
    `SystemFault` when a director that is alive listens there, OSError when the socket cannot be made.  A context
    manager: leaving it removes the socket.
    """

    def __init__(
        self, path: Path, commands: Mapping[str, Command], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.path = path
        self._commands = commands
        self._clock = clock
        self._clients: dict[int, _Client] = {}
        self._listener = listen(path)
        self._identity = identity(path)
        self._epoll = select.epoll()
        self._listening = False
        self._listen_again()

    def __enter__(self) -> ControlServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._epoll.fileno()

    def serve(self) -> None:
        """Do what there is to do, for about `TURN` seconds; all clients have their share."""
        events = self._epoll.poll(0)
        for fd, _ in events:
            client = self._clients.get(fd)
            if client is None:
                self._accept()
            else:
                self._give_turn(client, self._clock() + TURN / len(events))

    def tick(self, now: float) -> None:
        """Drop the clients that have been idle for too long."""
        for client in [client for client in self._clients.values() if now - client.seen >= IDLE]:
            self._drop(client)
        self._listen_again()

    def close(self) -> None:
        """Drop everybody and remove the socket, if it is still this one; the second call does nothing."""
        for client in list(self._clients.values()):
            self._drop(client)
        if self._identity is not None and identity(self.path) == self._identity:
            with contextlib.suppress(OSError):
                self.path.unlink()
        self._identity = None
        self._listener.close()
        self._epoll.close()

    def _listen_again(self) -> None:
        if not self._listening:
            self._epoll.register(self._listener, select.EPOLLIN)
            self._listening = True

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            # No descriptor is left, say: it would fail again at once, so the next attempt is the next tick's.
            self._epoll.unregister(self._listener)
            self._listening = False
            log.warning("control socket %s: a client was not admitted: %s", self.path, error.strerror)
            return
        connection.setblocking(False)
        if len(self._clients) >= MOST_CLIENTS:
            with connection, contextlib.suppress(OSError):
                connection.send(_line(error=f"{MOST_CLIENTS} clients are connected already. Try again."))
            return
        client = _Client(connection, self._commands, self._clock)
        self._clients[connection.fileno()] = client
        self._epoll.register(connection, select.EPOLLIN)

    def _give_turn(self, client: _Client, end: float) -> None:
        try:
            if client.turn(end):
                self._epoll.modify(client.socket, select.EPOLLOUT if client.is_answering else select.EPOLLIN)
            else:
                self._drop(client)
        except ConnectionError:
            self._drop(client)
        except Exception:
            self._drop(client)
            raise

    def _drop(self, client: _Client) -> None:
        fd = client.socket.fileno()
        del self._clients[fd]
        self._epoll.unregister(fd)
        client.close()


class _Client:
    """One client: what it asked, what it is told, and how far both have come.  `seen` is when it last did anything."""

    def __init__(self, connection: socket.socket, commands: Mapping[str, Command], clock: Callable[[], float]) -> None:
        self.socket = connection
        self.seen = clock()
        self._commands = commands
        self._clock = clock
        self._asked = b""
        self._ended = False
        self._answer: Answer | None = None
        self._told = bytearray()
        self._told_at = 0.0

    @property
    def is_answering(self) -> bool:
        """Whether there is more to do for the client than to listen."""
        return self._answer is not None or bool(self._told) or b"\n" in self._asked

    def turn(self, end: float) -> bool:
        """Go on until the client does not, or until `end`; returns False when all is said."""
        self.seen = self._clock()
        if not self.is_answering:
            self._hear()
        while self._answer is not None or self._told or self._begin():
            self._make(end)
            self._send()
            if self._told or self._clock() >= end:
                return True
        return not self._ended

    def close(self) -> None:
        """Hang up."""
        if self._answer is not None:
            self._answer.close()
        self.socket.close()

    def _hear(self) -> None:
        try:
            heard = self.socket.recv(LONGEST_REQUEST)
        except BlockingIOError:
            return
        self._asked += heard
        self._ended = not heard

    def _begin(self) -> bool:
        """Begin to answer the next request, if a whole one has been heard."""
        line, newline, rest = self._asked.partition(b"\n")
        if not newline and not (self._ended and line) and len(line) <= LONGEST_REQUEST:
            return False
        self._asked = rest
        self._told_at = self._clock()
        try:
            self._answer = self._understand(line)
        except NatLbError as error:
            self._tell(error=str(error))
        return True

    def _understand(self, line: bytes) -> Answer:
        if len(line) > LONGEST_REQUEST:
            self._asked, self._ended = b"", True
            raise NatLbError(f"a request has at most {LONGEST_REQUEST} octets")
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict) or "command" not in request:
            raise NatLbError('expected a line with a JSON object such as {"command": "status"}')
        command = self._commands.get(str(request.pop("command")))
        if command is None:
            raise NatLbError(f"the commands are {', '.join(self._commands)}")
        return command(request)

    def _make(self, end: float) -> None:
        """Make as much of the answer as there is room and time for, at least one step."""
        while self._answer is not None and len(self._told) < _ROOM:
            try:
                part = next(self._answer)
            except StopIteration as last:
                self._answer = None
                self._tell(result=last.value)
            except NatLbError as error:
                self._answer = None
                self._tell(error=str(error))
            else:
                if part or self._clock() - self._told_at >= SIGN_OF_LIFE:
                    self._tell(part=part)
            if self._clock() >= end:
                return

    def _tell(self, **line: Any) -> None:
        self._told += _line(**line)
        self._told_at = self._clock()

    def _send(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._told:
                del self._told[: self.socket.send(self._told)]


def _line(**content: Any) -> bytes:
    return json.dumps(content).encode() + b"\n"


@contextlib.contextmanager
def control_socket(path: Path, commands: Mapping[str, Command]) -> Iterator[ControlServer | None]:
    """Listen while the block runs; where no socket can be made, warn and go without.  Raises `SystemFault`."""
    try:
        server = ControlServer(path, commands)
    except OSError as error:
        log.warning(
            "control socket %s: cannot be made: %s. `nat-lb status`, `connections` and `drain` will not find this "
            "director.", path, error.strerror or error,
        )  # fmt: skip
        yield None
        return
    with server:
        yield server
