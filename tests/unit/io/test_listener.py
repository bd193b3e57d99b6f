"""A Unix socket is made safely, and takes the place of nothing but a dead one."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from nat_lb.errors import SystemFault
from nat_lb.io.listener import identity, listen


@pytest.fixture(params=[0o000, 0o077], ids=["umask 000", "umask 077"])
def any_umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("any_umask")
def test_socket_is_for_its_user_and_its_new_folder_for_all(tmp_path: Path) -> None:
    path = tmp_path / "run" / "nat-lb" / "s"
    with listen(path):
        assert stat.S_IMODE(path.lstat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755


def test_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o710)
    with listen(tmp_path / "s"):
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o710


def test_socket_that_nobody_listens_at_is_replaced(tmp_path: Path) -> None:
    listen(tmp_path / "s").close()
    with socket.socket(socket.AF_UNIX) as client, pytest.raises(ConnectionRefusedError):
        client.connect(str(tmp_path / "s"))
    with listen(tmp_path / "s"), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "s"))


def test_socket_of_a_live_process_is_refused_with_its_number(tmp_path: Path) -> None:
    with listen(tmp_path / "s"):
        before = identity(tmp_path / "s")
        with pytest.raises(SystemFault, match=rf"/s: another program \(process {os.getpid()}\) listens there"):
            listen(tmp_path / "s")
        assert identity(tmp_path / "s") == before


def test_socket_whose_waiting_room_is_full_is_refused_too(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as first:
        busy.bind(str(tmp_path / "s"))
        busy.listen(0)
        first.connect(str(tmp_path / "s"))
        with pytest.raises(SystemFault, match="another program listens there"):
            listen(tmp_path / "s")


def test_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("precious")
    with pytest.raises(FileExistsError, match="no socket"):
        listen(tmp_path / "s")
    assert (tmp_path / "s").read_text() == "precious"


def test_link_to_a_socket_is_left_alone(tmp_path: Path) -> None:
    listen(tmp_path / "dead").close()
    (tmp_path / "s").symlink_to(tmp_path / "dead")
    with pytest.raises(FileExistsError, match="no socket"):
        listen(tmp_path / "s")
    assert (tmp_path / "dead").exists()


def test_identity_of_nothing_is_none(tmp_path: Path) -> None:
    assert identity(tmp_path / "s") is None
