"""What the live tests share: the two families, configurations, and captures that are judged.

The law: every packet that `watched` sees at the client and at the real servers has right checksums, and none at the
client shows anything of the inside.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nat_lb.testing.lab import Host, Lab, RunningDirector, capture, check_with_tshark, wait_until
from nat_lb.testing.servers import Nginx

PROBE = Path(__file__).with_name("probe.py")
TALKER = Path(__file__).with_name("talker.py")
CURL = ("curl", "-sS", "--max-time", "45")

# tshark's ip.addr also finds the packets that ICMP errors quote.
INSIDE = 'ip.addr == 172.16.0.0/24 || ipv6.addr == fd00:172:16::/64 || tcp contains "172,16,0,"'
NOT_A_NEIGHBOUR = "ip || (ipv6 && !(icmpv6.type >= 130 && icmpv6.type <= 137) && !(icmpv6.type == 143))"


@dataclass(frozen=True)
class Family:
    """IPv4 or IPv6: the same names for what differs."""

    version: int

    @property
    def vip(self) -> str:
        return Lab.vip if self.version == 4 else Lab.vip6

    def of(self, host: Host) -> str:
        return host.v4 if self.version == 4 else host.v6

    def bracketed(self, address: str) -> str:
        return address if self.version == 4 else f"[{address}]"

    def at(self, address: str, port: int) -> str:
        """Write an endpoint as the configuration and `nat_lb.testing.packets` do."""
        return f"{self.bracketed(address)}:{port}"

    def url(self, path: str = "/", *, port: int = 80, scheme: str = "http", address: str = "") -> str:
        return f"{scheme}://{self.bracketed(address or self.vip)}:{port}{path}"

    def service(self, name: str, port: int, lines: Sequence[str] = (), *, servers: str, protocol: str = "tcp") -> str:
        """Return a virtual service; `servers` such as "1:80*1 2:8000*2" is number, port and weight of each."""
        keys = [f'name = "{name}{self.version}"', f'protocol = "{protocol}"', f'address = "{self.vip}"']
        keys += [f"port = {port}", *lines]
        return "\n".join(["[[service]]", *keys, *map(self._server, servers.split()), ""])

    def _server(self, text: str) -> str:
        endpoint, _, weight = text.partition("*")
        number, _, port = endpoint.partition(":")
        host = int(number) + 1
        address = f"172.16.0.{host}" if self.version == 4 else f"fd00:172:16::{host:x}"
        return f'[[service.real_server]]\naddress = "{address}"\nport = {port}\nweight = {weight or 1}'


IPV4, IPV6 = Family(4), Family(6)
both_families = pytest.mark.parametrize("family", [IPV4, IPV6], ids=["ipv4", "ipv6"])


def of_both(service: Callable[[Family], str]) -> str:
    """Return the services of both families."""
    return "\n".join([service(IPV4), service(IPV6)])


class Site(Nginx):
    """An nginx that also takes files by PUT, of up to 20 MB."""

    def command(self) -> list[str | Path]:
        line = super().command()
        configuration = self.directory / "nginx.conf"
        text = configuration.read_text()
        configuration.write_text(text.replace("sendfile on;", "client_max_body_size 20m; dav_methods PUT;"))
        return line


@dataclass(frozen=True)
class Legs:
    """Captures: at the client and at each real server."""

    client: Path
    servers: tuple[Path, ...]


@contextlib.contextmanager
def watched(lab: Lab) -> Iterator[Legs]:
    """Capture at the client and at every real server, and judge what was captured at the end of the block."""
    with contextlib.ExitStack() as stack:
        paths = [stack.enter_context(capture(host)) for host in (lab.client, *lab.servers)]
        yield Legs(paths[0], tuple(paths[1:]))
    together = joined(paths)
    problems = {"a bad checksum": check_with_tshark(together), "inside shown": select(paths[0], INSIDE)}
    if any(problems.values()):
        pytest.fail(f"captured: { {what: lines[:20] for what, lines in problems.items()} }")


def joined(paths: Sequence[Path]) -> Path:
    """Return one file with all packets of some captures: starting tshark costs more than reading them."""
    header = 24  # octets of a pcap file's own
    result = paths[0].with_stem(f"{paths[0].stem}-joined")
    result.write_bytes(paths[0].read_bytes() + b"".join(path.read_bytes()[header:] for path in paths[1:]))
    return result


def select(pcap: Path, expression: str, *fields: str) -> list[str]:
    """Return what tshark selects from a capture: the fields of each packet, or its summary."""
    columns = [word for field in fields for word in ("-e", field)]
    kind = ["-T", "fields", *columns] if fields else []
    command = ["tshark", "-n", "-r", str(pcap), "-o", "tcp.desegment_tcp_streams:FALSE", "-Y", expression, *kind]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout.splitlines()


def addresses(pcap: Path, family: Family) -> set[str]:
    """Return every address that a capture's packets of one family come from or go to; neighbour discovery apart."""
    kind = "ip" if family.version == 4 else "ipv6"
    lines = select(pcap, f"{kind} && ({NOT_A_NEIGHBOUR})", f"{kind}.src", f"{kind}.dst")
    return {address for line in lines for address in line.replace("\t", ",").split(",")}


