"""nginx: answers `/` with its name, so that a client can tell who served it, and any other path with a file."""

from __future__ import annotations

from pathlib import Path

from nat_lb.testing.lab.host import Host
from nat_lb.testing.lab.waiting import wait_until
from nat_lb.testing.servers.base import Server

# One process: a worker would want to change its user, which a user namespace that knows only root does not allow.
CONFIGURATION = """\
daemon off;
master_process off;
user root root;
pid {directory}/nginx.pid;
error_log stderr;
events {{}}
http {{
    log_format lab '$remote_addr $server_addr $server_port $status "$request"';
    access_log {directory}/access.log lab;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    default_type text/plain;
    sendfile on;
    server {{
        listen {port};
        listen [::]:{port} ipv6only=on;
        location = / {{ return 200 "{name}\\n"; }}
        location / {{ root {root}; }}
    }}
}}
"""


class Nginx(Server):
    """An nginx on `host`; `name` is what it answers to `GET /`, `root` the folder of its files."""

    program = "nginx"
    package = "nginx-light"

    def __init__(self, host: Host, port: int = 80, *, name: str = "", root: Path | None = None) -> None:
        super().__init__(host, port)
        self.name = name or host.name
        self.root = root or self.directory / "files"

    def command(self) -> list[str | Path]:
        """Write nginx.conf."""
        self.root.mkdir(exist_ok=True)
        text = CONFIGURATION.format(directory=self.directory, port=self.port, name=self.name, root=self.root)
        (self.directory / "nginx.conf").write_text(text)
        return [self.program, "-e", "stderr", "-p", self.directory, "-c", self.directory / "nginx.conf"]

    def requests(self, expected: int = 0) -> list[str]:
        """Return the access log: `CLIENT SERVER PORT STATUS "REQUEST"` a line, as nginx saw the addresses.

        nginx writes a line a moment after the client has its answer: ask for as many as are `expected`. Raises
        `LabError` when they are not there after some seconds.
        """

        def lines() -> list[str]:
            return (self.directory / "access.log").read_text().splitlines()

        wait_until(lambda: len(lines()) >= expected, what=f"{self.host.name}: {expected} requests in nginx's log")
        return lines()
