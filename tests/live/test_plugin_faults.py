"""Plugins that fail in a running director: a packet or announcement is lost, one line is logged, all else goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from nat_lb.testing.lab import Lab, wait_until
from nat_lb.testing.servers import Nginx, Vsftpd
from tests.live.ground import IPV4, Family, both_families, curl, fetch, of_both

BROKEN = """
from nat_lb.api import Helper, Scheduler, hookimpl


class Broken(Scheduler):
    name = "broken"

    def schedule(self, flow):
        raise ZeroDivisionError("no servers left to divide by")


class Clumsy(Helper):
    name = "clumsy"
    protocol = "tcp"
    longest_message = 4096

    def rewrite(self, message):
        raise KeyError("what was it")


@hookimpl
def nat_lb_register_schedulers():
    return [Broken]


@hookimpl
def nat_lb_register_helpers():
    return [Clumsy]


@hookimpl
def nat_lb_connection_opened(connection):
    raise RuntimeError("nobody told me")
"""
UNLOADABLE = "raise ImportError('a library is missing')\n"


def services(family: Family) -> str:
    web = family.service("web", 80, ['scheduler = "rr"'], servers="1:80 2:80")
    faulty = family.service("faulty", 81, ['scheduler = "broken"'], servers="1:80 2:80")
    return web + faulty + family.service("files", 21, ['helpers = ["clumsy"]'], servers="1:21")


def install(folder: Path, name: str, source: str) -> None:
    """Write a distribution as pip leaves it: a module and a .dist-info with its entry point."""
    module = name.replace("-", "_")
    (folder / f"{module}.py").write_text(source)
    info = folder / f"{module}-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[nat_lb]\n{name.removeprefix('nat-lb-')} = {module}\n")


@pytest.fixture
def served(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return lab


@both_families
def test_faults_of_one_plugin_are_told_once_and_harm_no_other_service(
    served: Lab, tmp_path: Path, family: Family
) -> None:
    install(tmp_path, "nat-lb-broken", BROKEN)
    with Nginx(served.servers[0]), Nginx(served.servers[1]), Vsftpd(served.servers[0]) as ftp:
        (ftp.root / "file.txt").write_text("here\n")
        director = served.start_director(of_both(services))
        for _ in range(3):
            assert curl(served.client, "--max-time", "0.3", family.url(port=81)).returncode == 28
            assert {fetch(served, family) for _ in range(2)} == {"server1\n", "server2\n"}
        listing = curl(served.client, "--ftp-port", "-", family.url(scheme="ftp", port=21), "-I", "--max-time", "2")
        assert listing.returncode in (0, 9, 28), "the control connection passes unread"
        wait_until(lambda: "clumsy.rewrite" in director.log())
        assert director.stop() == 0
    lines = [line for line in director.log().splitlines() if line.startswith("ERROR")]
    by_place = {place: [line for line in lines if place in line] for place in ("nat_lb_schedule", "connection_opened")}
    assert [len(found) for found in by_place.values()] == [1, 1], lines
    assert f"nat-lb-broken: nat_lb_schedule failed for faulty{family.version}: " in by_place["nat_lb_schedule"][0]
    assert "ZeroDivisionError: no servers left to divide by" in by_place["nat_lb_schedule"][0]
    assert [line for line in lines if "clumsy.rewrite" in line and "nat-lb-broken" in line and "KeyError" in line]
    assert len([line for line in lines if "clumsy.rewrite" in line]) == 1


def test_plugin_that_cannot_be_loaded_is_named_and_the_rest_runs(served: Lab, tmp_path: Path) -> None:
    install(tmp_path, "nat-lb-unloadable", UNLOADABLE)
    text = IPV4.service("web", 80, ['scheduler = "rr"'], servers="1:80")
    with Nginx(served.servers[0]):
        director = served.start_director(text)
        assert fetch(served, IPV4) == "server1\n"
    assert "nat-lb-unloadable" in director.log()
    assert "a library is missing" in director.log()
    assert "Traceback" not in director.log()
