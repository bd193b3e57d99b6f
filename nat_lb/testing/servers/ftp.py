"""Two real FTP servers: vsftpd (C, strict about foreign addresses) and pyftpdlib (Python).

Both serve `root` to anonymous users over IPv4 and IPv6, in active and passive mode, and know TLS.
"""

from __future__ import annotations

import sys
from pathlib import Path

from nat_lb.testing.lab.host import Host
from nat_lb.testing.servers.base import Server, make_certificate

# run_as_launching_user, isolate: no other user and no further namespaces, which a user namespace does not allow.
VSFTPD = """\
background=NO
listen=NO
listen_ipv6=YES
listen_port={port}
run_as_launching_user=YES
isolate=NO
isolate_network=NO
seccomp_sandbox=NO
anonymous_enable=YES
local_enable=NO
no_anon_password=YES
anon_root={root}
allow_writeable_chroot=YES
write_enable={writable}
anon_upload_enable={writable}
anon_mkdir_write_enable={writable}
anon_other_write_enable={writable}
anon_umask=022
anon_world_readable_only=NO
pasv_min_port={first}
pasv_max_port={last}
connect_from_port_20={from_port_20}
log_ftp_protocol=YES
xferlog_enable=YES
vsftpd_log_file={directory}/vsftpd.log
secure_chroot_dir={directory}/empty
"""
IMPLICIT_TLS = """\
ssl_enable=YES
implicit_ssl=YES
allow_anon_ssl=YES
force_anon_logins_ssl=YES
force_anon_data_ssl=YES
require_ssl_reuse=NO
ssl_ciphers=HIGH
rsa_private_key_file={key}
rsa_cert_file={certificate}
"""


class FtpServer(Server):
    """What all have: a root folder, whether it can be written, and the range of passive ports.

    `program` is a path, if the server is not to be looked for where programs are installed.
    """

    def __init__(
        self,
        host: Host,
        port: int = 21,
        *,
        root: Path | None = None,
        writable: bool = False,
        passive_ports: tuple[int, int] = (50000, 50999),
        program: str | Path = "",
    ) -> None:
        super().__init__(host, port)
        self.program = str(program) or self.program
        self.root = root or self.directory / "files"
        self.writable = writable
        self.passive_ports = passive_ports


class Vsftpd(FtpServer):
    """A vsftpd on `host`.

    `from_port_20` makes its active data connections come from port 20, as RFC 959 has it; with `implicit_tls` it speaks
    nothing but TLS, from the first octet.
    """

    program = "vsftpd"
    package = "vsftpd"
    from_port_20 = True
    implicit_tls = False

    def command(self) -> list[str | Path]:
        """Write vsftpd.conf and the folder it locks itself into."""
        self.root.mkdir(exist_ok=True)
        (self.directory / "empty").mkdir()
        first, last = self.passive_ports
        flags = {"writable": _yes(self.writable), "from_port_20": _yes(self.from_port_20)}
        places = {"port": self.port, "root": self.root, "directory": self.directory, "first": first, "last": last}
        text = VSFTPD.format(**flags, **places)
        if self.implicit_tls:
            key, certificate = make_certificate(self.directory)
            text += IMPLICIT_TLS.format(key=key, certificate=certificate)
        configuration = self.directory / "vsftpd.conf"
        configuration.write_text(text)
        return [self.program, configuration]

    def log(self) -> str:
        """Return the dialogue as the server saw it, and what it wrote besides."""
        dialogue = self.directory / "vsftpd.log"
        return (dialogue.read_text(errors="replace") if dialogue.exists() else "") + super().log()


class Pyftpdlib(FtpServer):
    """A pyftpdlib on `host`; with `tls` it offers AUTH TLS, with `user` it wants that name and `password`.

    `advertised` is the IPv4 address that its 227 names, if not the host's own.
    """

    program = sys.executable
    package = "none: pip install pyftpdlib[ssl]"

    def __init__(
        self,
        host: Host,
        port: int = 21,
        *,
        root: Path | None = None,
        writable: bool = False,
        passive_ports: tuple[int, int] = (50000, 50999),
        advertised: str = "",
        tls: bool = False,
        user: str = "",
        password: str = "",
    ) -> None:
        super().__init__(host, port, root=root, writable=writable, passive_ports=passive_ports)
        self.advertised = advertised
        self.tls = tls
        self.user = user
        self.password = password

    def command(self) -> list[str | Path]:
        """Make the certificate, if there is to be TLS."""
        self.root.mkdir(exist_ok=True)
        first, last = self.passive_ports
        places: list[str | Path] = ["-i", "::", "-p", str(self.port), "-r", f"{first}-{last}", "-d", self.root]
        command: list[str | Path] = [self.program, "-m", "pyftpdlib", "--debug", *places]
        if self.writable:
            command.append("--write")
        if self.advertised:
            command += ["-n", self.advertised]
        if self.user:
            command += ["-u", self.user, "-P", self.password]
        if self.tls:
            key, certificate = make_certificate(self.directory)
            command += ["--tls", "--keyfile", key, "--certfile", certificate]
        return command


def _yes(flag: bool) -> str:
    return "YES" if flag else "NO"
