"""The lab of the demo: the documentation's example, with real servers behind a director.

The law: whatever ends the scene, nothing of it is left, unless it ended well and is to be kept.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nat_lb.config import Config, RealServerConfig, load
from nat_lb.testing.lab import Host, Lab, RunningDirector, remove_lab
from nat_lb.testing.servers import Nginx, Vsftpd

CONFIGURATION = Path(__file__).with_name("nat-lb.toml")
FILE = "file.bin"
FILE_SIZE = 1_000_003
"""Octets of the file to download: about 1 MB, and no multiple of anything that could hide a lost piece."""
KEPT_NAME = re.compile(r"natlb-demo-\d+")


@dataclass(frozen=True)
class WebServer:
    """One real server of the web service; `name` is what it answers to a request."""

    name: str
    port: int
    weight: int
    host: Host
    nginx: Nginx

    def __str__(self) -> str:
        return f"{self.host.v4}:{self.port}"


@dataclass(frozen=True)
class Scene:
    """What the acts play in."""

    lab: Lab
    config: Config
    webs: list[WebServer]
    ftp: Vsftpd
    content: bytes
    director: RunningDirector


def configuration() -> Config:
    """Return the demo's configuration as the director reads it."""
    return load(CONFIGURATION)


@contextlib.contextmanager
def scene(*, keep: bool = False) -> Iterator[Scene]:
    """Build the lab, start real servers and director, and give them when packets flow.

    With `keep` all of it stays up when the block ends without an exception; `remove_kept(scene.lab.name)` removes it.
    Raises `LabError`, with the words of the program that does not do its part.
    """
    with contextlib.ExitStack() as stack:
        # A name of its own only if it is kept: labs without one are found and removed even after SIGKILL.
        lab = stack.enter_context(Lab(name=f"natlb-demo-{os.getpid()}" if keep else ""))
        config = configuration()
        web, files = config.services
        webs = [_start_web(stack, lab, entry) for entry in web.real_servers]
        ftp = stack.enter_context(Vsftpd(_host(lab, files.real_servers[0]), files.real_servers[0].port))
        content = os.urandom(FILE_SIZE)
        (ftp.root / FILE).write_bytes(content)
        director = lab.start_director(CONFIGURATION.read_text())
        yield Scene(lab, config, webs, ftp, content, director)
        if keep:
            stack.pop_all()
            lab.keep = True
            lab.close()


def remove_kept(name: str) -> bool:
    """Remove a scene that was kept, its processes and its files; tells whether there was one of that name."""
    if not KEPT_NAME.fullmatch(name):
        return False
    if not remove_lab(name):
        return False
    for directory in Path(tempfile.gettempdir()).glob(f"{name}-*"):
        shutil.rmtree(directory, ignore_errors=True)
    return True


def _start_web(stack: contextlib.ExitStack, lab: Lab, entry: RealServerConfig) -> WebServer:
    host = _host(lab, entry)
    nginx = stack.enter_context(Nginx(host, entry.port))
    return WebServer(nginx.name, entry.port, entry.weight, host, nginx)


def _host(lab: Lab, entry: RealServerConfig) -> Host:
    return next(host for host in lab.servers if host.v4 == str(entry.address))