def curl(host: Host, *arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run curl to its end."""
    return host.run([*CURL, *arguments], **options)


def fetch(lab: Lab, family: Family, *arguments: str, port: int = 80, path: str = "/") -> str:
    """Return what a GET of the VIP gets; fails if it gets nothing."""
    return curl(lab.client, *arguments, family.url(path, port=port), check=True).stdout


def bench(host: Host, url: str, requests: int, at_once: int) -> dict[str, str]:
    """Run ab and return its report by label."""
    return report(host.run(["ab", "-q", "-n", str(requests), "-c", str(at_once), url], check=True, timeout=120).stdout)


def counter(host: Host, name: str) -> int:
    """Return one of the kernel's counters, as nstat names them."""
    found = re.search(rf"^{name}\s+(\d+)", host.run(["nstat", "-asz", name], check=True).stdout, re.MULTILINE)
    assert found, name
    return int(found[1])


@contextlib.contextmanager
def no_syn_sent_again(host: Host) -> Iterator[None]:
    """Fail if a connection of `host` had to ask twice: the measure of "at once", however slow the machine is."""
    before = counter(host, "TcpExtTCPSynRetrans")
    yield
    assert counter(host, "TcpExtTCPSynRetrans") == before


def report(text: str) -> dict[str, str]:
    """Return the `label: value` lines of a program's output."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {label.strip(): value.strip() for label, _, value in pairs}


def probe(
    host: Host, packets: Sequence[bytes], *, count: int = 1, seconds: float = 15.0, longest: int = 65535
) -> list[bytes]:
    """Send whole IP packets from a host and return up to `count` that come in within `seconds`, none above `longest`.

    Their ports are below 32768: what comes in for other ports is another program's. To see that nothing comes, ask for
    one more packet than there may be, for a short time.
    """
    lines = "".join(f"{packet.hex()}\n" for packet in packets)
    done = host.run(
        [sys.executable, PROBE, host.device, str(count), str(seconds), str(longest)], input=lines, check=True
    )
    return [bytes.fromhex(line) for line in done.stdout.splitlines()]


def reload(director: RunningDirector, text: str | None = None) -> str:
    """Reload and wait for the end of it; returns the log line that says how it went."""

    def ends() -> list[str]:
        return [line for line in director.log().splitlines() if line.endswith("reloaded") or "reload failed" in line]

    before = len(ends())
    director.reload(text)
    wait_until(lambda: len(ends()) > before, what="the end of a reload")
    return ends()[-1]


def told(director: RunningDirector, *arguments: str) -> Any:
    """Return what a command of the operator's says as JSON; it is run outside of every namespace of the lab."""
    command = [sys.executable, "-m", "nat_lb", *arguments, "--json", "--config", str(director.config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def related(director: RunningDirector, service: str, protocol: str) -> list[dict[str, Any]]:
    """Return the listed connections of a protocol that a service's connections have announced."""
    listed = told(director, "connections", "--service", service)
    return [entry for entry in listed if "announced_by" in entry and entry["protocol"] == protocol]


def counted(director: RunningDirector, helper: str) -> dict[str, Any]:
    """Return what a helper has done so far."""
    nothing = {"rewritten": 0, "expected": 0, "met": 0, "refused": {}}
    return next((one for one in told(director, "status")["helpers"] if one["helper"] == helper), nothing)


class Talk:
    """A client with one connection that stays open: each `ask` is a request on it and returns the answer's text."""

    def __init__(self, host: Host, address: str, port: int) -> None:
        command: list[str | Path] = [sys.executable, TALKER, address, str(port)]
        self.host = host
        self.child = host.spawn(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1)

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_: object) -> None:
        self.host.stop(self.child)

    def ask(self) -> str:
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write("\n")
        return self.child.stdout.readline().strip()
