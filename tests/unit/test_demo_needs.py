"""What the machine lacks is told at once, with the remedy, and nothing is built."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from nat_lb.demo import needs, play
from nat_lb.demo.needs import missing
from nat_lb.demo.scene import CONFIGURATION, configuration, remove_kept
from nat_lb.demo.stage import Stage
from nat_lb.plugins import Registry


def lacking(*programs: str, is_root: bool = True, registry: Registry | None = None) -> list[str]:
    def find(program: str) -> str | None:
        return None if program in programs else f"/usr/bin/{program}"

    return missing(configuration(), find=find, is_root=is_root, registry=registry)


def test_complete_machine_lacks_nothing() -> None:
    assert lacking() == []


def test_missing_programs_come_with_the_command_that_installs_them() -> None:
    assert lacking("nginx", "vsftpd", "ip", "ss") == [
        "Not installed: ip, nginx, ss, vsftpd. Debian has them: "
        "apt-get install --no-install-recommends iproute2 nginx-light vsftpd"
    ]


def test_user_who_is_not_root_is_told_of_make_demo() -> None:
    [line] = lacking(is_root=False)
    assert line.startswith("Not root")
    assert "make demo" in line


def test_missing_plugins_are_named_one_by_one() -> None:
    assert lacking(registry=Registry(found=[])) == [
        'The helper "ftp" is not installed. Run: pip install nat-lb-ftp',
        'The scheduler "rr" is not installed. Run: pip install nat-lb-rr',
        'The scheduler "wrr" is not installed. Run: pip install nat-lb-wrr',
    ]


def test_everything_that_is_missing_is_told_at_once() -> None:
    assert len(lacking("curl", is_root=False, registry=Registry(found=[]))) == 5


def test_nothing_is_built_when_something_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "missing", lambda config: ["Not installed: nginx. [sic]"])
    monkeypatch.setattr(play, "scene", lambda **options: pytest.fail("the lab was built"))
    output = io.StringIO()
    assert play.perform(Stage(Console(file=output, markup=False))) == 1
    lines = output.getvalue().splitlines()
    assert "  - Not installed: nginx. [sic]" in lines
    assert lines[-1] == "demo: FAIL - something is missing; nothing was built"


def test_configuration_is_the_example_of_the_documentation() -> None:
    web, files = configuration().services
    assert [(str(one.address), one.port, one.weight) for one in web.real_servers] == [
        ("172.16.0.2", 80, 1),
        ("172.16.0.3", 8000, 2),
    ]
    assert (str(web.address), web.port, web.scheduler) == ("202.103.106.5", 80, "wrr")
    assert (files.port, files.scheduler, files.helpers) == (21, "rr", ("ftp",))
    assert 'other_ports = "reject"' in CONFIGURATION.read_text()


@pytest.mark.parametrize("name", ["", "demo", "natlb-demo", "natlb-1-1", "natlb-demo-1*", "../natlb-demo-1"])
def test_only_kept_demos_can_be_removed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nat_lb.demo.scene.remove_lab", lambda name: pytest.fail("it was removed"))
    assert not remove_kept(name)
