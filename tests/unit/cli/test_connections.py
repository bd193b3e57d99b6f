"""`nat-lb connections`: lines and JSON, streamed, and how a director is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nat_lb import report
from nat_lb.cli import main
from nat_lb.testing.packets import SYN
from nat_lb.testing.scenario import Scenario
from tests.scenario.nets import IPV4, IPV6
from tests.unit.cli.answering import answering, run


@pytest.fixture
def scenario() -> Scenario:
    s = Scenario(IPV4.web + IPV4.dns)
    for port in range(3000, 3100):
        s.client(f"{IPV4.client}:{port}").sends(SYN)
    s.client(f"{IPV4.router}:9", f"{IPV4.vip}:53").sends_datagram(b"?")
    return s


def test_json_is_the_list_that_replay_writes_with_the_path_that_each_takes(scenario: Scenario, tmp_path: Path) -> None:
    with answering(scenario, tmp_path / "s"):
        done = run("connections", "--json", "--control", tmp_path / "s")
    recorded = report.connections(scenario.director.lifecycle, scenario.now)
    assert json.loads(done.output) == [entry | {"path": "slow"} for entry in recorded]
    assert len(done.output.splitlines()) == 103


def test_lines_have_a_column_for_each_key(scenario: Scenario, tmp_path: Path) -> None:
    with answering(scenario, tmp_path / "s"):
        done = run("connections", "--control", tmp_path / "s", "--client", IPV4.router)
    assert [line.split() for line in done.output.splitlines()] == [
        ["service", "protocol", "client", "virtual", "real", "state", "expires", "path", "announced", "by"],
        ["dns", "udp", f"{IPV4.router}:9", f"{IPV4.vip}:53", f"{IPV4.one}:5353", "UDP", "300.0", "s", "slow"],
    ]


def test_long_endpoints_stay_in_their_columns(tmp_path: Path) -> None:
    s = Scenario(IPV6.web)
    s.client("[2001:db8:1111:2222:3333:4444:5555:6666]:3000").sends(SYN)
    with answering(s, tmp_path / "s"):
        head, line = run("connections", "--control", tmp_path / "s").output.splitlines()
    for heading, cell in (("virtual", IPV6.vip), ("real", IPV6.one), ("state", "SYN_RECV"), ("expires", "60.0 s")):
        assert line[head.index(heading) :].startswith(cell)


def test_no_connections_are_said_in_words_and_as_an_empty_list(scenario: Scenario, tmp_path: Path) -> None:
    with answering(scenario, tmp_path / "s"):
        arguments = ("connections", "--client", "192.0.2.1", "--control", tmp_path / "s")
        assert run(*arguments).output == "no connections\n"
        assert json.loads(run(*arguments, "--json").output) == []


def test_service_that_does_not_exist_is_one_line_and_exit_1(
    scenario: Scenario, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(scenario, tmp_path / "s"), pytest.raises(SystemExit) as end:
        main(["connections", "--service", "wbe", "--control", str(tmp_path / "s")])
    assert end.value.code == 1
    assert capsys.readouterr().err == ('nat-lb: no service is called "wbe". There are: web, dns. Did you mean "web"?\n')


def test_configuration_names_the_socket(scenario: Scenario, tmp_path: Path) -> None:
    (tmp_path / "web.toml").write_text(f'[director]\ncontrol = "{tmp_path}/s"\n{IPV4.web}')
    with answering(scenario, tmp_path / "s"):
        done = run("connections", "--json", "--config", tmp_path / "web.toml")
    assert len(json.loads(done.output)) == 101


def test_director_that_is_not_there_is_one_line_and_exit_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["connections", "--control", str(tmp_path / "s")])
    assert end.value.code == 1
    assert capsys.readouterr().err == (
        f"nat-lb: {tmp_path}/s: no director has its control socket there. Is it running? "
        "--control or --config name another socket.\n"
    )


def test_two_ways_to_the_director_are_one_too_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["connections", "--control", "s", "--config", "c"])
    assert end.value.code == 2
    assert "--control and --config both say where the director is. Leave one out." in capsys.readouterr().err
