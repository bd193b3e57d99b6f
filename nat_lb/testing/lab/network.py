"""The lab itself: builds the topology, starts directors in it, removes everything.

The law: whatever ends the `with` block (its end, an exception, Ctrl-C, SIGTERM, SIGHUP), no namespace, process or
file of the lab remains; what SIGKILL leaves behind the next lab removes.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sys
import tempfile
from pathlib import Path
from types import TracebackType

from nat_lb.testing.lab import topology
from nat_lb.testing.lab.director import RunningDirector
from nat_lb.testing.lab.guard import guard, release, uninterrupted
from nat_lb.testing.lab.host import Host
from nat_lb.testing.lab.namespaces import configure, ip, remove, remove_leftovers
from nat_lb.testing.lab.topology import INSIDE, OUTSIDE, Segment
from nat_lb.testing.lab.waiting import PATIENCE

_numbers = itertools.count(1)


class Lab:
    """Clients, a director and real servers in network namespaces; a context manager.

    `name` distinguishes labs and prefixes the namespaces' names: NAME-client, NAME-director, NAME-server1, … A lab
    without a name gets a unique one. With `keep`, everything is left up at the end, for `remove_lab(name)` to remove;
    a lab that is kept needs a name.

    Raises `LabError` when the machine does not let namespaces be made.
    """

    vip = topology.VIP_V4
    vip6 = topology.VIP_V6
    datapath = "nfqueue"
    """What a director is told to use if its configuration does not say; "ebpf" needs nat-lb-ebpf."""

    def __init__(self, *, clients: int = 1, servers: int = 2, name: str = "", keep: bool = False) -> None:
        if keep and not name:
            raise ValueError('Lab(keep=True) needs a name, as in Lab(name="demo", keep=True)')
        self.name = name or f"natlb-{os.getpid()}-{next(_numbers)}"
        self.keep = keep
        self.clients: list[Host] = []
        self.servers: list[Host] = []
        self._sizes = clients, servers
        self._namespaces: list[str] = []
        self._directors: list[RunningDirector] = []

    @property
    def client(self) -> Host:
        """The first client."""
        return self.clients[0]

    @property
    def hosts(self) -> list[Host]:
        """Every host: clients, director, real servers."""
        return [*self.clients, self.director, *self.servers]

    def __enter__(self) -> Lab:
        guard(self)
        try:
            remove_leftovers()
            self.directory = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
            self._build()
        except BaseException:
            self.keep = False
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove everything, or, if the lab is kept, only forget it; does nothing the second time."""
        with uninterrupted():
            if not self.keep:
                self._remove()
            release(self)

    def add_client(self) -> Host:
        """Add a client to the outside segment and return it."""
        number = len(self.clients) + 1
        name = "client" if number == 1 else f"client{number}"
        self.clients.append(self._add_host(name, OUTSIDE, number + 1))
        return self.clients[-1]

    def add_server(self) -> Host:
        """Add a real server to the inside segment and return it."""
        number = len(self.servers) + 1
        self.servers.append(self._add_host(f"server{number}", INSIDE, number + 1))
        return self.servers[-1]

    def start_director(self, toml: str, *, seconds: float = PATIENCE, adopt: bool = False) -> RunningDirector:
        """Run `nat-lb run` with this configuration on the director and return when it is ready.

        With `adopt` it takes over what an earlier director's fast path carries, which ends otherwise.

        Raises `LabError` with the director's log when it ends, or is not ready within `seconds`.
        """
        director = RunningDirector(self.director, toml, len(self._directors), datapath=self.datapath, adopt=adopt)
        self._directors.append(director)
        director.wait_ready(seconds)
        return director

    def _build(self) -> None:
        self._add_namespace("switch")
        configure(f"{self.name}-switch", topology.switch_commands())
        addresses = {"v4": OUTSIDE.host_v4(1), "v6": OUTSIDE.host_v6(1), "device": OUTSIDE.device}
        self.director = Host("director", self._add_namespace("director"), self.directory, **addresses)
        for segment in (OUTSIDE, INSIDE):
            self._plug(segment, self.director, segment.device)
        self._configure(self.director, topology.director_commands(), topology.DIRECTOR_SYSCTLS)
        for _ in range(self._sizes[0]):
            self.add_client()
        for _ in range(self._sizes[1]):
            self.add_server()

    def _add_namespace(self, host: str) -> str:
        namespace = f"{self.name}-{host}"
        self._namespaces.append(namespace)  # before it exists: an interrupted command may have made it
        ip("netns", "add", namespace)
        return namespace

    def _add_host(self, name: str, segment: Segment, number: int) -> Host:
        addresses = {"v4": segment.host_v4(number), "v6": segment.host_v6(number)}
        host = Host(name, self._add_namespace(name), self.directory, **addresses)
        self._plug(segment, host, host.device)
        self._configure(host, topology.host_commands(segment, number, host.device))
        return host

    def _plug(self, segment: Segment, host: Host, device: str) -> None:
        host.run(["sysctl", "--quiet", "--write", *topology.HOST_SYSCTLS], check=True)
        commands = topology.plug_commands(segment, f"{segment.device}-{host.name}"[:15], host.namespace, device)
        configure(f"{self.name}-switch", commands)
        host.run(["ethtool", "--offload", device, "tx", "off"], check=True)

    def _configure(self, host: Host, commands: list[str], sysctls: tuple[str, ...] = ()) -> None:
        configure(host.namespace, commands)
        if sysctls:
            host.run(["sysctl", "--quiet", "--write", *sysctls], check=True)

    def _remove(self) -> None:
        for director in self._directors:
            director.stop()
        if any(director.may_carry for director in self._directors):
            self.director.run([sys.executable, "-m", "nat_lb", "cleanup"])
        for host in [*self.clients, *self.servers]:
            host.stop_all()
        if hasattr(self, "director"):
            self.director.stop_all()
        remove(self._namespaces)
        if hasattr(self, "directory"):
            shutil.rmtree(self.directory, ignore_errors=True)
        self._directors.clear()
        self._namespaces.clear()
