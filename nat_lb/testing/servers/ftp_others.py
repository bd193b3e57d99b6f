"""Two more real FTP servers: ProFTPD and Pure-FTPd.

Debian lets only one FTP server be installed; give these the path of a `program` that was unpacked somewhere else. Both
serve `root` to anonymous users over IPv4 and IPv6, in active and passive mode.
"""

from __future__ import annotations

from pathlib import Path

from nat_lb.testing.servers.ftp import FtpServer

# As root throughout: no other user exists in a user namespace that knows only root.
PROFTPD = """\
ServerType standalone
ServerIdent on "ProFTPD"
DefaultAddress ::
UseIPv6 on
Port {port}
User root
Group root
AuthOrder mod_auth_unix.c
PidFile {directory}/pid
ScoreboardFile {directory}/scoreboard
SystemLog {directory}/proftpd.log
TransferLog none
WtmpLog off
DelayEngine off
UseReverseDNS off
TimesGMT on
PassivePorts {first} {last}
<Anonymous {root}>
  User root
  Group root
  UserAlias anonymous root
  RootLogin on
  AnonRequirePassword off
  RequireValidShell off
  UseFtpUsers off
  AllowOverwrite on
  <Limit WRITE>
    {writable}
  </Limit>
</Anonymous>
"""

# Root may not log in there, so it serves nobody in a user namespace that knows only root.
LOGIN = """\
#!/bin/sh
printf 'auth_ok:1\\nuid:65534\\ngid:65534\\ndir:%s/./\\nend\\n' '{root}'
"""
PURE_FTPD = """\
'{authd}' --socket='{directory}/login' --pidfile='{directory}/authd.pid' --run='{directory}/login.sh' &
until [ -S '{directory}/login' ]; do sleep 0.02; done
exec '{program}' --login=extauth:'{directory}/login' --pidfile='{directory}/pid' --bind={port} --noanonymous \\
    --dontresolve --altlog=clf:'{directory}/transfers.log' --umask=022:022 --passiveportrange={first}:{last}
"""


class Proftpd(FtpServer):
    """A ProFTPD on `host`."""

    program = "proftpd"
    package = "proftpd-core"

    def command(self) -> list[str | Path]:
        """Write proftpd.conf."""
        self.root.mkdir(exist_ok=True)
        first, last = self.passive_ports
        writable = "AllowAll" if self.writable else "DenyAll"
        places = {"port": self.port, "root": self.root, "directory": self.directory, "first": first, "last": last}
        configuration = self.directory / "proftpd.conf"
        configuration.write_text(PROFTPD.format(writable=writable, **places))
        return [self.program, "--nodaemon", "--quiet", "--config", configuration]

    def log(self) -> str:
        """Return what the server logged, and what it wrote besides."""
        written = self.directory / "proftpd.log"
        return (written.read_text(errors="replace") if written.exists() else "") + super().log()


class PureFtpd(FtpServer):
    """A Pure-FTPd on `host`; its pure-authd lets everybody in, as the user nobody."""

    program = "pure-ftpd"
    package = "pure-ftpd"

    def command(self) -> list[str | Path]:
        """Write the script that answers logins; what shall be writable is made so for nobody."""
        self.root.mkdir(exist_ok=True)
        self.root.chmod(0o777 if self.writable else 0o755)
        login = self.directory / "login.sh"
        login.write_text(LOGIN.format(root=self.root))
        login.chmod(0o755)
        first, last = self.passive_ports
        programs = {"program": self.program, "authd": Path(self.program).with_name("pure-authd")}
        places = {"port": self.port, "directory": self.directory, "first": first, "last": last}
        return ["sh", "-c", PURE_FTPD.format(**programs, **places)]
