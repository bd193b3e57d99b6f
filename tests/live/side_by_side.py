"""The same dialogue through two directors: nat-lb, and the Linux kernel's own connection tracking, helpers and NAT.

The law: both ends are puppets, so a case decides every segment, and only what the director does can differ. Addresses
and ports are the same in both labs; what the ends read is compared octet by octet.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nat_lb.testing.lab import Host, Lab, LabError
from tests.live.ground import Family

PUPPET = Path(__file__).with_name("puppet.py")
IN_VAIN = 3  # retransmissions after which no more is expected to come
LOOK, LOOKS = 0.5, 60  # seconds, and how often


class NoKernelHelper(LabError):
    """This machine's kernel has no such helper, or was built without what makes it a director."""


class Failed(Exception):
    """What the director did keeps the dialogue from going on; the text says how that shows."""


@dataclass(frozen=True)
class Supported:
    """A protocol with a helper on both sides: `kernel` and `ours` are its names there.

    `versions` are the versions of IP that have the protocol, `kernel_versions` those for which the kernel helps it.
    """

    port: int
    kernel: str
    ours: str
    protocol: str = "tcp"
    versions: tuple[int, ...] = (4, 6)
    kernel_versions: tuple[int, ...] = (4, 6)


class End:
    """One end of the dialogue; everything that it reads on connections of control is kept in `heard`."""

    other: End

    def __init__(self, host: Host, address: str) -> None:
        self.address = address
        self.heard = b""
        self._child = host.spawn([sys.executable, PUPPET], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1)

    def call(self, method: str, *arguments: Any) -> Any:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps([method, *arguments]) + "\n")
        answer = json.loads(self._child.stdout.readline())
        if "error" in answer:
            raise Failed(answer["error"])
        return answer["result"]

    def reset(self) -> None:
        self.heard = b""
        self.call("reset")

    def says(self, *pieces: bytes, on: str = "control") -> None:
        """Send on the control connection, or another one, each piece in a segment of its own."""
        self.call("send", on, *(piece.hex() for piece in pieces))

    def hears(self, size: int = 0, *, on: str = "control") -> bytes:
        """Return the next line of the control connection, or of another one, or its next octets."""
        reading = ("read_octets", on, size) if size else ("read_line", on)
        for _ in range(LOOKS):
            if (found := self.call(*reading, LOOK)) is not None:
                self.heard += bytes.fromhex(found)
                return bytes.fromhex(found)
            if self.other.call("retransmissions", on) >= IN_VAIN:
                raise Failed(f"nothing arrived, although it was sent again {IN_VAIN} times")
        raise Failed(f"nothing arrived in {LOOK * LOOKS:g} s")

    def gets(self, name: str) -> tuple[bytes, str, int]:
        """Return the next datagram on a port, and where it comes from."""
        found = self.call("receive", name, LOOK * IN_VAIN)
        if found is None:
            raise Failed("no datagram arrived")
        self.heard += bytes.fromhex(found[0])
        return bytes.fromhex(found[0]), found[1], found[2]


@dataclass(frozen=True)
class Stage:
    """A lab with one of the directors and a puppet at each end."""

    family: Family
    vip: str
    client: End
    server: End

    def opens(self, port: int) -> None:
        """Open the control connection to a port of the virtual address."""
        self.server.call("listen", "door", self.server.address, port)
        self.client.call("connect", "control", self.vip, port)
        expect("the server's client", self.server.call("accept", "control", "door"), self.client.address)
        self.server.call("close", "door")

    def transfers(self, taker: End, listener: str, address: str, port: int) -> None:
        """Let `taker` connect to what the other end listens at, and take what that has for him."""
        giver, seen_from = (self.server, self.client.address) if taker is self.client else (self.client, self.vip)
        expect("what was announced", address, self.vip if taker is self.client else self.client.address)
        taker.call("connect", "data", address, port)
        expect("the data connection's other end", giver.call("accept", "data", listener), seen_from)
        giver.call("send", "data", b"content".hex())
        giver.call("close", "data")
        expect("the file", bytes.fromhex(taker.call("read_all", "data") or ""), b"content")

    def carries(self, speaker: End, packet: bytes, mark: bytes) -> bytes:
        """Send a packet through the tunnel until one that ends with `mark` is at the other end, and return that."""
        for _ in range(LOOKS):
            speaker.call("send", "tunnel", packet.hex())
            while (found := speaker.other.call("read_packet", "tunnel", LOOK)) is not None:
                if (arrived := bytes.fromhex(found)).endswith(mark):  # others may have been sent more than once
                    return arrived
        raise Failed(f"no packet of {LOOKS} arrived")

    def streams(self, port: int, public: int, real: int) -> None:
        """Exchange datagrams between a port of the client's and a public one, which stands for one of the server's."""
        self.client.call("bind", "stream", self.client.address, port)
        self.server.call("bind", "stream", self.server.address, real)
        self.client.call("send_to", "stream", b"there".hex(), self.vip, public)
        arrived = b"there", self.client.address, port
        expect("the datagram from the client", self.server.gets("stream"), arrived)
        self.server.call("send_to", "stream", b"back".hex(), self.client.address, port)
        expect("the datagram from the server", self.client.gets("stream"), (b"back", self.vip, public))
        for end in self.client, self.server:
            end.call("close", "stream")

    def goes_on(self) -> None:
        """Let each end say one more line, and the other read it whole."""
        for speaker, listener in ((self.server, self.client), (self.client, self.server)):
            speaker.says(b"200 still here\r\n")
            expect("the next line", listener.hears(), b"200 still here\r\n")


def expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise Failed(f"{what} is {found!r}, not {wanted!r}")


Play = Callable[[Stage, int], None]
"""A dialogue; its second argument is a port that no other dialogue uses."""


@dataclass(frozen=True)
class Outcome:
    """What became of a dialogue: `verdict` in the words of the documentation, and what the ends had read."""

    verdict: str
    why: str
    client: bytes
    server: bytes


def perform(stage: Stage, play: Play, port: int) -> Outcome:
    """Play a dialogue from the beginning."""
    for end in (stage.client, stage.server):
        end.reset()
    try:
        play(stage, port)
    except Failed as failure:
        return Outcome("fails", str(failure), stage.client.heard, stage.server.heard)
    return Outcome("works", "", stage.client.heard, stage.server.heard)


Direct = Callable[[Lab], None]
"""Makes the lab's director one."""


@contextlib.contextmanager
def stage(family: Family, direct: Direct) -> Iterator[Stage]:
    """A stage whose director is started by `direct`; the client has no other way to the inside than the VIP."""
    with Lab(servers=1) as lab:
        for network in ("172.16.0.0/24", "fd00:172:16::/64"):
            lab.client.run(["ip", "route", "add", "unreachable", network], check=True)
        direct(lab)
        client, server = (End(host, family.of(host)) for host in (lab.client, lab.servers[0]))
        client.other, server.other = server, client
        yield Stage(family, family.vip, client, server)


def nat_lb(family: Family, supported: Sequence[Supported]) -> Direct:
    """Return what starts nat-lb with a service for each protocol."""
    services = [
        family.service(
            one.ours, one.port, [f'helpers = ["{one.ours}"]'], servers=f"1:{one.port}", protocol=one.protocol
        )
        for one in supported
        if family.version in one.versions
    ]

    def direct(lab: Lab) -> None:
        lab.start_director("\n".join(services))

    return direct


def kernel(family: Family, supported: Sequence[Supported]) -> Direct:
    """Return what makes the kernel the director: helpers by name, destination NAT in, source NAT out.

    It raises `NoKernelHelper` where the kernel cannot do that.
    """

    def direct(lab: Lab) -> None:
        program = "iptables" if family.version == 4 else "ip6tables"
        inside = "172.16.0.0/24" if family.version == 4 else "fd00:172:16::/64"
        real = family.of(lab.servers[0])
        rules = [["-t", "nat", "-A", "POSTROUTING", "-s", inside, "-o", "outside", "-j", "SNAT", "--to", family.vip]]
        for one in supported:
            arriving = ["PREROUTING", "-d", family.vip, "-p", one.protocol, "--dport", str(one.port)]
            if family.version in one.versions and family.version in one.kernel_versions:
                rules.append(["-t", "raw", "-A", *arriving, "-j", "CT", "--helper", one.kernel])
            rules.append(["-t", "nat", "-A", *arriving, "-j", "DNAT", "--to-destination", real])
        for rule in rules:
            done = lab.director.run([program, *rule])
            if done.returncode:
                raise NoKernelHelper(f"{program} {' '.join(rule)}: {done.stderr.strip()}")

    return direct
