"""Whole connections through the director: nat-lb's slow path and fast path, the kernel's DNAT, and proxies.

The law: each way has a lab of its own, of the same make, so that no rule or connection tracking of one slows another;
they are loaded in turns, by the same program, with the same real server.

Client, director and real server share the machine's processors.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from nat_lb.testing.lab import Lab, LabError
from nat_lb.testing.servers import Nginx
from tests.bench.bed import KERNEL, PLAIN, SLOW, TC, XDP
from tests.bench.processor import Meter
from tests.bench.sample import Row, Samples, Scale, take

SECTION = "End to end"
HAPROXY, NGINX = "HAProxy", "nginx stream"
OPENED, KEPT, ALONE, BULK = (
    "new connections, one request each",
    "requests on kept connections",
    "requests on one kept connection, one at a time",
    "files of {} MB",
)
_AIMS = {(KEPT, KERNEL): ">= 1", (BULK, KERNEL): ">= 1", (KEPT, HAPROXY): ">= 2", (BULK, HAPROXY): ">= 2"}
_CONNECTIONS = 32
_UNITS = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
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


_STREAM = f"""
load_module modules/ngx_stream_module.so;
daemon off;
master_process off;
user root root;
pid {{directory}}/stream.pid;
error_log stderr;
events {{{{ worker_connections 4096; }}}}
stream {{{{
  server {{{{ listen {Lab.vip}:80 backlog=4096; proxy_pass 172.16.0.2:80; }}}}
}}}}
"""


class Figures(NamedTuple):
    """What wrk measured: requests and octets a second, and the time of the median request and of the slowest 1 %."""

    requests: float
    octets: float
    p50: float
    p99: float


def measure(scale: Scale) -> list[Row]:
    """Return the rows; needs root, nginx with its stream module, haproxy and wrk."""
    with contextlib.ExitStack() as stack:
        labs = {name: stack.enter_context(route(scale)) for name, route in _ROUTES.items()}
        rows: list[Row] = []
        for what, unit, load in (
            (OPENED, "connections/s", _new_connections),
            (KEPT, "requests/s", _requests),
            (ALONE, "requests/s", _one_by_one),
            (BULK, "octets/s", _bulk),
        ):
            loads = {name: _Load(load, *lab, scale.seconds) for name, lab in labs.items()}
            samples = take(loads, scale.loads)
            rows += _rows(what, unit, samples, scale)
            rows += _latencies(loads) if load is _one_by_one else _processor(loads, what.format(scale.bulk_megabytes))
        return rows


def _rows(what: str, unit: str, samples: Samples, scale: Scale) -> Iterator[Row]:
    section = f"{SECTION}: {what.format(scale.bulk_megabytes)}"
    for name in _ROUTES:
        if name != KERNEL:
            aim = _AIMS.get((what, KERNEL), "") if name == TC else ""
            yield samples.row(section, name, unit, name, KERNEL, aim)
    yield samples.row(section, TC, unit, TC, HAPROXY, _AIMS.get((what, HAPROXY), ""))


class _Load:
    """One way under one load; keeps what else was measured of every sample but the first, which warms up."""

    def __init__(self, load: Callable[[str, Lab, int], tuple[float, Figures]], lab: Lab, at: str, seconds: int) -> None:
        self._load, self._lab, self._at, self._seconds = load, lab, at, seconds
        self._measured: list[tuple[Figures, float]] = []

    def __call__(self) -> float:
        with Meter(self._lab.hosts) as meter:
            value, figures = self._load(self._at, self._lab, self._seconds)
        self._measured.append((figures, meter.seconds / (value * self._seconds)))
        return value

    def latency(self, of: Callable[[Figures], float]) -> list[float]:
        """Return one of the latencies of each turn, seconds."""
        return [of(figures) for figures, _ in self._measured[1:]]

    def processor(self) -> list[float]:
        """Return the processor time for a request, or for an octet, of each turn, seconds."""
        return [each for _, each in self._measured[1:]]


def _latencies(loads: dict[str, _Load]) -> Iterator[Row]:
    """Return what each way adds to a request's time, against plain forwarding."""
    for what, of in (("median", lambda figures: figures.p50), ("slowest 1 %", lambda figures: figures.p99)):
        samples = Samples({name: load.latency(of) for name, load in loads.items()})
        yield from _added(f"{SECTION}: latency added to a request, {what}", samples, KERNEL)


def _processor(loads: dict[str, _Load], what: str) -> Iterator[Row]:
    """Return the processor time that each way adds, of all programs together, against plain forwarding."""
    samples = Samples({name: load.processor() for name, load in loads.items()})
    each = "MB" if "MB" in what else "request"
    yield from _added(
        f"{SECTION}: processor time added to a {each}, {what}", samples, HAPROXY, 1 << 20 if each == "MB" else 1
    )


def _added(section: str, samples: Samples, against: str, times: int = 1) -> Iterator[Row]:
    base = samples.difference(against, PLAIN) * 1e6 * times
    for name in _ROUTES:
        if name not in (against, PLAIN):
            yield Row(section, name, samples.difference(name, PLAIN) * 1e6 * times, "µs", against, base)


