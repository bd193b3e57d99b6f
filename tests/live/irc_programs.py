"""ngIRCd and WeeChat for the live tests: a server, and users whose files and talks are seen on disk."""

from __future__ import annotations

import shutil
from pathlib import Path

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

SETTINGS = {
    "logger.file.flush_delay": "0",
    "xfer.file.auto_accept_chats": "on",
    "xfer.file.auto_accept_files": "on",
    "xfer.file.use_nick_in_filename": "off",
    "xfer.file.download_path": "{directory}/got",
}


class Ngircd(Server):
    """An ngIRCd that calls itself NAME.lab.test."""

    program = "ngircd"
    package = "ngircd"

    def command(self) -> list[str | Path]:
        """Write ngircd.conf; in a user namespace, run as the user it wants to be, since it cannot change there."""
        configuration = self.directory / "ngircd.conf"
        configuration.write_text(NGIRCD.format(name=f"{self.host.name}.lab.test", port=self.port))
        every_user = Path("/proc/self/uid_map").read_text().split()[2] == str(2**32 - 1)
        another_user = () if every_user else ("unshare", "--user", "--map-user=1", "--map-group=1")
        return [*another_user, self.program, "--nodaemon", "--config", configuration]


class WeeChat:
    """A user with a WeeChat on a host of the lab, connected to one server."""

    def __init__(self, host: Host, nick: str, address: str, port: int, **settings: str) -> None:
        if shutil.which("weechat-headless") is None:
            raise LabError("weechat-headless is not installed. Debian's package: weechat-headless")
        self.host = host
        self.nick = nick
        self.directory = host.directory / f"{host.name}-{nick}-{port}"
        (self.directory / "got").mkdir(parents=True)
        values = {key: text.format(directory=self.directory) for key, text in (SETTINGS | settings).items()}
        family = "on" if ":" in address else "off"
        commands = [
            *(f'/set {key} "{text}"' for key, text in values.items()),
            f"/server add lab {address}/{port} -notls -nicks={nick} -username={nick} -ipv6={family}",
            "/connect lab",
        ]
        options = [word for command in commands for word in ("-r", command)]
        self.child = host.spawn(["weechat-headless", "-d", self.directory, *options])
        wait_until(lambda: "376" in self.log() or "MOTD" in self.log(), what=f"{nick} to be welcomed")

    def stop(self) -> None:
        """End the program."""
        self.host.stop(self.child)

    def types(self, text: str, buffer: str = "irc.server.lab") -> None:
        """Type a line into a buffer."""
        [pipe] = self.directory.glob("weechat_fifo_*")
        with pipe.open("w") as lines:
            lines.write(f"{buffer} *{text}\n")

    def log(self) -> str:
        """Return what the buffers showed so far."""
        return "\n".join(path.read_text(errors="replace") for path in self.directory.glob("logs/*.weechatlog"))

    @property
    def server(self) -> str:
        """The name of the server that welcomed the user."""
        return next(word for word in self.log().split() if word.endswith(".lab.test"))

    def waits_for(self, name: str, content: bytes) -> None:
        """Return when a file has come completely; raises LabError if it does not."""
        path = self.directory / "got" / name
        wait_until(lambda: path.exists() and path.read_bytes() == content, what=f"{name} at {self.nick}")

    def shows(self, text: str) -> None:
        """Return when a buffer has shown a text; raises LabError, with what was shown, if none does."""
        try:
            wait_until(lambda: text in self.log(), what=f'{self.nick} to show "{text}"')
        except LabError as fault:
            raise LabError(f"{fault}. It showed:\n{self.log()}") from None
