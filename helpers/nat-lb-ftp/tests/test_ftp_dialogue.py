"""Whole dialogues: which lines are edited, what is expected, what is refused and in which words."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nat_lb.api import Direction, Edit, Endpoint, Peers
from nat_lb.testing.recording import Recording
from nat_lb_ftp import Ftp, FtpOptions, nat_lb_register_helpers

CLIENT, VIRTUAL, REAL = "203.0.113.10", "203.0.113.100", "10.77.0.11"
CLIENT6, VIRTUAL6, REAL6 = "2001:db8::10", "2001:db8::100", "fd00::11"
ASKED = b"PASV\r\n"


class Dialogue(Recording):
    """A control connection with a director that remembers what the helper asked of it."""

    def __init__(self, client: str = CLIENT, virtual: str = VIRTUAL, real: str = REAL, **options: Any) -> None:
        super().__init__(Peers(endpoint(client, 40000), endpoint(virtual, 21), endpoint(real, 21)))
        self.ftp = Ftp(self.peers, FtpOptions(**options) if options else None)

    def edits(self, line: bytes, direction: Direction) -> list[Edit]:
        return self.shows(self.ftp, line, direction)

    def client(self, *lines: bytes) -> Dialogue:
        for line in lines:
            assert self.edits(line, Direction.ORIGINAL) == []
        return self

    def server(self, *lines: bytes) -> bytes:
        """Return what the client gets of these lines."""
        return b"".join(self._server(line) for line in lines)

    def _server(self, line: bytes) -> bytes:
        for start, end, text in reversed(self.edits(line, Direction.REPLY)):
            assert 0 <= start < end <= len(line)
            line = line[:start] + text + line[end:]
        return line


def endpoint(address: str, port: int) -> Endpoint:
    return Endpoint(ip_address(address), port)


@pytest.fixture
def dialogue() -> Dialogue:
    return Dialogue()


@pytest.fixture
def dialogue6() -> Dialogue:
    return Dialogue(CLIENT6, VIRTUAL6, REAL6)


@pytest.mark.parametrize(
    "command",
    [
        b"PORT 203,0,113,10,156,64\r\n",
        b"port 203,0,113,10,156,64\n",
        b" Port  203,0,113,10,156,64 \r\n",
        b"EPRT |1|203.0.113.10|40000|\r\n",
        b"eprt !1!203.0.113.10!40000!\r\n",
        b"\xff\xf4\xff\xf2PORT 203,0,113,10,156,64\r\n",
    ],
)
def test_active_commands_expect_the_server_and_change_nothing(dialogue: Dialogue, command: bytes) -> None:
    dialogue.client(command)
    assert (dialogue.to_client, dialogue.refused) == (["203.0.113.10:40000"], [])


def test_extended_active_command_works_over_version_six(dialogue6: Dialogue) -> None:
    dialogue6.client(b"EPRT |2|2001:DB8:0::10|40000|\r\n")
    assert (dialogue6.to_client, dialogue6.refused) == (["[2001:db8::10]:40000"], [])


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (b"PORT 10,0,0,9,15,160\r\n", "PORT names 10.0.0.9:4000 but the client is 203.0.113.10 (bounce attempt)"),
        (b"EPRT |1|10.77.0.11|4000|\r\n", "EPRT names 10.77.0.11:4000 but the client is 203.0.113.10 (bounce attempt)"),
        (b"EPRT |2|fd00::1|4000|\r\n", "EPRT names [fd00::1]:4000 but the client is 203.0.113.10 (bounce attempt)"),
        (b"PORT 203,0,113,10,0,80\r\n", "PORT names port 80, below 1024"),
        (b"PORT 203,0,113,10,0,0\r\n", "PORT names port 0, below 1024"),
        (b"EPRT |1|203.0.113.10|1023|\r\n", "EPRT names port 1023, below 1024"),
        (b"PORT 203,0,113,10,300,20\r\n", "PORT has a number above 255: '203,0,113,10,300,20'"),
        (b"PORT\r\n", "PORT without six numbers: ''"),
    ],
)
def test_active_commands_that_abuse_the_server_are_refused(dialogue: Dialogue, command: bytes, problem: str) -> None:
    dialogue.client(command)
    assert (dialogue.to_client, dialogue.refused) == ([], [problem])


@pytest.mark.parametrize(
    ("reply", "rewritten"),
    [
        (b"227 Entering Passive Mode (10,77,0,11,4,210).\r\n", b"227 Entering Passive Mode (203,0,113,100,4,210).\r\n"),
        (b"227 Entering Passive Mode (10,77,0,11,4,210)\r\n", b"227 Entering Passive Mode (203,0,113,100,4,210)\r\n"),
        (b"227 =10,77,0,11,4,210\r\n", b"227 =203,0,113,100,4,210\r\n"),
        (b"227 ok 10,77,0,11,4,210\n", b"227 ok 203,0,113,100,4,210\n"),
        (b"227 ok (010,077,000,011,004,210)\r\n", b"227 ok (203,0,113,100,4,210)\r\n"),
        (b"\xff\xfc\x01227 (10,77,0,11,4,210)\r\n", b"\xff\xfc\x01227 (203,0,113,100,4,210)\r\n"),
        (b"227 (203,0,113,100,4,210)\r\n", b"227 (203,0,113,100,4,210)\r\n"),
    ],
)
def test_passive_reply_names_the_virtual_address(dialogue: Dialogue, reply: bytes, rewritten: bytes) -> None:
    assert dialogue.client(ASKED).server(reply) == rewritten
    assert (dialogue.to_real, dialogue.refused) == (["10.77.0.11:1234"], [])


def test_unchanged_text_is_not_edited_at_all(dialogue: Dialogue) -> None:
    dialogue.client(ASKED, b"EPSV\r\n")
    assert dialogue.edits(b"227 (203,0,113,100,4,210)\r\n", Direction.REPLY) == []
    assert dialogue.edits(b"229 (|||1234|)\r\n", Direction.REPLY) == []
    assert dialogue.to_real == ["10.77.0.11:1234", "10.77.0.11:1234"]


def test_port_that_is_taken_is_replaced_by_the_public_one(dialogue: Dialogue) -> None:
    dialogue.taken = {1234, 1235}
    dialogue.client(ASKED, b"EPSV\r\n")
    assert dialogue.server(b"227 (10,77,0,11,4,210)\r\n") == b"227 (203,0,113,100,4,212)\r\n"
    assert dialogue.edits(b"229 ok (!!!1234!)\r\n", Direction.REPLY) == [Edit(11, 15, b"1236")]


@pytest.mark.parametrize(
    ("reply", "rewritten"),
    [
        (b"229 Entering Extended Passive Mode (|||1234|)\r\n", b"229 Entering Extended Passive Mode (|||1234|)\r\n"),
        (b"229 ok (|2|fd00::11|1234|)\r\n", b"229 ok (|2|2001:db8::100|1234|)\r\n"),
    ],
)
def test_extended_passive_works_over_version_six(dialogue6: Dialogue, reply: bytes, rewritten: bytes) -> None:
    assert dialogue6.client(b"epsv 2\r\n").server(reply) == rewritten
    assert (dialogue6.to_real, dialogue6.refused) == (["[fd00::11]:1234"], [])


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (
            b"227 (10,77,0,12,4,210)\r\n",
            "227 names 10.77.0.12:1234 but the real server is 10.77.0.11 (own_addresses may list others)",
        ),
        (
            b"227 (0,0,0,0,4,210)\r\n",
            "227 names 0.0.0.0:1234 but the real server is 10.77.0.11 (own_addresses may list others)",
        ),
        (b"227 (10,77,0,11,0,80)\r\n", "227 names port 80, below 1024"),
        (b"227 (10,77,0,11,0,0)\r\n", "227 names port 0, below 1024"),
        (b"227 (10,77,0,11,256,1)\r\n", "227 has a number above 255: '10,77,0,11,256,1'"),
        (b"227 Entering Passive Mode\r\n", "227 without six numbers: '227 Entering Passive Mode'"),
    ],
)
def test_passive_replies_to_nowhere_good_pass_unchanged(dialogue: Dialogue, reply: bytes, problem: str) -> None:
    assert dialogue.client(ASKED).server(reply) == reply
    assert (dialogue.to_real, dialogue.refused) == ([], [problem])


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (b"229 (|||80|)\r\n", "229 names port 80, below 1024"),
        (b"229 (|||99999|)\r\n", "229 names port 99999, which does not exist"),
        (
            b"229 (|1|10.77.0.12|1234|)\r\n",
            "229 names 10.77.0.12:1234 but the real server is 10.77.0.11 (own_addresses may list others)",
        ),
    ],
)
def test_extended_replies_to_nowhere_good_pass_unchanged(dialogue: Dialogue, reply: bytes, problem: str) -> None:
    assert dialogue.client(b"EPSV\r\n").server(reply) == reply
    assert (dialogue.to_real, dialogue.refused) == ([], [problem])


def test_passive_reply_over_version_six_is_refused(dialogue6: Dialogue) -> None:
    reply = b"227 (10,77,0,11,4,210)\r\n"
    assert dialogue6.client(ASKED).server(reply) == reply
    assert dialogue6.refused == ["227 cannot name an endpoint of an IPv6 connection; the client has to use EPSV"]


@pytest.mark.parametrize(
    ("asked", "reply", "problem"),
    [
        ((), b"227 (10,77,0,11,4,210)\r\n", "227 that no PASV asked for"),
        ((b"EPSV\r\n",), b"227 (10,77,0,11,4,210)\r\n", "227 that no PASV asked for"),
        ((b"PASV\r\n",), b"229 (|||1234|)\r\n", "229 that no EPSV asked for"),
        ((b"EPSV ALL\r\n",), b"229 (|||1234|)\r\n", "229 that no EPSV asked for"),
    ],
)
def test_replies_that_nobody_asked_for_open_nothing(
    dialogue: Dialogue, asked: tuple[bytes, ...], reply: bytes, problem: str
) -> None:
    assert dialogue.client(*asked).server(reply) == reply
    assert (dialogue.to_real, dialogue.refused) == ([], [problem])


def test_one_passive_command_is_answered_only_once(dialogue: Dialogue) -> None:
    dialogue.client(ASKED).server(b"227 (10,77,0,11,4,210)\r\n")
    assert dialogue.server(b"227 (10,77,0,11,4,211)\r\n") == b"227 (10,77,0,11,4,211)\r\n"
    assert (dialogue.to_real, dialogue.refused) == (["10.77.0.11:1234"], ["227 that no PASV asked for"])


def test_refused_passive_command_no_longer_waits(dialogue: Dialogue) -> None:
    dialogue.client(ASKED).server(b"530 Please login with USER and PASS.\r\n", b"227 (10,77,0,11,4,210)\r\n")
    assert (dialogue.to_real, dialogue.refused) == ([], ["227 that no PASV asked for"])


def test_pipelined_commands_are_answered_in_turn(dialogue: Dialogue) -> None:
    dialogue.client(b"USER x\r\n", b"PASS y\r\n", ASKED, b"RETR a\r\n", ASKED, b"RETR b\r\n")
    got = dialogue.server(
        b"220-Welcome\r\n",
        b"227 (10,77,0,11,4,1)\r\n",  # the banner's text
        b"220 ready\r\n",
        b"331 password\r\n",
        b"230 in\r\n",
        b"227 (10,77,0,11,4,210)\r\n",
        b"150 here\r\n",
        b"226 done\r\n",
        b"227 (10,77,0,11,4,211)\r\n",
    )
    assert got.count(b"(203,0,113,100,") == 2
    assert b"(10,77,0,11,4,1)" in got
    assert (dialogue.to_real, dialogue.refused) == (["10.77.0.11:1234", "10.77.0.11:1235"], [])


def test_unseen_reply_does_not_cost_the_next_passive_its_answer(dialogue: Dialogue) -> None:
    dialogue.client(ASKED).server(b"250 to a command longer than a message may be\r\n")
    assert dialogue.server(b"227 (10,77,0,11,4,210)\r\n") == b"227 (203,0,113,100,4,210)\r\n"


def test_flood_of_commands_is_forgotten_beyond_a_bound(dialogue: Dialogue) -> None:
    dialogue.client(ASKED, *[b"NOOP\r\n"] * 300).server(b"227 (10,77,0,11,4,210)\r\n")
    assert dialogue.refused == ["227 that no PASV asked for"]


@pytest.mark.parametrize(
    "lines",
    [
        [b"227-Entering Passive Mode (10,77,0,11,9,9)\r\n", b" (10,77,0,11,8,8)\r\n", b"227 (10,77,0,11,4,210)\r\n"],
        [b"227-first\r\n", b"230 in between\r\n", b"227-again\r\n", b"227 (10,77,0,11,4,210)\r\n"],
        [b"150-wait\r\n", b"150 for it\r\n", b"227 (10,77,0,11,4,210)\r\n"],
        [b"120 soon\r\n", b"220\r\n", b"\r\n", b"some noise\r\n", b"227 (10,77,0,11,4,210)\r\n"],
    ],
)
def test_only_the_last_line_of_a_reply_is_rewritten(dialogue: Dialogue, lines: list[bytes]) -> None:
    got = dialogue.client(ASKED).server(*lines)
    assert got == b"".join(lines[:-1]) + b"227 (203,0,113,100,4,210)\r\n"
    assert (dialogue.to_real, dialogue.refused) == (["10.77.0.11:1234"], [])


def test_passive_line_inside_another_reply_is_text(dialogue: Dialogue) -> None:
    lines = [b"230-Welcome\r\n", b"227 (10,77,0,11,4,210)\r\n", b"229 (|||1234|)\r\n", b"230 done\r\n"]
    assert dialogue.client(ASKED, b"EPSV\r\n").server(*lines) == b"".join(lines)
    assert (dialogue.to_real, dialogue.refused) == ([], [])


@pytest.mark.parametrize("command", [b"AUTH TLS\r\n", b"auth ssl\r\n", b"AUTH TLS-C\r\n", b"Auth tls-p\r\n"])
@pytest.mark.parametrize("reply", [b"234 Proceed\r\n", b"334 [SSL Auth OK]\r\n"])
def test_helper_leaves_when_encryption_begins(dialogue: Dialogue, command: bytes, reply: bytes) -> None:
    dialogue.client(command)
    assert not dialogue.stopped
    assert dialogue.server(reply) == reply
    assert dialogue.stopped


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (b"AUTH TLS\r\n", b"530 Please login first\r\n"),
        (b"AUTH TLS\r\n", b"234-not yet\r\n"),
        (b"AUTH GSSAPI\r\n", b"334 go on\r\n"),
        (b"HELP\r\n", b"234 out of the blue\r\n"),
    ],
)
def test_helper_stays_when_encryption_is_refused(dialogue: Dialogue, command: bytes, reply: bytes) -> None:
    dialogue.client(command).server(reply)
    assert not dialogue.stopped


def test_refused_encryption_leaves_passive_mode_working(dialogue: Dialogue) -> None:
    dialogue.client(b"AUTH TLS\r\n").server(b"502 no\r\n")
    assert dialogue.client(ASKED).server(b"227 (10,77,0,11,4,210)\r\n") == b"227 (203,0,113,100,4,210)\r\n"


def test_expectation_that_the_director_refuses_is_passed_on_unchanged(dialogue: Dialogue) -> None:
    dialogue.full = True
    reply = b"227 (10,77,0,11,4,210)\r\n"
    assert dialogue.client(ASKED, b"PORT 203,0,113,10,156,64\r\n").server(reply) == reply
    assert dialogue.refused == ["no public port is free", "no public port is free"]


@pytest.mark.parametrize(
    ("asked", "before", "tail", "held"),
    [
        (b"PASV\r\n", b"", b"2", True),
        (b"PASV\r\n", b"", b"227", True),
        (b"PASV\r\n", b"", b"227 Entering Passive Mode (10,7", True),
        (b"PASV\r\n", b"", b"227 Entering Passive Mode (10,77,0,11,4,210)\r", True),
        (b"PASV\r\n", b"227-text\r\n", b"22", True),
        (b"PASV\r\n", b"", b"\xff\xfc\x01227 (10", True),
        (b"PASV\r\n", b"", b"\xff\xfc", True),
        (b"EPSV\r\n", b"", b"229 Entering", True),
        (b"EPSV\r\n", b"", b"22", True),
        (b"PASV\r\n", b"", b"229 ", False),
        (b"EPSV\r\n", b"", b"227 ", False),
        (b"PASV\r\n", b"", b"227-Entering", False),
        (b"PASV\r\n", b"", b"23", False),
        (b"PASV\r\n", b"", b"150 Opening", False),
        (b"PASV\r\n", b"230-text\r\n", b"227 (10", False),
        (b"PASV\r\n", b"227 (10,77,0,11,4,210)\r\n", b"227 (10", False),
        (b"PASV\r\n", b"530 no\r\n", b"2", False),
        (b"NOOP\r\n", b"", b"2", False),
        (b"NOOP\r\n", b"", b"227 (10", False),
    ],
)
def test_only_what_may_become_an_edited_line_is_held(
    dialogue: Dialogue, asked: bytes, before: bytes, tail: bytes, held: bool
) -> None:
    dialogue.client(asked)
    if before:
        dialogue.server(before)
    assert dialogue.ftp.holds(tail, Direction.REPLY) is held
    assert dialogue.ftp.holds(tail, Direction.ORIGINAL) is False


def test_further_own_addresses_mean_the_same_real_server() -> None:
    dialogue = Dialogue(own_addresses=(IPv4Address("198.51.100.7"),))
    dialogue.client(ASKED)
    assert dialogue.server(b"227 (198,51,100,7,4,210)\r\n") == b"227 (203,0,113,100,4,210)\r\n"
    assert (dialogue.to_real, dialogue.refused) == (["10.77.0.11:1234"], [])


def test_lowest_port_of_a_data_connection_can_be_set() -> None:
    dialogue = Dialogue(minimum_port=20)
    dialogue.client(b"PORT 203,0,113,10,0,20\r\n", b"PORT 203,0,113,10,0,19\r\n")
    assert (dialogue.to_client, dialogue.refused) == (["203.0.113.10:20"], ["PORT names port 19, below 20"])


@pytest.mark.parametrize(
    "table", ['{"minimum_port": 0}', '{"minimum_port": 70000}', '{"own_addresses": ["here"]}', '{"loose": true}']
)
def test_options_that_make_no_sense_are_refused(table: str) -> None:
    with pytest.raises(ValueError, match="validation error"):
        FtpOptions.model_validate_json(table)


def test_plugin_offers_the_helper_by_name() -> None:
    assert list(nat_lb_register_helpers()) == [Ftp]
    assert (Ftp.name, Ftp.protocol, Ftp.ports, Ftp.most_expectations) == ("ftp", "tcp", (21,), 1)


NUMBERS = st.sampled_from([REAL, VIRTUAL, CLIENT, "10.77.0.12", "0.0.0.0"]).map(lambda text: text.replace(".", ","))
PLACES = st.builds("{},{},{}".format, NUMBERS, st.integers(0, 300), st.integers(0, 300)).map(str.encode)
EXTENDED = st.builds("|{}|{}|{}|".format, st.sampled_from(["", "1", "2"]), st.just(REAL), st.integers(0, 70000)).map(
    str.encode
)
WORDS = st.sampled_from(b"PASV;EPSV;PORT ;EPRT ;AUTH TLS;227 ;227-;229 (;230-;230 ;234 ;550 ;);\xff".split(b";"))
LINES = st.lists(WORDS | PLACES | EXTENDED | st.binary(max_size=8), max_size=5).map(
    lambda parts: b"".join(parts) + b"\r\n"
)


@given(st.lists(st.tuples(st.sampled_from(Direction), LINES), max_size=20))
def test_no_dialogue_raises_or_opens_the_way_to_others(lines: list[tuple[Direction, bytes]]) -> None:
    dialogue = Dialogue()
    dialogue.taken = {1234}
    for direction, line in lines:
        for cut in range(len(line)):
            dialogue.ftp.holds(line[:cut], direction)
        edits = dialogue.edits(line, direction)
        assert all(0 <= start < end <= len(line) for start, end, _ in edits)
        assert not edits or direction is Direction.REPLY
    assert all(text.startswith(f"{REAL}:") and int(text.rpartition(":")[2]) >= 1024 for text in dialogue.to_real)
    assert all(text.startswith(f"{CLIENT}:") and int(text.rpartition(":")[2]) >= 1024 for text in dialogue.to_client)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_edited_lines_were_held_from_their_first_octet(before: bytes, text: bytes) -> None:
    dialogue = Dialogue().client(ASKED)
    dialogue.server(before + b"\n")
    line = b"227 " + text.replace(b"\n", b"") + b"(10,77,0,11,4,210)\r\n"
    held = [dialogue.ftp.holds(line[:cut], Direction.REPLY) for cut in range(1, len(line))]
    if dialogue.edits(line, Direction.REPLY):
        assert all(held)
