"""`nat-lb demo` as a newcomer runs it, and what it says when something is broken."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from nat_lb.demo.play import Interference, perform
from nat_lb.demo.scene import Scene
from nat_lb.demo.stage import Stage
from nat_lb.testing.lab.namespaces import namespaces

DEMO = [sys.executable, "-m", "nat_lb", "demo"]
PASS = re.compile(
    r"demo: PASS - 30 requests shared 10:20 by weights 1:2, FTP downloads identical in PASV, EPSV, PORT, EPRT,"
)


def demo(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*DEMO, *options], capture_output=True, text=True, timeout=180)


def kept(prefix: str) -> list[str]:
    return [name for name in namespaces() if name.startswith(prefix)]


def broken(before_acts: Interference, *, requests: int = 3) -> tuple[int, str]:
    output = io.StringIO()
    code = perform(Stage(Console(file=output, markup=False, width=110)), requests=requests, before_acts=before_acts)
    return code, output.getvalue()


@pytest.fixture(scope="module")
def shown() -> str:
    done = demo()
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_verdict_is_the_last_line(shown: str) -> None:
    assert PASS.match(shown.splitlines()[-1])


def test_output_without_terminal_is_plain_text(shown: str) -> None:
    assert "\x1b" not in shown
    assert "\r" not in shown


@pytest.mark.parametrize("row", [r"172\.16\.0\.2:80 .* 1 +10 +10 +33%", r"172\.16\.0\.3:8000 .* 2 +20 +20 +67%"])
def test_table_has_what_each_real_server_got(shown: str, row: str) -> None:
    assert re.search(row, shown)


@pytest.mark.parametrize("verb", ["PASV", "EPSV", "PORT", "EPRT"])
def test_every_mode_of_ftp_has_its_row(shown: str, verb: str) -> None:
    assert re.search(rf"{verb}, (passive|active).* 1000003 .*identical", shown)


def test_four_legs_show_source_and_destination(shown: str) -> None:
    legs = shown[shown.index("client -> director") :]
    rows = [re.sub(r"[\s|]+", " ", line).strip() for line in legs.splitlines() if line.startswith(("| sou", "| dest"))]
    port = rows[0].split()[1].rpartition(":")[2]
    assert rows == [
        f"source 202.100.1.2:{port} source 202.100.1.2:{port}",
        "destination 202.103.106.5:80 destination 172.16.0.3:8000 *",
        "source 172.16.0.3:8000 source 202.103.106.5:80 *",
        f"destination 202.100.1.2:{port} destination 202.100.1.2:{port}",
    ]


def test_227_reply_stands_beside_what_the_server_sent(shown: str) -> None:
    seen = re.findall(r"\((202,103,106,5|172,16,0,3),\d+,\d+\)", shown)
    assert sorted(seen) == ["172,16,0,3", "202,103,106,5"]


def test_stopped_real_server_ends_in_fail() -> None:
    def stop_the_first(scene: Scene) -> None:
        scene.webs[0].nginx.stop()

    code, output = broken(stop_the_first)
    assert code == 1
    assert output.splitlines()[-1].startswith("demo: FAIL - 1 of 3 requests got no answer; server1: 0 answers")
    assert "Failed to connect" in output


def test_stopped_ftp_server_ends_in_fail() -> None:
    code, output = broken(lambda scene: scene.ftp.stop())
    last = output.splitlines()[-1]
    assert (code, last.partition(" - ")[0]) == (1, "demo: FAIL")
    assert "FTP PASV: curl: (7)" in last
    assert "no capture has an FTP dialogue with PASV" in last


@pytest.mark.usefixtures("slow_path")
def test_killed_director_ends_in_fail() -> None:
    code, output = broken(lambda scene: scene.director.kill(), requests=10)
    assert code == 1
    assert output.splitlines()[-1].startswith("demo: FAIL - 10 of 10 requests got no answer")


def test_nothing_remains_after_a_demo_that_failed() -> None:
    names: list[str] = []

    def fail(scene: Scene) -> None:
        names.extend([scene.lab.name, str(scene.lab.directory)])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken(fail)
    assert kept(f"{names[0]}-") == []
    assert not Path(names[1]).exists()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=lambda how: how.name)
def test_nothing_remains_after_a_signal(how: signal.Signals) -> None:
    with subprocess.Popen([*DEMO, "--requests", "3000"], stdout=subprocess.PIPE, text=True, bufsize=1) as child:
        assert child.stdout is not None
        while "3000 requests" not in (line := child.stdout.readline()):
            assert line, "the demo ended before its first act"
        mine = f"natlb-{child.pid}-"
        assert len(kept(mine)) == 5
        child.send_signal(how)
        rest = child.stdout.read()
        assert child.wait(60) == 130
    assert rest.splitlines()[-1] == "demo: stopped; the lab is removed"
    assert kept(mine) == []


def test_kept_lab_can_be_entered_and_removed() -> None:
    done = demo("--keep", "--requests", "3")
    [name] = set(re.findall(r"natlb-demo-\d+", done.stdout))
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.splitlines()[-1].startswith("demo: PASS")
        commands = re.findall(r"^  \$ (.*curl .*)$", done.stdout, re.MULTILINE)
        assert len(commands) == 2
        page, digest = (
            subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60).stdout
            for command in commands
        )
        assert page in {"server1\n", "server2\n"}
        [wanted] = set(re.findall(r"([0-9a-f]{12})\.\.\. +identical", done.stdout))
        assert digest.startswith(wanted)
    finally:
        removed = demo("--remove", name)
    assert (removed.returncode, removed.stdout) == (0, f"{name}: removed.\n")
    assert kept(f"{name}-") == []
    directory = re.search(r"captures and logs: (\S+)", done.stdout)
    assert directory is not None
    assert not Path(directory[1]).exists()


def test_removing_a_lab_that_is_not_there_fails() -> None:
    done = demo("--remove", f"natlb-demo-{os.getpid()}")
    assert done.returncode == 1
    assert "no kept lab is called" in done.stderr
