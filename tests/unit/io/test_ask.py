"""Asking a director: parts, results, and what is said when nobody answers."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from nat_lb.errors import NatLbError, SystemFault
from nat_lb.io.ask import Inquiry


@contextlib.contextmanager
def director(path: Path, *answers: bytes) -> Iterator[list[bytes]]:
    """Stand in for a director that gives these answers, one a request, then hangs up."""
    asked: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as requests:
                for answer in answers:
                    asked.append(requests.readline())
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield asked
        thread.join()


def broken_off() -> AbstractContextManager[object]:
    return pytest.raises(SystemFault, match=r"/s: the director broke off; its log may say why\.")


def test_parts_come_one_by_one_and_the_result_is_returned(tmp_path: Path) -> None:
    parts: list[list[Any]] = []
    answer = b'{"part": [1, 2]}\n{"part": []}\n{"part": [3]}\n{"result": {"number": 3}}\n'
    with director(tmp_path / "s", answer) as asked, Inquiry(tmp_path / "s") as inquiry:
        assert inquiry.ask("connections", parts.append, service="web", client=None) == {"number": 3}
    assert parts == [[1, 2], [3]]
    assert asked == [b'{"command": "connections", "service": "web", "client": null}\n']


def test_reader_that_cannot_go_on_is_not_the_directors_fault(tmp_path: Path) -> None:
    def closed_pipe(_: list[Any]) -> None:
        raise BrokenPipeError

    inquired = director(tmp_path / "s", b'{"part": [1]}\n')
    with inquired, Inquiry(tmp_path / "s") as inquiry, pytest.raises(BrokenPipeError):
        inquiry.ask("connections", closed_pipe)


def test_refusal_is_raised_in_the_words_of_the_director(tmp_path: Path) -> None:
    answers = [b'{"error": "no service is called \\"web\\"."}\n', b'{"result": 1}\n']
    with director(tmp_path / "s", *answers), Inquiry(tmp_path / "s") as inquiry:
        with pytest.raises(NatLbError, match=r'^no service is called "web"\.$'):
            inquiry.ask("connections", service="web")
        assert inquiry.ask("status") == 1


@pytest.mark.parametrize("answer", [b"", b'{"part": [1]}\n', b'{"part": [1]}\n{"res'])
def test_director_that_breaks_off_is_no_answer(tmp_path: Path, answer: bytes) -> None:
    with director(tmp_path / "s", answer), Inquiry(tmp_path / "s") as inquiry, broken_off():
        inquiry.ask("status")


def test_director_that_is_silent_is_not_waited_for(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        inquiry = Inquiry(tmp_path / "s", patience=0.05)
        with inquiry, pytest.raises(SystemFault, match=r"/s: the director does not answer\."):
            inquiry.ask("status")


def test_absent_director_is_told_from_one_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(SystemFault, match=r"/s: no director has its control socket there\. Is it running\?"):
        Inquiry(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "s"))
    with pytest.raises(SystemFault, match=r"/s: nobody listens there any more"):
        Inquiry(tmp_path / "s")


def test_path_that_no_socket_can_have_is_told(tmp_path: Path) -> None:
    with pytest.raises(SystemFault, match=r"xxx: cannot be used: AF_UNIX path too long\."):
        Inquiry(tmp_path / ("x" * 200))


def test_other_users_are_told_that_they_may_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Forbidden(socket.socket):
        def connect(self, address: Any) -> None:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "socket", Forbidden)
    with pytest.raises(SystemFault, match=r"/s: only root and the user who runs the director may talk to it\."):
        Inquiry(tmp_path / "s")
