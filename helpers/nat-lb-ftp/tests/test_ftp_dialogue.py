"""Whole dialogues: which lines are edited, what is expected, what is refused and in which words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nat_lb.api import Direction, Edit, Peers
from nat_lb.testing.packets import endpoint
from nat_lb.testing.recording import Recording
from nat_lb_ftp import Ftp, FtpOptions, nat_lb_register_helpers

CLIENT, VIRTUAL, REAL = "203.0.113.10", "203.0.113.100", "10.77.0.11"
CLIENT6, VIRTUAL6, REAL6 = "2001:db8::10", "2001:db8::100", "fd00::11"
ASKED = b"PASV\r\n"
OBSOLETE = "is not supported; the client has to use PORT, PASV, EPRT or EPSV"
ANOTHER = "names {} but the real server is 10.77.0.11 (own_addresses may list others)".format


class Dialogue(Recording):
    """A control connection with a director that remembers what the helper asked of it."""

    def __init__(self, client: str = CLIENT, virtual: str = VIRTUAL, real: str = REAL, **options: Any) -> None:
        super().__init__(Peers(*map(endpoint, (f"{client}:40000", f"{virtual}:21", f"{real}:21"))))
        self.ftp = Ftp(self.peers, FtpOptions.model_validate_json(json.dumps(options)) if options else None)

    def edits(self, line: bytes, direction: Direction) -> list[Edit]:
        return self.shows(self.ftp, line, direction)

    def client(self, *lines: bytes) -> Dialogue:
        for line in lines:
            assert self.edits(line, Direction.ORIGINAL) == []
        return self

    def server(self, *lines: bytes) -> bytes:
        """Return what the client gets of these lines."""
        return b"".join(self.passes(self.ftp, line, Direction.REPLY) for line in lines)


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


BOUNCE = "names {} but the client is 203.0.113.10 (bounce attempt)".format


@pytest.mark.parametrize(
    ("command", "problem", "kind"),
    [
        (b"PORT 10,0,0,9,15,160\r\n", "PORT " + BOUNCE("10.0.0.9:4000"), "bounce attempt"),
        (b"PORT 203,0,113,100,15,160\r\n", "PORT " + BOUNCE("203.0.113.100:4000"), "bounce attempt"),
        (b"PORT 127,0,0,1,15,160\r\n", "PORT " + BOUNCE("127.0.0.1:4000"), "bounce attempt"),
        (b"PORT 0,0,0,0,15,160\r\n", "PORT " + BOUNCE("0.0.0.0:4000"), "bounce attempt"),
        (b"PORT 10,0,0,9,0,80\r\n", "PORT " + BOUNCE("10.0.0.9:80"), "bounce attempt"),
        (b"EPRT |1|10.77.0.11|4000|\r\n", "EPRT " + BOUNCE("10.77.0.11:4000"), "bounce attempt"),
        (b"EPRT |2|fd00::1|4000|\r\n", "EPRT " + BOUNCE("[fd00::1]:4000"), "bounce attempt"),
        (b"EPRT |2|::ffff:203.0.113.10|4000|\r\n", "EPRT " + BOUNCE("[::ffff:cb00:710a]:4000"), "bounce attempt"),
        (b"PORT 203,0,113,10,0,80\r\n", "PORT names port 80, below 1024", "privileged port"),
        (b"PORT 203,0,113,10,0,0\r\n", "PORT names port 0, below 1024", "privileged port"),
        (b"EPRT |1|203.0.113.10|1023|\r\n", "EPRT names port 1023, below 1024", "privileged port"),
        (b"EPRT |1|203.0.113.10|0|\r\n", "EPRT names port 0, below 1024", "privileged port"),
        (b"PORT 203,0,113,10,300,20\r\n", "PORT has a number above 255: '203,0,113,10,300,20'", "malformed"),
        (b"PORT\r\n", "PORT without six numbers: ''", "malformed"),
        (b"PORT 203,0,113,10,156,64\0\r\n", r"PORT without six numbers: '203,0,113,10,156,64\x00'", "malformed"),
        (b"LPRT 4,4,203,0,113,10,2,156,64\r\n", f"LPRT {OBSOLETE}", "unsupported"),
        (b"lpsv\r\n", f"LPSV {OBSOLETE}", "unsupported"),
    ],
)
def test_active_commands_that_abuse_the_server_are_refused(
    dialogue: Dialogue, command: bytes, problem: str, kind: str
) -> None:
    dialogue.client(command)
    assert (dialogue.to_client, dialogue.refused, dialogue.kinds) == ([], [problem], [kind])


def test_family_that_is_not_the_connection_s_is_refused(dialogue6: Dialogue) -> None:
    dialogue6.client(b"PORT 203,0,113,10,156,64\r\n")
    assert dialogue6.to_client == []
    assert dialogue6.refused == ["PORT names 203.0.113.10:40000 but the client is 2001:db8::10 (bounce attempt)"]


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
    ("reply", "problem", "kind"),
    [
        (b"227 (10,77,0,12,4,210)\r\n", f"227 {ANOTHER('10.77.0.12:1234')}", "foreign address"),
        (b"227 (0,0,0,0,4,210)\r\n", f"227 {ANOTHER('0.0.0.0:1234')}", "foreign address"),
        (b"227 (203,0,113,10,4,210)\r\n", f"227 {ANOTHER('203.0.113.10:1234')}", "foreign address"),
        (b"227 (10,77,0,11,0,80)\r\n", "227 names port 80, below 1024", "privileged port"),
        (b"227 (10,77,0,11,0,0)\r\n", "227 names port 0, below 1024", "privileged port"),
        (b"227 (10,77,0,11,256,1)\r\n", "227 has a number above 255: '10,77,0,11,256,1'", "malformed"),
        (b"227 Entering Passive Mode\r\n", "227 without six numbers: '227 Entering Passive Mode'", "malformed"),
    ],
)
def test_passive_replies_to_nowhere_good_pass_unchanged(
    dialogue: Dialogue, reply: bytes, problem: str, kind: str
) -> None:
    assert dialogue.client(ASKED).server(reply) == reply
    assert (dialogue.to_real, dialogue.refused, dialogue.kinds) == ([], [problem], [kind])


@pytest.mark.parametrize(
    ("reply", "problem", "kind"),
    [
        (b"229 (|||80|)\r\n", "229 names port 80, below 1024", "privileged port"),
        (b"229 (|||0|)\r\n", "229 names port 0, below 1024", "privileged port"),
        (b"229 (|||99999|)\r\n", "229 names port 99999, which does not exist", "malformed"),
        (b"229 (|1|10.77.0.12|1234|)\r\n", f"229 {ANOTHER('10.77.0.12:1234')}", "foreign address"),
    ],
)
def test_extended_replies_to_nowhere_good_pass_unchanged(
    dialogue: Dialogue, reply: bytes, problem: str, kind: str
) -> None:
    assert dialogue.client(b"EPSV\r\n").server(reply) == reply
    assert (dialogue.to_real, dialogue.refused, dialogue.kinds) == ([], [problem], [kind])


def test_passive_reply_over_version_six_is_refused(dialogue6: Dialogue) -> None:
    reply = b"227 (10,77,0,11,4,210)\r\n"
    assert dialogue6.client(ASKED).server(reply) == reply
    assert dialogue6.refused == ["227 cannot name an endpoint of an IPv6 connection; EPSV can"]
    assert dialogue6.kinds == ["wrong family"]


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
    assert (dialogue.to_real, dialogue.refused, dialogue.kinds) == ([], [problem], ["unasked reply"])


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
    assert dialogue.to_real == ["10.77.0.11:1234", "10.77.0.11:1235"]
    assert dialogue.refused == ["227 inside the reply 220-, which has not ended"]


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
    assert dialogue.server(*lines) == b"".join(lines)
    assert dialogue.client(ASKED).server(*lines) == b"".join(lines)
    assert (dialogue.to_real, dialogue.kinds) == ([], ["unasked reply"])
    assert dialogue.refused == ["227 inside the reply 230-, which has not ended"]


TLS: dict[str, Any] = {"passive_ports": {REAL: "50000-50099", "10.77.0.12": "50100-50199"}}
HELLO = b"\x16\x03\x01\x02\x00\x01\n\x01\xfc"


@pytest.mark.parametrize("command", [b"AUTH TLS\r\n", b"auth ssl\r\n", b"AUTH TLS-C\r\n", b"Auth tls-p\r\n"])
@pytest.mark.parametrize("reply", [b"234 Proceed\r\n", b"334 [SSL Auth OK]\r\n"])
def test_encryption_opens_the_real_server_s_own_range(command: bytes, reply: bytes) -> None:
    dialogue = Dialogue(**TLS).client(command)
    assert (dialogue.ranges, dialogue.stopped) == ([], False)
    assert dialogue.server(reply) == reply
    assert (dialogue.ranges, dialogue.stopped, dialogue.refused) == ([range(50000, 50100)], True, [])


@pytest.mark.parametrize("options", [{}, {"passive_ports": {"10.77.0.12": "50100-50199"}}])
def test_encryption_without_a_range_is_logged_once(options: dict[str, Any]) -> None:
    dialogue = Dialogue(**options).client(b"AUTH TLS\r\n")
    dialogue.server(b"234 Proceed\r\n")
    assert (dialogue.ranges, dialogue.stopped, dialogue.kinds) == ([], True, ["encrypted"])
    assert dialogue.refused == [
        "encrypted, and passive_ports has no range for 10.77.0.11: passive data connections cannot be expected"
    ]


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (b"AUTH TLS\r\n", b"530 Please login first\r\n"),
        (b"AUTH TLS\r\n", b"431 Need a certificate\r\n"),
        (b"AUTH TLS\r\n", b"234-not yet\r\n"),
        (b"AUTH GSSAPI\r\n", b"334 go on\r\n"),
        (b"HELP\r\n", b"234 out of the blue\r\n"),
        (b"STAT\r\n", b"213-234 in a listing\r\n234 too\r\n"),
    ],
)
def test_encryption_that_is_refused_opens_nothing(command: bytes, reply: bytes) -> None:
    dialogue = Dialogue(**TLS).client(command)
    dialogue.server(*reply.splitlines(keepends=True))
    assert (dialogue.ranges, dialogue.stopped, dialogue.refused) == ([], False, [])


def test_session_that_begins_with_encryption_opens_the_range_when_the_server_answers_in_kind() -> None:
    dialogue = Dialogue(**TLS)
    assert dialogue.ftp.frame(HELLO, Direction.ORIGINAL) == len(HELLO)
    assert dialogue.client(HELLO).ranges == []
    assert dialogue.ftp.frame(HELLO, Direction.REPLY) == len(HELLO)
    assert dialogue.server(HELLO) == HELLO
    assert (dialogue.ranges, dialogue.stopped, dialogue.refused) == ([range(50000, 50100)], True, [])


@pytest.mark.parametrize(
    ("client", "server"),
    [(HELLO, b"220 ready\r\n"), (b"USER x\r\n", HELLO), (b"", HELLO), (b"USER x\r\n" + HELLO, b"")],
)
def test_encryption_that_only_one_end_speaks_opens_nothing(client: bytes, server: bytes) -> None:
    dialogue = Dialogue(**TLS)
    for data, direction in (client, Direction.ORIGINAL), (server, Direction.REPLY):
        while data:
            size = dialogue.ftp.frame(data, direction) or len(data)
            assert dialogue.edits(data[:size], direction) == []
            data = data[size:]
    assert (dialogue.ranges, dialogue.stopped) == ([], False)


def test_refused_encryption_leaves_passive_mode_working(dialogue: Dialogue) -> None:
    dialogue.client(b"AUTH TLS\r\n").server(b"502 no\r\n")
    assert dialogue.client(ASKED).server(b"227 (10,77,0,11,4,210)\r\n") == b"227 (203,0,113,100,4,210)\r\n"


def test_expectation_that_the_director_refuses_is_passed_on_unchanged(dialogue: Dialogue) -> None:
    dialogue.full = True
    reply = b"227 (10,77,0,11,4,210)\r\n"
    assert dialogue.client(ASKED, b"PORT 203,0,113,10,156,64\r\n").server(reply) == reply
    assert dialogue.refused == ["no public port is free", "no public port is free"]
    assert dialogue.kinds == ["no free port", "no free port"]


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
    dialogue = Dialogue(own_addresses=["198.51.100.7"])
    dialogue.client(ASKED)
    assert dialogue.server(b"227 (198,51,100,7,4,210)\r\n") == b"227 (203,0,113,100,4,210)\r\n"
    assert (dialogue.to_real, dialogue.refused) == (["10.77.0.11:1234"], [])


def test_lowest_port_of_a_data_connection_can_be_set() -> None:
    dialogue = Dialogue(minimum_port=20)
    dialogue.client(b"PORT 203,0,113,10,0,20\r\n", b"PORT 203,0,113,10,0,19\r\n")
    assert (dialogue.to_client, dialogue.refused) == (["203.0.113.10:20"], ["PORT names port 19, below 20"])


def test_data_connection_is_the_client_s_unless_foreign_clients_are_let_in() -> None:
    for foreign in False, True:
        dialogue = Dialogue(foreign_clients=foreign).client(ASKED)
        dialogue.server(b"227 (10,77,0,11,4,210)\r\n")
        assert [terms.any_client for terms in dialogue.terms] == [foreign]


def test_plugin_offers_the_helper_by_name() -> None:
    assert list(nat_lb_register_helpers()) == [Ftp]
    assert (Ftp.name, Ftp.protocol, Ftp.ports) == ("ftp", "tcp", (21,))


def test_one_data_connection_is_expected_for_five_minutes() -> None:
    assert (Ftp.most_expectations, Ftp.expectation_timeout, Ftp.longest_message) == (1, 300.0, 4096)


KINDS = {"bounce attempt", "privileged port", "foreign address", "unasked reply", "malformed", "unsupported"}
NUMBERS = st.sampled_from([REAL, VIRTUAL, CLIENT, "10.77.0.12", "0.0.0.0"]).map(lambda text: text.replace(".", ","))
PLACES = st.builds("{},{},{}".format, NUMBERS, st.integers(0, 300), st.integers(0, 300)).map(str.encode)
EXTENDED = st.builds("|{}|{}|{}|".format, st.sampled_from(["", "1", "2"]), st.just(REAL), st.integers(0, 70000)).map(
    str.encode
)
WORDS = st.sampled_from(
    b"PASV;EPSV;PORT ;EPRT ;AUTH TLS;\x16\x03;227 ;227-;229 (;230-;230 ;234 ;550 ;);\xff".split(b";")
)
LINES = st.lists(WORDS | PLACES | EXTENDED | st.binary(max_size=8), max_size=5).map(
    lambda parts: b"".join(parts) + b"\r\n"
)


@given(st.lists(st.tuples(st.sampled_from(Direction), LINES), max_size=20))
def test_no_dialogue_raises_or_opens_the_way_to_others(lines: list[tuple[Direction, bytes]]) -> None:
    dialogue = Dialogue(**TLS)
    dialogue.taken = {1234}
    for direction, line in lines:
        for cut in range(len(line)):
            dialogue.ftp.holds(line[:cut], direction)
        edits = dialogue.edits(line, direction)
        assert all(0 <= start < end <= len(line) for start, end, _ in edits)
        assert not edits or direction is Direction.REPLY
    assert all(text.startswith(f"{REAL}:") and int(text.rpartition(":")[2]) >= 1024 for text in dialogue.to_real)
    assert all(text.startswith(f"{CLIENT}:") and int(text.rpartition(":")[2]) >= 1024 for text in dialogue.to_client)
    assert all(ports == range(50000, 50100) for ports in dialogue.ranges)
    assert all(kind in KINDS for kind in dialogue.kinds)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_edited_lines_were_held_from_their_first_octet(before: bytes, text: bytes) -> None:
    dialogue = Dialogue().client(ASKED)
    dialogue.server(before + b"\n")
    line = b"227 " + text.replace(b"\n", b"") + b"(10,77,0,11,4,210)\r\n"
    held = [dialogue.ftp.holds(line[:cut], Direction.REPLY) for cut in range(1, len(line))]
    if dialogue.edits(line, Direction.REPLY):
        assert all(held)


TEXTS = (
    b"NOOP|PWD|CWD 227 |cwd x|RETRX|CWDIR|PASV|EPSV|EPSV ALL|AUTH TLS|AUTH GSSAPI|PORT 203,0,113,10,156,64|LPSV|"
    b"NOOP\r\nPASV|200 ok|200-ok|200|150 here|500 no|331 go on|227 (10,77,0,11,4,210)|229 ok (!!!1234!)|234 ok| 200 ok|"
    b"2000 ok|\xff\xf4NOOP|\x16\x03\x01|"
)
SEGMENTS = st.tuples(
    st.sampled_from(Direction),
    st.sampled_from([text + b"\r\n" for text in TEXTS.split(b"|")])
    | st.binary(max_size=6).map(lambda octets: octets.replace(b"\n", b"").replace(b"\r", b"") + b"\n"),
)  # fmt: skip


@given(st.lists(SEGMENTS, min_size=10, max_size=30))
@settings(max_examples=300)
def test_what_it_ignores_means_no_more_than_if_it_were_shown(segments: list[tuple[Direction, bytes]]) -> None:
    one, other = Dialogue(), Dialogue()
    for direction, octets in segments:
        lines = octets.splitlines(keepends=True)
        shown = [other.edits(line, direction) for line in lines]
        if one.ftp.ignores(octets, direction):
            assert not any(shown)
        else:
            assert [one.edits(line, direction) for line in lines] == shown
        assert state(one) == state(other)


def state(dialogue: Dialogue) -> object:
    ftp, asked = dialogue.ftp, (dialogue.to_real, dialogue.to_client, dialogue.refused, dialogue.stopped)
    return vars(ftp._commands), vars(ftp._replies), ftp._spoken, asked


@pytest.mark.parametrize("command", [b"NOOP\r\n", b"RETR 227 (10,77,0,11,4,210)\r\n", b"PWD\r\n"])
def test_plain_lines_are_ignored_while_nothing_is_awaited(dialogue: Dialogue, command: bytes) -> None:
    dialogue.server(b"220 hello\r\n")
    dialogue.client(b"USER me\r\n")
    assert dialogue.ftp.ignores(command, Direction.ORIGINAL)
    assert dialogue.ftp.ignores(b"226 done\r\n", Direction.REPLY)
    dialogue.client(b"PASV\r\n")
    assert not dialogue.ftp.ignores(b"226 done\r\n", Direction.REPLY)
    dialogue.server(b"331 go on\r\n", b"227 (10,77,0,11,4,210)\r\n")
    assert dialogue.ftp.ignores(b"226 done\r\n", Direction.REPLY)
    assert dialogue.to_real == [f"{REAL}:1234"]