@contextlib.contextmanager
def _lab(scale: Scale, *, offload: bool = True) -> Iterator[Lab]:
    with Lab(servers=1) as lab:
        if offload:  # as on hosts: the lab turns it off, for captures to be judged
            for host in lab.hosts:
                for device in ("outside", "inside") if host is lab.director else (host.device,):
                    host.run(["ethtool", "--offload", device, "tx", "on"], check=True)
        lab.client.run(["sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65535"], check=True)
        with Nginx(lab.servers[0]) as nginx:
            (nginx.root / "bulk").write_bytes(b"x" * (scale.bulk_megabytes << 20))
            yield lab


Way = tuple[Lab, str]  # a lab, and the address that clients connect to


@contextlib.contextmanager
def _plain(scale: Scale) -> Iterator[Way]:
    with _lab(scale) as lab:
        yield lab, lab.servers[0].v4


@contextlib.contextmanager
def _kernel(scale: Scale) -> Iterator[Way]:
    with _lab(scale) as lab:
        rule = f"-t nat -A PREROUTING -d {lab.vip} -p tcp --dport 80 -j DNAT --to-destination {lab.servers[0].v4}"
        lab.director.run(["iptables", *rule.split()], check=True)
        yield lab, lab.vip


@contextlib.contextmanager
def _haproxy(scale: Scale) -> Iterator[Way]:
    with _lab(scale) as lab:
        file = lab.directory / "haproxy.cfg"
        file.write_text(_HAPROXY)
        lab.director.spawn(["haproxy", "-db", "-f", file])
        lab.director.wait_listening(80)
        yield lab, lab.vip


@contextlib.contextmanager
def _nginx(scale: Scale) -> Iterator[Way]:
    with _lab(scale) as lab:
        file = lab.directory / "stream.conf"
        file.write_text(_STREAM.format(directory=lab.directory))
        lab.director.spawn(["nginx", "-e", "stderr", "-p", "/usr/share/nginx", "-c", file])
        lab.director.wait_listening(80)
        yield lab, lab.vip


@contextlib.contextmanager
def _slow(scale: Scale) -> Iterator[Way]:
    with _lab(scale) as lab:
        lab.start_director(f'[director]\ndatapath = "nfqueue"\n{_TOML}')
        yield lab, lab.vip


@contextlib.contextmanager
def _tc(scale: Scale) -> Iterator[Way]:
    with _lab(scale) as lab:
        lab.start_director(f'[director]\ndatapath = "ebpf"\n{_TOML}')
        yield lab, lab.vip


@contextlib.contextmanager
def _xdp(scale: Scale) -> Iterator[Way]:
    """XDP on a cable of this kind takes finished checksums only, and gives frames only to who takes them one by one."""
    with _lab(scale, offload=False) as lab:
        lab.start_director(f'[director]\ndatapath = "ebpf"\nxdp = ["outside", "inside"]\n{_TOML}')
        for device in ("outside", "inside"):
            lab.director.run(["ethtool", "--offload", device, "gro", "on"], check=True)
            port = ["ethtool", "--offload", f"{device}-director"[:15], "gro", "on"]
            lab.client.run(["nsenter", f"--net=/run/netns/{lab.name}-switch", "--", *port], check=True)
        yield lab, lab.vip


_ROUTES = {
    PLAIN: _plain, KERNEL: _kernel, HAPROXY: _haproxy, NGINX: _nginx, SLOW: _slow, TC: _tc, XDP: _xdp,
}  # fmt: skip


def _new_connections(at: str, lab: Lab, seconds: int) -> tuple[float, Figures]:
    figures = _wrk(lab, seconds, f"{at}/", _CONNECTIONS, "-H", "Connection: close")
    return figures.requests, figures


def _requests(at: str, lab: Lab, seconds: int) -> tuple[float, Figures]:
    figures = _wrk(lab, seconds, f"{at}/", _CONNECTIONS)
    return figures.requests, figures


def _one_by_one(at: str, lab: Lab, seconds: int) -> tuple[float, Figures]:
    figures = _wrk(lab, seconds, f"{at}/", 1)
    return figures.requests, figures


def _bulk(at: str, lab: Lab, seconds: int) -> tuple[float, Figures]:
    figures = _wrk(lab, seconds, f"{at}/bulk", 4)
    return figures.octets, figures


def _wrk(lab: Lab, seconds: int, path: str, connections: int, *more: str) -> Figures:
    """Load the VIP and return wrk's figures; raises LabError if any answer was not the server's."""
    options = ["-t", "1", "-c", str(connections), "-d", str(seconds), "--latency", *more]
    said = lab.client.run(["wrk", *options, f"http://{path}"], check=True).stdout
    try:
        figures = Figures(*(_figure(said, words) for words in ("Requests/sec:", "Transfer/sec:", "50%", "99%")))
    except LookupError:
        figures = Figures(0, 0, 0, 0)
    if not figures.octets or "Non-2xx" in said or "Socket errors" in said:
        raise LabError(f"bench: wrk said: {said}")
    return figures


def _figure(said: str, words: str) -> float:
    """Return one of wrk's figures, in octets or seconds if it has a unit."""
    found = re.search(rf"{words}\s+([\d.]+)([a-zA-Z]*)", said)
    if found is None:
        raise LookupError(words)
    return float(found[1]) * _UNITS[found[2].removesuffix("B")]
