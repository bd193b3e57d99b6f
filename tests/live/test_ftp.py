"""FTP through the director: real clients and servers in all four modes, and servers that reply awkwardly.

Two real servers have the same names with other contents, so a data connection that went to another server than its
control connection would show.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from nat_lb.testing.lab import Host, Lab, RunningDirector, wait_until
from nat_lb.testing.servers import Pyftpdlib, Vsftpd
from nat_lb.testing.servers.ftp import FtpServer
from tests.live.ground import IPV4, Family, both_families, curl, of_both, watched

HERE = Path(__file__).parent
PORTS = {"vsftpd": 21, "pyftpdlib": 2121, "tls": 2990}
SCRIPTS: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "pipelined": (2200, ("pipelined",)),
    "multiline": (2201, ("multiline",)),
    "split": (2202, ("split",)),
    "split-nagle": (2203, ("split", "nagle")),
    "drip": (2204, ("drip",)),
    "drip-nagle": (2205, ("drip", "nagle")),
    "vip": (2206, ("advertise", Lab.vip)),
    "foreign": (2207, ("advertise", "10.9.8.7")),
}
CURL_MODES: Mapping[str, tuple[str, ...]] = {
    "PASV": ("--ftp-pasv", "--disable-epsv"),
    "EPSV": ("--ftp-pasv",),
    "PORT": ("--ftp-port", "-", "--disable-eprt"),
    "EPRT": ("--ftp-port", "-"),
}

real_servers = pytest.mark.parametrize("server", ["vsftpd", "pyftpdlib"])
client_modes = pytest.mark.parametrize("mode", ["passive", "active"])


def files(family: Family) -> str:
    ports = [*PORTS.values(), *(script[0] for script in SCRIPTS.values())]
    lines = ['scheduler = "rr"', 'helpers = ["ftp"]']
    return "\n".join(family.service(f"ftp{port}-", port, lines, servers=f"1:{port} 2:{port}") for port in ports)


class Ground:
    """The lab with its servers: what each of the two has, and where."""

    def __init__(self, lab: Lab, roots: list[Path]) -> None:
        self.lab = lab
        self.roots = roots
        self.digests = {hashlib.sha256((root / "data.bin").read_bytes()).hexdigest() for root in roots}
        self.names = {(root / "who.txt").read_text() for root in roots}
        self.director: RunningDirector

    def session(self, family: Family, port: int, *arguments: str) -> Any:
        command: list[str | Path] = [sys.executable, HERE / "ftp_session.py", family.vip, str(port), *arguments]
        return json.loads(self.lab.client.run(command, check=True, timeout=120).stdout)

    def uploaded(self, name: str) -> list[bytes]:
        return [(root / name).read_bytes() for root in self.roots if (root / name).exists()]


@pytest.fixture(scope="module")
def ground(shared_lab: Lab) -> Iterator[Ground]:
    """All servers behind one director; every packet of the module is captured on all legs, and judged at its end."""
    with contextlib.ExitStack() as stack:
        roots = [fill(shared_lab.directory / f"files{number}", number) for number in (1, 2)]
        for host, root in zip(shared_lab.servers, roots, strict=True):
            for server in servers(host, root):
                stack.enter_context(server)
            for port, words in SCRIPTS.values():
                host.spawn([sys.executable, HERE / "scripted_ftp.py", str(port), host.name, *words])
                host.wait_listening(port)
        built = Ground(shared_lab, roots)
        built.director = shared_lab.start_director(of_both(files))
        with watched(shared_lab):
            yield built


def servers(host: Host, root: Path) -> list[FtpServer]:
    return [
        Vsftpd(host, PORTS["vsftpd"], root=root, writable=True),
        Pyftpdlib(host, PORTS["pyftpdlib"], root=root, writable=True, passive_ports=(51000, 51999)),
        Pyftpdlib(host, PORTS["tls"], root=root, tls=True, passive_ports=(52000, 52999)),
    ]


def fill(root: Path, number: int) -> Path:
    root.mkdir()
    (root / "data.bin").write_bytes(os.urandom(300_000 + number))
    (root / "who.txt").write_text(f"server{number}")
    return root


def curl_options(family: Family, mode: str) -> tuple[str, ...]:
    # Without the first, curl ignores the address in the 227 reply, and with it a wrong one.
    return ("--no-ftp-skip-pasv-ip", *CURL_MODES[mode], "--ftp-method", "nocwd")


@real_servers
@pytest.mark.parametrize(
    ("family", "mode"),
    [(family, mode) for family in (IPV4, Family(6)) for mode in CURL_MODES if family.version == 4 or mode[0] == "E"],
    ids=lambda value: value if isinstance(value, str) else f"ipv{value.version}",
)
def test_curl_lists_downloads_and_uploads(
    ground: Ground, server: str, family: Family, mode: str, tmp_path: Path
) -> None:
    options = curl_options(family, mode)
    url = family.url(scheme="ftp", port=PORTS[server])
    said = [curl(ground.lab.client, "-v", *options, f"{url}data.bin", "-o", tmp_path / str(n)) for n in range(2)]
    assert [done.returncode for done in said] == [0, 0], said
    assert {hashlib.sha256((tmp_path / str(n)).read_bytes()).hexdigest() for n in range(2)} == ground.digests
    assert all(f"> {mode}" in done.stderr for done in said)
    assert "who.txt" in curl(ground.lab.client, *options, "--list-only", url, check=True).stdout.split()
    name = f"curl-{server}-{mode}-{family.version}"
    (tmp_path / name).write_bytes(os.urandom(200_000))
    curl(ground.lab.client, *options, "-T", tmp_path / name, url, check=True)
    assert ground.uploaded(name) == [(tmp_path / name).read_bytes()]


@real_servers
@client_modes
@both_families
def test_lftp_lists_downloads_and_uploads(
    ground: Ground, server: str, mode: str, family: Family, tmp_path: Path
) -> None:
    name = f"lftp-{server}-{mode}-{family.version}"
    (tmp_path / name).write_bytes(os.urandom(200_000))
    script = [
        "set net:max-retries 1; set net:timeout 30; set ftp:fix-pasv-address no; set ftp:prefer-epsv no",
        f"set ftp:passive-mode {'yes' if mode == 'passive' else 'no'}",
        f"open -u anonymous,lftp {family.url(scheme='ftp', port=PORTS[server])}",
        f"cls -1; get data.bin -o {tmp_path / 'down'}; put {tmp_path / name}",
    ]
    home = os.environ | {"HOME": str(tmp_path)}
    done = ground.lab.client.run(["lftp", "-c", "; ".join(script)], env=home, check=True)
    assert "who.txt" in done.stdout.split()
    assert hashlib.sha256((tmp_path / "down").read_bytes()).hexdigest() in ground.digests
    assert ground.uploaded(name) == [(tmp_path / name).read_bytes()]


@real_servers
@client_modes
@both_families
def test_data_comes_from_the_server_of_the_control_connection(
    ground: Ground, server: str, mode: str, family: Family
) -> None:
    sizes = {(root / "data.bin").stat().st_size: root for root in ground.roots}
    names = [f"ftplib-{server}-{mode}-{family.version}-{number}" for number in range(2)]
    tours = [ground.session(family, PORTS[server], "tour", mode, name) for name in names]
    assert {tour["size"] for tour in tours} == set(sizes)  # asked for on the control connection
    for tour, name in zip(tours, names, strict=True):
        root = sizes[tour["size"]]
        assert tour["digests"] == [hashlib.sha256((root / "data.bin").read_bytes()).hexdigest()]
        assert {"who.txt", "data.bin"} <= set(tour["names"])
        assert tour["upload"]
        assert (root / name).exists()


@real_servers
def test_227_reply_names_the_vip(ground: Ground, server: str) -> None:
    assert f"({Lab.vip.replace('.', ',')}," in ground.session(IPV4, PORTS[server], "passive_text")


@real_servers
@both_families
def test_fifty_passive_transfers_in_one_session_and_commands_after(ground: Ground, server: str, family: Family) -> None:
    done = ground.session(family, PORTS[server], "many", "50")
    assert done["contents"] in (["server1"], ["server2"])
    assert done["pwd"].startswith("/")
    assert done["noop"].startswith("200")


@both_families
def test_reply_behind_another_reply_in_one_segment_is_rewritten(ground: Ground, family: Family) -> None:
    done = ground.session(family, SCRIPTS["pipelined"][0], "pipelined")
    assert done[:3] == ["200", "150", "226"]
    assert done[3] in ground.names


@both_families
@pytest.mark.parametrize("script", ["multiline", "drip", "drip-nagle"])
def test_awkward_reply_is_rewritten(ground: Ground, script: str, family: Family) -> None:
    done = ground.session(family, SCRIPTS[script][0], "many", "6")
    assert done["contents"] in (["server1"], ["server2"])


@both_families
@pytest.mark.parametrize("script", ["split", "split-nagle"])
def test_reply_split_at_any_octet_is_rewritten(ground: Ground, script: str, family: Family) -> None:
    def nine(first: int) -> Any:
        return ground.session(family, SCRIPTS[script][0], "many", "9", str(first))["contents"]

    with ThreadPoolExecutor(6) as pool:
        contents = list(pool.map(nine, range(0, 54, 9)))  # no reply is longer
    assert [one in (["server1"], ["server2"]) for one in contents] == [True] * 6


def test_server_that_names_the_vip_itself_is_reached(ground: Ground) -> None:
    assert ground.session(IPV4, SCRIPTS["vip"][0], "many", "3")["contents"] in (["server1"], ["server2"])


@both_families
def test_active_command_split_at_any_octet_is_understood(ground: Ground, family: Family) -> None:
    done = ground.session(family, PORTS["pyftpdlib"], "chopped")
    assert done["contents"] in (["server1"], ["server2"])
    assert done["cuts"] > 20


def test_foreign_address_in_a_reply_is_not_followed(ground: Ground) -> None:
    text = ground.session(IPV4, SCRIPTS["foreign"][0], "passive_text")
    assert "(10,9,8,7," in text
    wait_until(lambda: "227 names 10.9.8.7:" in ground.director.log())


@real_servers
@pytest.mark.parametrize("command", ["PORT 10,9,8,7,100,1", "EPRT |1|10.9.8.7|25601|"])
def test_bounce_attempt_is_refused_and_logged(ground: Ground, server: str, command: str) -> None:
    [reply] = ground.session(IPV4, PORTS[server], "say", command)
    assert reply.startswith("5"), "the real server refuses it as well"
    wanted = f"ftp: ftp{PORTS[server]}-4 {ground.lab.client.v4}:"
    problem = f"{command[:4]} names 10.9.8.7:25601 but the client is {ground.lab.client.v4} (bounce attempt)"
    wait_until(lambda: any(wanted in line and problem in line for line in ground.director.log().splitlines()))


def test_privileged_port_of_the_client_is_refused_and_logged(ground: Ground) -> None:
    numbers = ground.lab.client.v4.replace(".", ",")
    ground.session(IPV4, PORTS["vsftpd"], "say", f"PORT {numbers},0,80")
    wait_until(lambda: "PORT names port 80, below 1024" in ground.director.log())


@both_families
def test_session_under_tls_goes_on_unread(ground: Ground, family: Family) -> None:
    url = family.url("/data.bin", scheme="ftp", port=PORTS["tls"])
    done = curl(ground.lab.client, "-v", "-k", "--ssl-reqd", "--head", url, check=True)
    assert "SSL connection using" in done.stderr
    assert done.stdout.startswith("Last-Modified:")
    assert "Content-Length: 30000" in done.stdout
