"""The clients' part without clients: what curl's outcome means, and when the demo loses patience."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nat_lb.demo import acts
from nat_lb.demo.acts import MODES, Answer, arrived, download, knock, request, requests


class Client:
    """Stands in for the client's host: every command ends as scripted and is remembered."""

    v4 = "202.100.1.2"

    def __init__(self, *outcomes: tuple[int, str, str]) -> None:
        self.outcomes = list(outcomes)
        self.commands: list[list[str]] = []

    def run(self, arguments: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
        self.commands.append(list(map(str, arguments)))
        code, output, errors = self.outcomes.pop(0)
        return subprocess.CompletedProcess([], code, output, errors)


class Web:
    def __init__(self, name: str, *lines: str) -> None:
        self.name, self.lines, self.nginx = name, lines, self

    def requests(self, expected: int = 0) -> list[str]:
        return list(self.lines)


class Lab:
    vip = "202.103.106.5"

    def __init__(self, client: Client, directory: Path) -> None:
        self.client, self.directory = client, directory


class Scene:
    def __init__(self, client: Client, directory: Path = Path(), webs: Sequence[Web] = ()) -> None:
        self.lab, self.webs = Lab(client, directory), webs


def scene(*outcomes: tuple[int, str, str], **options: Any) -> Any:
    return Scene(Client(*outcomes), **options)


def test_answer_is_the_name_of_the_real_server() -> None:
    assert request(scene((0, "server2\n", ""))) == Answer(server="server2")


def test_refused_request_has_curls_words() -> None:
    assert request(scene((7, "", "curl: (7) refused\n"))) == Answer(error="curl: (7) refused")


def test_every_request_is_a_process_of_its_own() -> None:
    stage = scene(*[(0, "server1\n", "")] * 3)
    assert len(list(requests(stage, 3))) == len(stage.lab.client.commands) == 3


def test_patience_ends_after_timeouts_in_a_row() -> None:
    lost, fine = (28, "", "timed out"), (0, "server1\n", "")
    answers = list(requests(scene(lost, lost, fine, *[lost] * 7), 10))
    assert [answer.timed_out for answer in answers] == [True, True, False, True, True, True]


def test_refusals_do_not_wear_out_patience() -> None:
    assert len(list(requests(scene(*[(7, "", "refused")] * 10), 10))) == 10


def test_only_the_clients_own_requests_count_as_arrived() -> None:
    mine, other = '202.100.1.2 172.16.0.2 80 200 "GET /"', '202.100.1.20 172.16.0.2 80 200 "GET /"'
    stage = scene(webs=[Web("server1", mine, other, mine), Web("server2")])
    assert arrived(stage, Counter()) == {"server1": 2, "server2": 0}


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.verb)
def test_curl_is_told_to_believe_the_address_in_the_reply(mode: acts.Mode, tmp_path: Path) -> None:
    stage = scene((0, "", ""), directory=tmp_path)
    download(stage, mode)
    [command] = stage.lab.client.commands
    assert "--no-ftp-skip-pasv-ip" in command
    assert set(mode.options) < set(command)


def test_download_without_a_file_is_an_empty_one(tmp_path: Path) -> None:
    done = download(scene((28, "", "curl: (28) timed out"), directory=tmp_path), MODES[0])
    assert (done.size, done.digest, done.error) == (0, acts.digest(b""), "curl: (28) timed out")


@pytest.mark.parametrize(("code", "answered"), [(0, True), (7, False), (28, False)])
def test_knock_tells_whether_somebody_answered(code: int, answered: bool) -> None:
    assert knock(scene((code, "", ""))) is answered
