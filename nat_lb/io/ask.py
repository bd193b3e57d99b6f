"""Asking a running director: the other end of the control socket.

The law: what goes wrong is told in one line that names the socket and the remedy.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from nat_lb.errors import NatLbError, SystemFault

PATIENCE = 10.0  # seconds without a word; a director that is at work gives a sign of life each second


class Inquiry:
    """A conversation with the director whose control socket is at `path`; a context manager.

    Every method raises `SystemFault` when the director cannot be reached or breaks off.
    """

    def __init__(self, path: Path, patience: float = PATIENCE) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(patience)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            self._failed(error)
        self._lines = self._socket.makefile("rb")

    def __enter__(self) -> Inquiry:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._socket.close()

    def ask(self, command: str, on_part: Callable[[list[Any]], None] | None = None, **arguments: str | None) -> Any:
        """Return the result of a command; `on_part` is called with each part of the answer as it comes.

        Raises `NatLbError` with the director's words if it refuses.
        """
        self._send({"command": command, **arguments})
        while True:
            answer = self._read()
            if "error" in answer:
                raise NatLbError(answer["error"])
            if "result" in answer:
                return answer["result"]
            if on_part is not None and answer["part"]:
                on_part(answer["part"])

    def _send(self, request: dict[str, str | None]) -> None:
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            self._failed(error)

    def _read(self) -> dict[str, Any]:
        try:
            line = self._lines.readline()
            if not line.endswith(b"\n"):
                raise ConnectionResetError
        except OSError as error:
            self._failed(error)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _failed(self, error: OSError) -> NoReturn:
        raise SystemFault(f"{self._path}: {_words(error)}") from None


def _words(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "no director has its control socket there. Is it running? --control or --config name another socket."
    if isinstance(error, PermissionError):
        return "only root and the user who runs the director may talk to it."
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there any more: the director that made this socket is gone."
    if isinstance(error, ConnectionError):
        return "the director broke off; its log may say why."
    if isinstance(error, TimeoutError):
        return "the director does not answer."
    return f"cannot be used: {error.strerror or error}."
