"""FTP through the director: real clients and servers in all four modes, and servers that reply awkwardly.

Two real servers have the same names with other contents, so a data connection that went to another server than its
control connection would show.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from nat_lb.testing.lab import Host, Lab, RunningDirector, wait_until
from nat_lb.testing.servers import Proftpd, PureFtpd, Pyftpdlib, Vsftpd
from nat_lb.testing.servers.ftp import FtpServer
from tests.live.ftp_clients import CLIENTS, FILE, TLS_CLIENTS, WHO, Client, Errand, cases
from tests.live.ground import IPV4, IPV6, Family, both_families, counted, curl, of_both, related, told, watched

HERE = Path(__file__).parent
UNPACKED = HERE.parents[1] / "build" / "peers"  # by scripts/unpack-packages
ONLY_ROOT = Path("/proc/self/uid_map").read_text().split()[2] == "1"  # in a user namespace of one user
SERVERS = {"vsftpd": 21, "pyftpdlib": 2121, "proftpd": 2122} | ({} if ONLY_ROOT else {"pure-ftpd": 2123})
TLS = {"explicit": 2990, "implicit": 990}
TLS_RANGES = {"explicit": ("52000-52099", "52100-52199"), "implicit": ("52200-52299", "52300-52399")}
TLS_WITHOUT_RANGES = 2991
FOREIGN_CLIENTS = 2992
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

real_servers = pytest.mark.parametrize("server", ["vsftpd", "pyftpdlib"])


def files(family: Family) -> str:
    services = [service(family, port) for port in (*SERVERS.values(), *(script[0] for script in SCRIPTS.values()))]
    services.append(service(family, TLS_WITHOUT_RANGES, at=TLS["explicit"]))
    allowed = "helper_options.ftp.foreign_clients = true"
    services.append(service(family, FOREIGN_CLIENTS, allowed, at=SCRIPTS["pipelined"][0]))
    for kind, ranges in TLS_RANGES.items():
        addresses = ["172.16.0.2", "172.16.0.3"] if family.version == 4 else ["fd00:172:16::2", "fd00:172:16::3"]
        table = [f'"{address}" = "{ports}"' for address, ports in zip(addresses, ranges, strict=True)]
        services.append(service(family, TLS[kind], "[service.helper_options.ftp.passive_ports]", *table))
    return "\n".join(services)


def service(family: Family, port: int, *lines: str, at: int = 0) -> str:
    common = ['scheduler = "rr"', 'helpers = ["ftp"]']
    return family.service(f"ftp{port}-", port, [*common, *lines], servers=f"1:{at or port} 2:{at or port}")


class Ground:
    """The lab with its servers: what each of the two has, and where."""

    def __init__(self, lab: Lab, roots: list[Path]) -> None:
        self.lab = lab
        self.roots = roots
        self.names = {(root / WHO).read_text() for root in roots}
        self.director: RunningDirector

    def session(self, family: Family, port: int, *arguments: str) -> Any:
        command: list[str | Path] = [sys.executable, HERE / "ftp_session.py", family.vip, str(port), *arguments]
        return json.loads(self.lab.client.run(command, check=True, timeout=120).stdout)

    def run(self, client: Client, errand: Errand) -> str:
        """Send a client on its errand; returns the real server that served it, if all went well."""
        errand.folder.mkdir()
        (errand.folder / errand.upload).write_bytes(os.urandom(70_000))
        said = client(errand)
        assert f"> {errand.mode}" in said, f"{errand.mode} was not said: {said}"
        assert WHO in [line.rpartition("/")[2] for line in errand.listing.read_text().split()]
        [root] = [root for root in self.roots if (root / errand.upload).exists()]
        assert (root / errand.upload).read_bytes() == (errand.folder / errand.upload).read_bytes()
        assert (root / FILE).read_bytes() == errand.fetched.read_bytes(), "data came from another real server"
        return (root / WHO).read_text()


@pytest.fixture(scope="module")
def ground(shared_lab: Lab) -> Iterator[Ground]:
    """All servers behind one director; every packet of the module is captured on all legs, and judged at its end."""
    assert UNPACKED.is_dir(), "two FTP servers are missing: make ftp-servers"
    with contextlib.ExitStack() as stack:
        roots = [fill(shared_lab.directory / f"files{number}", number) for number in (1, 2)]
        for number, (host, root) in enumerate(zip(shared_lab.servers, roots, strict=True)):
            for server in servers(host, root, number):
                stack.enter_context(server)
            for port, words in SCRIPTS.values():
                host.spawn([sys.executable, HERE / "scripted_ftp.py", str(port), host.name, *words])
                host.wait_listening(port)
        built = Ground(shared_lab, roots)
        built.director = shared_lab.start_director(of_both(files))
        with watched(shared_lab):
            yield built


def servers(host: Host, root: Path, number: int) -> list[FtpServer]:
    at = SERVERS
    pro = UNPACKED / "proftpd-core/usr/sbin/proftpd"
    explicit, implicit = ((int(ports[:5]), int(ports[6:])) for ports in (one[number] for one in TLS_RANGES.values()))
    vsftpd = Vsftpd(host, at["vsftpd"], root=root, writable=True)
    vsftpd.from_port_20 = ONLY_ROOT  # else Pure-FTPd's active connections do, and one program at a time can
    found: list[FtpServer] = [
        vsftpd,
        Pyftpdlib(host, at["pyftpdlib"], root=root, writable=True, passive_ports=(51000, 51999)),
        Proftpd(host, at["proftpd"], root=root, writable=True, passive_ports=(53000, 53999), program=pro),
        Pyftpdlib(
            host, TLS["explicit"], root=root, writable=True, passive_ports=explicit, advertised=Lab.vip, tls=True
        ),
        ImplicitTls(host, TLS["implicit"], root=root, writable=True, passive_ports=implicit),
    ]
    if ONLY_ROOT:
        warnings.warn("Pure-FTPd is not tested: it changes its user, and here is none but root", stacklevel=1)
    else:
        pure = UNPACKED / "pure-ftpd/usr/sbin/pure-ftpd"
        ports = (54000, 54999)
        found.append(PureFtpd(host, at["pure-ftpd"], root=root, writable=True, passive_ports=ports, program=pure))
    return found


class ImplicitTls(Vsftpd):
    implicit_tls = True


def fill(root: Path, number: int) -> Path:
    root.mkdir()
    (root / FILE).write_bytes(os.urandom(90_000 + number))
    (root / WHO).write_text(f"server{number}")
    return root


@pytest.mark.parametrize(
    ("client", "family", "mode"),
    list(cases()),
    ids=lambda value: f"ipv{value.version}" if isinstance(value, Family) else value,
)
def test_client_lists_downloads_and_uploads_at_every_server(
    ground: Ground, client: str, family: Family, mode: str, tmp_path: Path
) -> None:
    def twice(server: str) -> list[str]:
        names = [f"{client}-{server}-{mode}-{family.version}-{number}" for number in range(2)]
        return sorted(ground.run(CLIENTS[client], errand(name, server)) for name in names)

    def errand(name: str, server: str) -> Errand:
        return Errand(ground.lab.client, family, SERVERS[server], mode, tmp_path / name, name)

    with ThreadPoolExecutor(len(SERVERS)) as pool:
        served = dict(zip(SERVERS, pool.map(twice, SERVERS), strict=True))
    assert served == {server: ["server1", "server2"] for server in SERVERS}


@real_servers
def test_227_reply_names_the_vip(ground: Ground, server: str) -> None:
    assert f"({Lab.vip.replace('.', ',')}," in ground.session(IPV4, SERVERS[server], "passive_text")


@real_servers
@both_families
def test_fifty_passive_transfers_in_one_session_and_commands_after(ground: Ground, server: str, family: Family) -> None:
    done = ground.session(family, SERVERS[server], "many", "50")
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
    done = ground.session(family, SERVERS["pyftpdlib"], "chopped")
    assert done["contents"] in (["server1"], ["server2"])
    assert done["cuts"] > 20


@both_families
def test_data_connection_is_listed_with_the_session_that_announced_it(ground: Ground, family: Family) -> None:
    before = counted(ground.director, "ftp")
    name = f"ftp{SERVERS['vsftpd']}-{family.version}"
    slowly = ["curl", "-sS", "--limit-rate", "30k", family.url(f"/{FILE}", scheme="ftp", port=SERVERS["vsftpd"])]
    child = ground.lab.client.spawn(slowly, stdout=subprocess.DEVNULL)
    wait_until(lambda: related(ground.director, name, "tcp") != [], what="the data connection in the list")
    [data] = related(ground.director, name, "tcp")[-1:]
    [session] = [entry for entry in told(ground.director, "connections", "--service", name)
                 if {key: entry[key] for key in ("client", "virtual")} == data["announced_by"]]  # fmt: skip
    assert data["real"].rpartition(":")[0] == session["real"].rpartition(":")[0]
    assert data["virtual"].rpartition(":")[0] == family.bracketed(family.vip)
    ground.lab.client.stop(child)
    after = counted(ground.director, "ftp")
    assert [after[what] > before[what] for what in ("expected", "met")] == [True, True]


def test_foreign_address_in_a_reply_is_not_followed(ground: Ground) -> None:
    text = ground.session(IPV4, SCRIPTS["foreign"][0], "passive_text")
    assert "(10,9,8,7," in text
    wait_until(lambda: "227 names 10.9.8.7:" in ground.director.log())


def test_data_connection_from_another_address_is_let_in_only_where_that_is_allowed(ground: Ground) -> None:
    client, other = ground.lab.client, "202.100.1.77"
    client.run(["ip", "address", "add", f"{other}/24", "dev", client.device], check=True)
    allowed, refused = (
        ground.session(IPV4, port, "elsewhere", other) for port in (FOREIGN_CLIENTS, SCRIPTS["pipelined"][0])
    )
    client.run(["ip", "address", "delete", f"{other}/24", "dev", client.device], check=True)
    assert allowed[:2] == ["150", "226"] and allowed[2] in ground.names
    assert refused == "ConnectionRefusedError"


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("command", ["PORT 10,9,8,7,100,1", "EPRT |1|10.9.8.7|25601|"])
def test_bounce_attempt_is_refused_and_logged(ground: Ground, server: str, command: str) -> None:
    [reply] = ground.session(IPV4, SERVERS[server], "say", command)
    assert reply.startswith("5"), "the real server refuses it as well"
    wanted = f"ftp: ftp{SERVERS[server]}-4 {ground.lab.client.v4}:"
    problem = f"{command[:4]} names 10.9.8.7:25601 but the client is {ground.lab.client.v4} (bounce attempt)"
    wait_until(lambda: any(wanted in line and problem in line for line in ground.director.log().splitlines()))


def test_privileged_port_of_the_client_is_refused_and_logged(ground: Ground) -> None:
    numbers = ground.lab.client.v4.replace(".", ",")
    ground.session(IPV4, SERVERS["vsftpd"], "say", f"PORT {numbers},0,80")
    wait_until(lambda: "PORT names port 80, below 1024" in ground.director.log())


@pytest.mark.parametrize("client", TLS_CLIENTS)
@pytest.mark.parametrize("kind", TLS)
def test_encrypted_session_moves_files_through_its_real_server_s_own_range(
    ground: Ground, kind: str, client: str, tmp_path: Path
) -> None:
    ways = [(IPV4, "EPSV"), (IPV6, "EPSV")]
    if kind == "explicit":  # its 227 names the VIP; vsftpd's, over an IPv6 socket, could only name its own address
        ways.append((IPV4, "PASV"))
    for family, mode in ways:
        names = [f"tls-{client}-{kind}-{mode}-{family.version}-{number}" for number in range(2)]
        scheme = "ftps" if kind == "implicit" else "ftp"
        errands = [Errand(ground.lab.client, family, TLS[kind], mode, tmp_path / name, name, scheme) for name in names]
        assert {ground.run(TLS_CLIENTS[client], errand) for errand in errands} == {"server1", "server2"}


@both_families
def test_encrypted_session_without_a_range_goes_on_and_is_logged(ground: Ground, family: Family) -> None:
    url = family.url("/data.bin", scheme="ftp", port=TLS_WITHOUT_RANGES)
    done = curl(ground.lab.client, "-v", "-k", "--ssl-reqd", "--head", url, check=True)
    assert "SSL connection using" in done.stderr
    assert "Content-Length: 9000" in done.stdout
    who = f"ftp: ftp{TLS_WITHOUT_RANGES}-{family.version} {family.bracketed(family.of(ground.lab.client))}:"
    wait_until(lambda: f"{who}" in ground.director.log())
    assert "- encrypted, and passive_ports has no range for " in ground.director.log()
