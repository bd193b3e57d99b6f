"""The clients' part: real curl in the client's namespace.

The law: a client knows the VIP and nothing else, and what it reports is what came over the wire.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nat_lb.demo.scene import FILE, Scene

CURL = ("curl", "--silent", "--show-error", "--connect-timeout", "2", "--max-time", "10")
TIMED_OUT = 28  # curl's exit status
PATIENCE = 3
"""After so many requests without any answer the rest are not tried: each takes seconds."""
OTHER_PORT = 8080


@dataclass(frozen=True)
class Answer:
    """What one request got: the name that the real server answered with, or curl's words why there was none."""

    server: str = ""
    error: str = ""
    timed_out: bool = False


@dataclass(frozen=True)
class Mode:
    """One way to open an FTP data connection; `verb` is the command that asks for it."""

    verb: str
    kind: str
    options: tuple[str, ...]


MODES = (
    Mode("PASV", "passive", ("--ftp-pasv", "--disable-epsv")),
    Mode("EPSV", "passive, extended", ("--ftp-pasv",)),
    Mode("PORT", "active", ("--ftp-port", "-", "--disable-eprt")),
    Mode("EPRT", "active, extended", ("--ftp-port", "-")),
)


@dataclass(frozen=True)
class Download:
    """One download of the file; `digest` is the SHA-256 of what arrived."""

    mode: Mode
    size: int
    digest: str
    error: str


def request(scene: Scene) -> Answer:
    """Send one request to the web service, over a connection of its own."""
    done = scene.lab.client.run([*CURL, "--fail", f"http://{scene.lab.vip}/"])
    if done.returncode:
        return Answer(error=done.stderr.strip(), timed_out=done.returncode == TIMED_OUT)
    return Answer(server=done.stdout.strip())


def requests(scene: Scene, count: int) -> Iterator[Answer]:
    """Send `count` requests, one after the other; fewer if nobody answers at all."""
    timeouts = 0
    for _ in range(count):
        answer = request(scene)
        yield answer
        timeouts = timeouts + 1 if answer.timed_out else 0
        if timeouts == PATIENCE:
            return


def arrived(scene: Scene, answered: Mapping[str, int]) -> dict[str, int]:
    """Return, by real server, how many requests of the client its own access log has.

    `answered` is how many answers each gave: so many lines are waited for. Raises `LabError` if they do not come.
    """
    client = f"{scene.lab.client.v4} "
    logs = {web.name: web.nginx.requests(expected=answered.get(web.name, 0)) for web in scene.webs}
    return {name: sum(line.startswith(client) for line in lines) for name, lines in logs.items()}


def download(scene: Scene, mode: Mode) -> Download:
    """Download the file through the FTP service, in one mode."""
    target = scene.lab.directory / f"{mode.verb.lower()}-{FILE}"
    url = f"ftp://{scene.lab.vip}/{FILE}"
    # Without this option curl would ignore the address in the 227 reply, and with it a wrong one.
    options = [*CURL, "--no-ftp-skip-pasv-ip", *mode.options]
    done = scene.lab.client.run([*options, "--output", target, url])
    content = target.read_bytes() if target.exists() else b""
    return Download(mode, len(content), digest(content), done.stderr.strip())


def knock(scene: Scene, port: int = OTHER_PORT) -> bool:
    """Try a port of the VIP that no service has; tells whether somebody answered."""
    return scene.lab.client.run([*CURL, f"http://{scene.lab.vip}:{port}/"]).returncode == 0


def digest(content: bytes) -> str:
    """Return the SHA-256 of some bytes in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
