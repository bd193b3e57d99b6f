"""The demo's judgement: each finding can be a problem, and one problem makes the verdict FAIL."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nat_lb.demo import judge
from nat_lb.demo.acts import MODES, Download, digest
from nat_lb.demo.dialogue import Exchange, Line
from nat_lb.demo.judge import Finding
from nat_lb.demo.wire import Endpoint, Segment

WEIGHTS = {"server1": 1, "server2": 2}
CLIENT, VIP = "202.100.1.2", "202.103.106.5"
PAIRS = {(CLIENT, VIP), (VIP, CLIENT)}
CONTENT = b"the file"


def shares(requests: int, *counts: int, logged: tuple[int, int] | None = None) -> str:
    first, second = counts
    in_logs = dict(zip(WEIGHTS, logged or counts, strict=True))
    return judge.judge_shares(requests, WEIGHTS, {"server1": first, "server2": second}, in_logs).problem


def test_shares_by_weight_are_right() -> None:
    assert shares(30, 10, 20) == ""
    counts = {"server1": 10, "server2": 20}
    assert judge.judge_shares(30, WEIGHTS, counts, counts).shown == "30 requests shared 10:20 by weights 1:2"


@pytest.mark.parametrize(("first", "second"), [(1, 1), (0, 2)])
def test_broken_cycle_may_favour_either(first: int, second: int) -> None:
    assert shares(2, first, second) == ""


def test_share_that_is_off_by_one_is_a_problem() -> None:
    first = "server1: 11 answers, 11 requests in its log, expected 10"
    second = "server2: 19 answers, 19 requests in its log, expected 20"
    assert shares(30, 11, 19) == f"{first}; {second}"


def test_answers_that_the_log_does_not_have_are_a_problem() -> None:
    assert shares(30, 10, 20, logged=(10, 21)) == "server2: 20 answers, 21 requests in its log, expected 20"


def test_requests_without_answer_are_a_problem() -> None:
    assert shares(30, 0, 20).startswith("10 of 30 requests got no answer; server1: 0 answers")


def downloads() -> list[Download]:
    return [Download(mode, len(CONTENT), digest(CONTENT), "") for mode in MODES]


def dialogues(*verbs: str) -> list[list[Line]]:
    return [[Line(0, False, "220 EPRT is offered"), Line(1, True, f"{verb} x")] for verb in verbs]


def test_four_identical_downloads_are_right() -> None:
    finding = judge.judge_downloads(CONTENT, downloads(), dialogues("PASV", "EPSV", "PORT", "EPRT"))
    assert finding == Finding("FTP downloads identical in PASV, EPSV, PORT, EPRT")


def test_download_that_differs_is_a_problem() -> None:
    done = downloads()
    done[1] = replace(done[1], size=3, digest=digest(b"the"))
    finding = judge.judge_downloads(CONTENT, done, dialogues("PASV", "EPSV", "PORT", "EPRT"))
    assert finding.problem == "FTP EPSV: 3 octets arrived that are not the file"


def test_curls_own_words_explain_a_failed_download() -> None:
    done = downloads()
    done[0] = replace(done[0], error="curl: (28) timed out")
    finding = judge.judge_downloads(CONTENT, done, dialogues("PASV", "EPSV", "PORT", "EPRT"))
    assert finding.problem == "FTP PASV: curl: (28) timed out"


def test_client_that_fell_back_to_another_mode_is_a_problem() -> None:
    seen = dialogues("PASV", "EPSV", "PORT", "EPRT")
    seen[3].append(Line(2, True, "PORT 202,100,1,2,1,2"))
    assert judge.judge_downloads(CONTENT, downloads(), seen).problem == "FTP EPRT: the client also sent PORT"


def test_download_without_a_captured_dialogue_is_a_problem() -> None:
    finding = judge.judge_downloads(CONTENT, downloads(), dialogues("PASV", "EPSV", "PORT"))
    assert finding.problem == "FTP EPRT: no EPRT in the capture"


OTHER_PORT = Endpoint(VIP, 8080)


@pytest.mark.parametrize(
    ("answered", "flags", "problem"),
    [
        (False, ["RA"], ""),
        (False, [], "port 8080: no reset came"),
        (False, ["SA", "R"], "port 8080: no reset came"),
        (True, ["SA", "PA"], "port 8080: somebody answered"),
    ],
)
def test_other_port_must_answer_with_a_reset_alone(answered: bool, flags: list[str], problem: str) -> None:
    segments = [Segment(0.0, OTHER_PORT, Endpoint(CLIENT, 1), 0, flag, b"", 63, 0) for flag in flags]
    assert judge.judge_other_port(answered, segments, OTHER_PORT).problem == problem


def addresses(pairs: set[tuple[str, str]], *lines: str) -> str:
    seen = [[Line(0, False, line) for line in lines]]
    return judge.judge_addresses(CLIENT, VIP, pairs, seen, "172.16.0").problem


def test_client_that_saw_only_the_vip_is_right() -> None:
    assert addresses(PAIRS, "227 Entering Passive Mode (202,103,106,5,1,2)") == ""


def test_housekeeping_of_ipv6_is_no_foreign_address() -> None:
    assert addresses(PAIRS | {("fe80::1", "ff02::2"), ("::", "ff02::16")}) == ""


@pytest.mark.parametrize("pair", [("172.16.0.2", CLIENT), (CLIENT, "172.16.0.2"), ("172.16.0.2", VIP)])
def test_packet_of_another_address_is_a_problem(pair: tuple[str, str]) -> None:
    assert addresses(PAIRS | {pair}) == "the client saw packets of 172.16.0.2"


@pytest.mark.parametrize("line", ["227 Entering Passive Mode (172,16,0,3,1,2)", "200 see 172.16.0.3"])
def test_inside_address_in_ftp_is_a_problem(line: str) -> None:
    assert addresses(PAIRS, line) == f"the client saw an inside address in FTP: {line}"


def test_bad_checksum_names_host_and_packet() -> None:
    finding = judge.judge_checksums({"client": [], "server2": ["7 172.16.0.3 202.100.1.2 TCP", "9"]})
    assert finding.problem == "bad checksums at server2: 2, first packet 7 172.16.0.3 202.100.1.2 TCP"
    assert judge.judge_checksums({"client": [], "server2": []}) == Finding("no bad checksum")


@pytest.mark.parametrize(
    ("at_client", "at_server", "problem"),
    [
        ("227 (202,103,106,5,1,2)", "227 (172,16,0,3,1,2)", ""),
        (
            "227 (172,16,0,3,1,2)",
            "227 (172,16,0,3,1,2)",
            'the 227 reply is "227 (172,16,0,3,1,2)", sent as "227 (172,16,0,3,1,2)"',
        ),
        ("230 in", "230 in", "no 227 reply came"),
    ],
)
def test_227_reply_must_be_rewritten(at_client: str, at_server: str, problem: str) -> None:
    assert judge.judge_rewriting([Exchange(False, at_client, at_server)], VIP, "172.16.0.3").problem == problem


def test_verdict_tells_all_that_was_shown() -> None:
    assert judge.verdict([Finding("one thing"), Finding("another")]) == "demo: PASS - one thing, another"


def test_one_problem_makes_the_verdict_fail() -> None:
    findings = [Finding("one thing"), Finding("another", "it broke"), Finding("", "so did this")]
    assert judge.verdict(findings) == "demo: FAIL - it broke; so did this"
