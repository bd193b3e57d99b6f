"""Network namespaces by name: made, emptied and removed; the names tell whose they are.

The law: a lab's namespaces are called natlb-PID-NUMBER-HOST, and only those of processes that are gone are leftovers.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from nat_lb.testing.lab.errors import LabError
from nat_lb.testing.lab.waiting import wait_until

NAMESPACES = Path("/run/netns")
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
"""Where programs are looked for: a user's PATH leaves out what only root needs."""
LAB_NAMESPACE = re.compile(r"natlb-(?P<pid>\d+)-\d+-")


def ip(*arguments: str) -> str:
    """Run iproute2's `ip` and return what it printed.

    Raises `LabError` with its words when it fails or is not there.
    """
    return _run("ip", *arguments)


def configure(namespace: str, commands: Iterable[str]) -> None:
    """Run `ip` commands in a namespace, all or up to the first that fails, which raises `LabError`."""
    _run(*enter(namespace), "ip", "-batch", "-", commands="\n".join(commands))


def enter(namespace: str) -> list[str]:
    """Return what to put before a command line to run it in a namespace.

    Not `ip netns exec`, which mounts a new /sys: a chroot or a user namespace in a container may not.
    """
    return ["nsenter", f"--net={NAMESPACES / namespace}", "--"]


def _run(*command: str, commands: str | None = None) -> str:
    try:
        environment = os.environ | {"PATH": SEARCH_PATH}
        done = subprocess.run(command, input=commands, capture_output=True, text=True, check=False, env=environment)
    except FileNotFoundError:
        raise LabError(f"lab: the program {command[0]} is not installed. Run: make install") from None
    if done.returncode:
        said = done.stderr.strip()
        hint = "; the lab needs root, or root of a user namespace" if re.search("[Pp]ermi(tted|ssion)", said) else ""
        raise LabError(f"lab: {' '.join(command)} failed: {said}{hint}")
    return done.stdout


def namespaces() -> list[str]:
    """Return the names of all network namespaces that have one."""
    return [line.split()[0] for line in ip("netns", "list").splitlines() if line.strip()]


def remove(names: Iterable[str]) -> None:
    """Kill what runs in the named namespaces and remove them; what is already gone is not an error."""
    doomed = [name for name in names if (NAMESPACES / name).exists()]
    for name in doomed:
        with contextlib.suppress(LabError):  # another process may be removing the same leftovers
            _empty(name)
    for name in doomed:
        with contextlib.suppress(LabError):
            ip("netns", "delete", name)
    if left := sorted(set(doomed) & set(namespaces())):
        raise LabError(f"lab: could not remove the namespaces {', '.join(left)}; try: ip netns delete {left[0]}")


def remove_leftovers() -> list[str]:
    """Remove the namespaces and directories of labs whose process is gone (killed by SIGKILL, say).

    Returns the names of the namespaces.
    """
    found = ((name, LAB_NAMESPACE.match(name)) for name in namespaces())
    leftovers = [name for name, match in found if match and not _is_alive(int(match["pid"]))]
    remove(leftovers)
    for directory in Path(tempfile.gettempdir()).glob("natlb-*"):
        match = LAB_NAMESPACE.match(directory.name)
        if match and not _is_alive(int(match["pid"])) and directory.lstat().st_uid == os.getuid():
            shutil.rmtree(directory, ignore_errors=True)
    return leftovers


def remove_lab(name: str) -> list[str]:
    """Remove the lab that was kept under this name, and what runs in it; returns the namespaces removed."""
    mine = [namespace for namespace in namespaces() if namespace.startswith(f"{name}-")]
    remove(mine)
    return mine


def _empty(name: str) -> None:
    def pids() -> list[int]:
        return [int(pid) for pid in ip("netns", "pids", name).split()]

    for pid in pids():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(LabError):  # a zombie stays until its parent looks; the namespace can go all the same
        wait_until(lambda: not pids(), 2.0)


def _is_alive(pid: int) -> bool:
    return Path("/proc", str(pid)).exists()
