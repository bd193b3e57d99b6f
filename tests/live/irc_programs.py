"""ngIRCd, ZNC and WeeChat for the live tests: a server, a bouncer, and users whose files and talks are seen on disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from nat_lb.testing.lab import Host, LabError, wait_until
from nat_lb.testing.servers import Server

NGIRCD = """\
[Global]
Name = {name}
Info = Lab
Listen = ::,0.0.0.0
Ports = {port}
MotdPhrase = none
ServerUID = 1
ServerGID = 1
[Limits]
MaxConnectionsIP = 0
MaxPenaltyTime = 0
[Options]
DNS = no
Ident = no
PAM = no
SyslogFacility = local0
"""

ZNC = """\
Version = 1.8.2
ConnectDelay = 1
ServerThrottle = 1
<Listener lab>
  Port = {port}
  SSL = false
</Listener>
<User {nick}>
  Nick = {nick}
  Ident = {nick}
  {for_the_user}
  <Network lab>
    Server = {upstream} 6667
    {for_the_network}
  </Network>
  <Pass password>
    Method = Plain
    Hash = {password}
  </Pass>
</User>
"""

LINES = Path(__file__).with_name("irc_lines.py")
SETTINGS = {
    "logger.file.flush_delay": "0",
    "xfer.file.auto_accept_chats": "on",
    "xfer.file.auto_accept_files": "on",
    "xfer.file.use_nick_in_filename": "off",
    "xfer.file.download_path": "{directory}/got",
}


def as_another_user() -> list[str]:
    """Return what to put before a program that refuses to be root; it may read and write what root may."""
    if Path("/proc/self/uid_map").read_text().split()[2] != str(2**32 - 1):  # a user namespace that knows only root
        return ["unshare", "--user", "--map-user=1", "--map-group=1"]
    keep = ["--securebits=+no_setuid_fixup", "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return ["setpriv", "--reuid=1", "--regid=1", "--clear-groups", *keep]


class Ngircd(Server):
    """An ngIRCd that calls itself NAME.lab.test."""

    program = "ngircd"
    package = "ngircd"

    def command(self) -> list[str | Path]:
        """Write ngircd.conf."""
        configuration = self.directory / "ngircd.conf"
        configuration.write_text(NGIRCD.format(name=f"{self.host.name}.lab.test", port=self.port))
        return [*as_another_user(), self.program, "--nodaemon", "--config", configuration]


class Znc(Server):
    """A ZNC: the bouncer of one user, who is on the IRC server at `upstream`.

    It takes his DCC upon itself (bouncedcc). With `certificate`, paths of key and certificate, it does not; then it has
    talks under TLS (schat) with whom that certificate proves.
    """

    program = "znc"
    package = "znc"
    password = "secret"

    def __init__(
        self, host: Host, nick: str, upstream: str, *, certificate: tuple[Path, Path] | None = None, port: int = 6698
    ) -> None:
        super().__init__(host, port)
        self.nick = nick
        self.upstream = upstream
        self.certificate = certificate

    def command(self) -> list[str | Path]:
        """Write znc.conf, and the certificate into the only folder from which the module takes one."""
        pem = self.directory / f"users/{self.nick}/networks/lab/moddata/schat/pem"
        for_the_user, for_the_network, believes = "LoadModule = bouncedcc", "", "/dev/null"
        if self.certificate:
            for_the_user, for_the_network, believes = "", "LoadModule = schat pem", str(self.certificate[1])
            pem.parent.mkdir(parents=True)
            pem.write_text("".join(path.read_text() for path in self.certificate))
        modules = {"for_the_user": for_the_user, "for_the_network": for_the_network}
        settings = {"nick": self.nick, "upstream": self.upstream, "port": self.port, "password": self.password}
        (self.directory / "configs").mkdir()
        (self.directory / "configs" / "znc.conf").write_text(ZNC.format(**settings, **modules))
        believing = ["env", f"SSL_CERT_FILE={believes}"]
        return [*as_another_user(), *believing, self.program, "--foreground", "--datadir", self.directory]


class User(ABC):
    """A program with which somebody is on IRC; what it showed is its log."""

    host: Host
    nick: str
    child: subprocess.Popen[str]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @abstractmethod
    def log(self) -> str:
        """Return what the program showed so far."""

    def stop(self) -> None:
        """End the program."""
        self.host.stop(self.child)

    @property
    def server(self) -> str:
        """The name of the server that welcomed the user; it is waited for."""

        def named() -> str:
            return next((word for word in self.log().split() if word.rstrip(",").endswith(".lab.test")), "")

        return wait_until(named, what=f"a server to welcome {self.nick}").strip(":,")

    def shows(self, text: str) -> None:
        """Return when the program has shown a text; raises LabError, with what was shown, if it does not."""
        try:
            wait_until(lambda: text in self.log(), what=f'{self.nick} to show "{text}"')
        except LabError as fault:
            raise LabError(f"{fault}. It showed:\n{self.log()}") from None


class Scribe(User):
    """A user who writes lines himself and follows every DCC offer (irc_lines.py)."""

    def __init__(self, host: Host, nick: str, address: str, port: int, password: str = "") -> None:
        self.host = host
        self.nick = nick
        self._log = host.directory / f"{host.name}-{nick}-{port}.log"
        command: list[str | Path] = [sys.executable, LINES, address, str(port), nick, password]
        with self._log.open("w") as log:
            self.child = host.spawn(command, stdin=subprocess.PIPE, stdout=log, stderr=log, bufsize=1)
        self.shows(f" 376 {nick} ")

    def log(self) -> str:
        """Return the lines that came, and what became of offers."""
        return self._log.read_text(errors="replace")

    def types(self, line: str) -> None:
        """Send a line, or make an offer."""
        assert self.child.stdin is not None
        self.child.stdin.write(f"{line}\n")


class WeeChat(User):
    """A user with a WeeChat on a host of the lab, connected to one server."""

    def __init__(self, host: Host, nick: str, address: str, port: int, password: str = "", **settings: str) -> None:
        if shutil.which("weechat-headless") is None:
            raise LabError("weechat-headless is not installed. Debian's package: weechat-headless")
        self.host = host
        self.nick = nick
        self.directory = host.directory / f"{host.name}-{nick}-{port}"
        (self.directory / "got").mkdir(parents=True)
        values = {key: text.format(directory=self.directory) for key, text in (SETTINGS | settings).items()}
        login = f"{nick}:{password}" if password else ""
        family = "on" if ":" in address else "off"
        commands = [
            *(f'/set {key} "{text}"' for key, text in values.items()),
            f"/server add lab {address}/{port} -notls -nicks={nick} -username={nick} -ipv6={family} -password={login}",
            "/connect lab",
        ]
        options = [word for command in commands for word in ("-r", command)]
        self.child = host.spawn(["weechat-headless", "-d", self.directory, *options])
        self.shows("End of MOTD command")

    def types(self, text: str, buffer: str = "irc.server.lab") -> None:
        """Type a line into a buffer."""
        [pipe] = self.directory.glob("weechat_fifo_*")
        with os.fdopen(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK), "w") as lines:  # an error if WeeChat has ended
            lines.write(f"{buffer} *{text}\n")

    def log(self) -> str:
        """Return what the buffers showed so far."""
        return "\n".join(path.read_text(errors="replace") for path in self.directory.glob("logs/*.weechatlog"))

    def waits_for(self, name: str, content: bytes) -> None:
        """Return when a file has come completely; raises LabError if it does not."""
        path = self.directory / "got" / name
        wait_until(lambda: path.exists() and path.read_bytes() == content, what=f"{name} at {self.nick}")
