"""dnsmasq: a DNS server whose answer tells which server gave it, over UDP and TCP."""

from __future__ import annotations

from pathlib import Path

from nat_lb.testing.lab.host import Host
from nat_lb.testing.servers.base import Server


class Dnsmasq(Server):
    """A dnsmasq on `host` that answers `name` with the host's own addresses, A and AAAA."""

    program = "dnsmasq"
    package = "dnsmasq-base"
    protocols = ("tcp", "udp")

    def __init__(self, host: Host, port: int = 53, *, name: str = "who.test") -> None:
        super().__init__(host, port)
        self.name = name

    def command(self) -> list[str | Path]:
        """Return dnsmasq's command line; it reads no file of the machine."""
        nothing_else = ["--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--no-daemon", "--log-queries"]
        record = f"--host-record={self.name},{self.host.v4},{self.host.v6}"
        return [self.program, *nothing_else, f"--port={self.port}", record]
