"""docs/tutorial/first-director.md played in the lab: its configuration, commands, what they print, what is logged."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from nat_lb.cli import cli, main
from nat_lb.testing.lab import Lab
from nat_lb.testing.servers import Nginx, Vsftpd

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial" / "first-director.md").read_text()
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
(TOML,) = (text for language, text in BLOCKS if language == "toml")
CHECK, WEB, FTP, REFUSED = (
    text.removeprefix("$ ").split("\n", 1) for language, text in BLOCKS if language == "console"
)
LOGGED = [line for _, text in BLOCKS for line in text.splitlines() if re.match("(INFO|WARNING) nat_lb", line)]


def generalized(line: str) -> str:
    """Replace what differs from run to run: the client's and the data connection's ports, and counts."""
    line = re.sub(r"202\.100\.1\.2:\d+", "CLIENT", line)
    return re.sub(r":5\d{4}\b|received=\d+|waiting=\d+", "…", line)


def test_check_says_what_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("first.toml").write_text(TOML)
    command, answer = CHECK
    assert CliRunner().invoke(cli, command.split()[1:]).output == answer


def test_mistake_is_told_as_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("first.toml").write_text(TOML.replace('"wrr"', '"wrrr"'))
    with pytest.raises(SystemExit) as end:
        main(["check", "first.toml"])
    assert end.value.code == 2
    assert capsys.readouterr().err in {text for _, text in BLOCKS}


@pytest.mark.live
def test_tutorial_happens_as_it_is_told() -> None:
    with (
        Lab() as lab,
        Nginx(lab.servers[0]),
        Nginx(lab.servers[1], 8000),
        Vsftpd(lab.servers[1], passive_ports=(50000, 59999)) as ftp,
    ):
        (ftp.root / "file").write_text("hello\n")
        lab.director.run(["sysctl", "-w", "net.ipv4.ip_forward=0"], check=True)
        director = lab.start_director(TOML)
        lab.director.run(["sysctl", "-w", "net.ipv4.ip_forward=1"], check=True)
        for command, answer in (WEB, FTP):
            assert lab.client.run(["sh", "-c", command], check=True).stdout == answer
        refused = lab.client.run(["sh", "-c", REFUSED[0]]).stderr.splitlines()[-1]
        assert re.sub(r"\d+ ms", "", refused) == re.sub(r"\d+ ms", "", REFUSED[1].strip())
        director.reload(TOML.replace("weight = 1", "weight = 0"))
        director.wait_for("reloaded")
        assert {lab.client.run(["curl", "-s", f"http://{lab.vip}/"]).stdout for _ in range(3)} == {"server2\n"}
        assert director.stop() == 0
        happened = set(map(generalized, director.log().splitlines()))
    assert [line for line in map(generalized, LOGGED) if line not in happened] == []
