"""FTP clients on errands: list a folder, download a file, upload one, in one session and in the mode that is asked for.

Each is told to believe the address in a 227 reply: by default they ignore it, and with it a wrong one.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from nat_lb.testing.lab import Host
from tests.live.ground import CURL, IPV4, IPV6, Family

SESSION = Path(__file__).with_name("ftp_session.py")
FILE, WHO = "data.bin", "who.txt"


@dataclass(frozen=True)
class Errand:
    """Where to go, and what to take along: `upload` lies in `folder`, and what is fetched comes there."""

    client: Host
    family: Family
    port: int
    mode: str  # PASV, EPSV, PORT or EPRT
    folder: Path
    upload: str
    scheme: str = "ftp"

    @property
    def url(self) -> str:
        return self.family.url(scheme=self.scheme, port=self.port)

    @property
    def passive(self) -> bool:
        return self.mode in ("PASV", "EPSV")

    @property
    def extended(self) -> bool:
        return self.mode[0] == "E"

    @property
    def fetched(self) -> Path:
        return self.folder / FILE

    @property
    def listing(self) -> Path:
        return self.folder / "listing"


def by_curl(errand: Errand, *options: str) -> str:
    mode = ["--ftp-pasv"] if errand.passive else ["--ftp-port", "-"]
    plain = {"PASV": ["--disable-epsv"], "PORT": ["--disable-eprt"]}
    common = [*mode, *plain.get(errand.mode, []), "--no-ftp-skip-pasv-ip", "--ftp-method", "nocwd", "-v", *options]
    command: list[str | Path] = [*CURL, *common, f"{errand.url}{FILE}", "-o", errand.fetched]
    command += ["--next", *common, "--list-only", errand.url, "-o", errand.listing]
    command += ["--next", *common, "-T", errand.folder / errand.upload, errand.url]
    return errand.client.run(command, check=True).stderr


def by_lftp(errand: Errand, *settings: str) -> str:
    choices = {"passive-mode": errand.passive, "prefer-epsv": errand.extended, "fix-pasv-address": False}
    script = ["set net:max-retries 1; set net:timeout 30; debug 5", *settings]
    script += [f"set ftp:{name} {'yes' if value else 'no'}" for name, value in choices.items()]
    script += [f"open -u anonymous,lftp {errand.url}", f"cls -1 > {errand.listing}"]
    script += [f"get {FILE} -o {errand.fetched}", f"put {errand.folder / errand.upload}"]
    home = os.environ | {"HOME": str(errand.folder)}
    return errand.client.run(["lftp", "-c", "; ".join(script)], env=home, check=True).stderr


def by_tnftp(errand: Errand) -> str:
    lines = ["user anonymous tnftp", "binary", f"nlist . {errand.listing}", f"get {FILE} {errand.fetched}"]
    lines += [f"put {errand.folder / errand.upload} {errand.upload}", "bye", ""]
    first = [] if errand.extended else ["epsv4"]  # on by default
    first.append(f"open {errand.family.vip} {errand.port}")
    command = ["tnftp", "-i", "-n", "-d", f"-{errand.family.version}", "-p" if errand.passive else "-A"]
    return errand.client.run(command, input="\n".join([*first, *lines]), check=True).stdout


def by_ftplib(errand: Errand) -> str:
    where = [errand.family.vip, str(errand.port)]
    session = ["errand", "passive" if errand.passive else "active", str(errand.folder), errand.upload]
    done = errand.client.run([sys.executable, SESSION, *where, *session], check=True)
    return "\n".join(json.loads(done.stdout))


# Not TLS 1.3: there both clients close an upload before they have read the server's session tickets, and so reset it.
def by_curl_with_tls(errand: Errand) -> str:
    said = by_curl(errand, "--ssl-reqd", "--insecure", "--tls-max", "1.2")
    assert "SSL connection using" in said
    return said


def by_lftp_with_tls(errand: Errand) -> str:
    settings = {"ftp:ssl-force": "yes", "ssl:verify-certificate": "no", "ssl:priority": "NORMAL:-VERS-TLS1.3"}
    return by_lftp(errand, *(f"set {name} {value}" for name, value in settings.items()))


Client = Callable[[Errand], str]
CLIENTS: Mapping[str, Client] = {
    "curl": by_curl,
    "lftp": by_lftp,
    "tnftp": by_tnftp,
    "ftplib": by_ftplib,
}
TLS_CLIENTS: Mapping[str, Client] = {"curl": by_curl_with_tls, "lftp": by_lftp_with_tls}
NOT_SPOKEN = {("lftp", "EPRT"), ("ftplib", "EPSV"), ("ftplib", "EPRT")}  # over IPv4


def cases() -> Iterator[tuple[str, Family, str]]:
    """Yield every client, family and mode that go together."""
    for client in CLIENTS:
        for mode in ("PASV", "EPSV", "PORT", "EPRT"):
            if (client, mode) not in NOT_SPOKEN:
                yield client, IPV4, mode
            if mode[0] == "E":
                yield client, IPV6, mode
