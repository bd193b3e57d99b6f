"""Whole connections through the director, against the kernel's own DNAT and against HAProxy in TCP mode.

The law: each of the three has a lab of its own, of the same make, so that no rule or connection tracking of one slows
another; they are loaded in turns, by the same program, with the same real server.

Client, director and real server share the machine's processors.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator

from nat_lb.testing.lab import Lab, LabError
from nat_lb.testing.servers import Nginx
from tests.bench.sample import Row, Scale, take

SECTION = "End to end"
_OURS, _KERNEL, _PROXY = "nat-lb", "kernel DNAT", "HAProxy"
_CONNECTIONS = 32
_UNITS = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9}
_TOML = f"""
[[service]]
protocol = "tcp"
address = "{Lab.vip}"
port = 80
scheduler = "rr"
  [[service.real_server]]
  address = "172.16.0.2"
"""
_HAPROXY = f"""
global
  maxconn 4096
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen web
  bind {Lab.vip}:80
  server one 172.16.0.2:80
"""


def measure(scale: Scale) -> list[Row]:
    """Return the rows; needs root, nginx, haproxy and wrk."""
    with contextlib.ExitStack() as stack:
        labs = {name: stack.enter_context(route(scale)) for name, route in _ROUTES.items()}
        rows = []
        for what, unit, load in (
            ("new connections, one request each", "connections/s", _new_connections),
            ("requests on kept connections", "requests/s", _requests),
            ("requests on one kept connection, one at a time", "requests/s", _one_by_one),
            (f"files of {scale.bulk_megabytes} MB", "octets/s", _bulk),
        ):
            samples = take({name: _loader(load, lab, scale.seconds) for name, lab in labs.items()}, scale.turns)
            rows += [samples.row(SECTION, what, unit, _OURS, base) for base in (_KERNEL, _PROXY)]
        return rows


@contextlib.contextmanager
def _lab(scale: Scale) -> Iterator[Lab]:
    with Lab(servers=1) as lab:
        for host in (lab.client, *lab.servers):  # as hosts are: the lab turns offloading off, for captures to be judged
            host.run(["ethtool", "--offload", host.device, "tx", "on"], check=True)
        lab.client.run(["sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65535"], check=True)
        with Nginx(lab.servers[0]) as nginx:
            (nginx.root / "bulk").write_bytes(b"x" * (scale.bulk_megabytes << 20))
            yield lab


@contextlib.contextmanager
def _kernel(scale: Scale) -> Iterator[Lab]:
    with _lab(scale) as lab:
        rule = f"-t nat -A PREROUTING -d {lab.vip} -p tcp --dport 80 -j DNAT --to-destination {lab.servers[0].v4}"
        lab.director.run(["iptables", *rule.split()], check=True)
        yield lab


@contextlib.contextmanager
def _proxy(scale: Scale) -> Iterator[Lab]:
    with _lab(scale) as lab:
        file = lab.directory / "haproxy.cfg"
        file.write_text(_HAPROXY)
        lab.director.spawn(["haproxy", "-db", "-f", file])
        lab.director.wait_listening(80)
        yield lab


@contextlib.contextmanager
def _ours(scale: Scale) -> Iterator[Lab]:
    with _lab(scale) as lab:
        lab.start_director(_TOML)
        yield lab


_ROUTES = {_OURS: _ours, _KERNEL: _kernel, _PROXY: _proxy}


def _loader(load: Callable[[Lab, int], float], lab: Lab, seconds: int) -> Callable[[], float]:
    return lambda: load(lab, seconds)


def _new_connections(lab: Lab, seconds: int) -> float:
    return _wrk(lab, seconds, "Requests/sec", "/", _CONNECTIONS, "Connection: close")


def _requests(lab: Lab, seconds: int) -> float:
    return _wrk(lab, seconds, "Requests/sec", "/", _CONNECTIONS)


def _one_by_one(lab: Lab, seconds: int) -> float:
    return _wrk(lab, seconds, "Requests/sec", "/", 1)


def _bulk(lab: Lab, seconds: int) -> float:
    return _wrk(lab, seconds, "Transfer/sec", "/bulk", 4)


def _wrk(lab: Lab, seconds: int, figure: str, path: str, connections: int, *headers: str) -> float:
    """Load the VIP and return one of wrk's figures; raises LabError if any answer was not the server's."""
    options = [
        "-t",
        "1",
        "-c",
        str(connections),
        "-d",
        str(seconds),
        *(part for text in headers for part in ("-H", text)),
    ]
    said = lab.client.run(["wrk", *options, f"http://{lab.vip}{path}"], check=True).stdout
    found = re.search(rf"{figure}:\s+([\d.]+)([KMG]?)", said)
    if found is None or "Non-2xx" in said or not float(found[1]):
        raise LabError(f"bench: wrk said: {said}")
    return float(found[1]) * _UNITS[found[2]]
