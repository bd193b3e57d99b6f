"""A Unix socket that a director listens at: made safely, in place of one that nobody listens at any more.

The law: no moment in which somebody else may connect, and nothing is removed but a socket without a listener.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
from pathlib import Path

from nat_lb.errors import SystemFault

_CREDENTIALS = struct.Struct("3i")  # process, user and group: unix(7)


def listen(path: Path) -> socket.socket:
    """Return a non-blocking socket that listens at `path`, for this user alone; makes its folder if there is none.

    Raises `SystemFault` when somebody listens there, OSError when the file system or the permissions do not allow it.
    """
    if not path.parent.exists():
        path.parent.mkdir(parents=True)
        path.parent.chmod(0o755)
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        os.fchmod(listener.fileno(), 0o600)  # what `bind` makes has this mode from its first moment
        listener.bind(str(path))
        listener.listen()
    except BaseException:
        listener.close()
        raise
    return listener


def _remove_stale(path: Path) -> None:
    """Remove a socket that nobody listens to."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, "something that is no socket is there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(str(path))
            owner = f" (process {_CREDENTIALS.unpack(_peer(probe))[0]})"
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:  # more clients wait than may
            owner = ""
    raise SystemFault(
        f"control socket {path}: another program{owner} listens there, probably a director. Stop it, or set another "
        "control in [director]."
    )


def _peer(connected: socket.socket) -> bytes:
    return connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)


def identity(path: Path) -> tuple[int, int] | None:
    """Return what tells the file at `path` from any other, None if there is none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
