"""Real servers for the lab: the programs that operators run, on a host of the lab, over both families.

Each is a context manager that returns when the server listens and stops it at the end:

    with Lab() as lab, Nginx(lab.servers[0]) as web:
        lab.client.run(["curl", "-s", f"http://{lab.servers[0].v4}/"])
        assert web.requests(expected=1)[0].startswith(lab.client.v4)

`LabError` says what the program wrote when it does not start, and which Debian package has it when it is missing.
"""

from __future__ import annotations

from nat_lb.testing.servers.base import Server
from nat_lb.testing.servers.dns import Dnsmasq
from nat_lb.testing.servers.ftp import Pyftpdlib, Vsftpd
from nat_lb.testing.servers.ftp_others import Proftpd, PureFtpd
from nat_lb.testing.servers.web import Nginx

__all__ = ["Dnsmasq", "Nginx", "Proftpd", "PureFtpd", "Pyftpdlib", "Server", "Vsftpd"]
