"""Whole dialogues: which lines are edited, what is expected, what is refused and in which words."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.utils import rdpcap

from nat_lb.api import Direction, Edit, Peers
from nat_lb.testing.packets import endpoint
from nat_lb.testing.recording import Recording
from nat_lb_irc import Irc, IrcOptions, nat_lb_register_helpers
from nat_lb_irc.resume import REMEMBERED

CLIENT, VIRTUAL, REAL = "203.0.113.10", "203.0.113.100", "10.77.0.11"
CLIENT6, VIRTUAL6, REAL6 = "2001:db8::10", "2001:db8::100", "fd00::11"
CIP, VIP, RIP = b"3405803786", b"3405803876", b"172818443"
CAPTURES = Path(__file__).parents[4] / "shared" / "captures"
FROM = b":bot!b@10.77.0.11 PRIVMSG me :\x01DCC "


class Dialogue(Recording):
    """A control connection with a director that remembers what the helper asked of it."""

    def __init__(self, client: str = CLIENT, virtual: str = VIRTUAL, real: str = REAL, **options: Any) -> None:
        super().__init__(Peers(*map(endpoint, (f"{client}:40000", f"{virtual}:6667", f"{real}:6667"))))
        self.irc = Irc(self.peers, IrcOptions(**options) if options else None)

    def edits(self, line: bytes, direction: Direction) -> list[Edit]:
        return self.shows(self.irc, line, direction)

    def client(self, line: bytes) -> bytes:
        return self.passes(self.irc, line, Direction.ORIGINAL)

    def server(self, line: bytes) -> bytes:
        return self.passes(self.irc, line, Direction.REPLY)


@pytest.fixture
def dialogue() -> Dialogue:
    return Dialogue()


@pytest.mark.parametrize("verb", [b"SEND", b"CHAT", b"TSEND", b"SCHAT", b"MOVE", b"send"])
@pytest.mark.parametrize("tail", [b"", b" 1234", b" 1234 9"])
def test_offers_of_the_servers_side_name_the_virtual_endpoint(dialogue: Dialogue, verb: bytes, tail: bytes) -> None:
    dialogue.taken = {5000, 5001}
    got = dialogue.server(FROM + verb + b" f " + RIP + b" 5000" + tail + b"\x01\r\n")
    assert got == FROM + verb + b" f " + VIP + b" 5002" + tail + b"\x01\r\n"
    assert (dialogue.to_real, dialogue.to_client, dialogue.refused) == (["10.77.0.11:5000"], [], [])
    assert {terms.any_client for terms in dialogue.terms} == {False}


def test_offer_in_a_notice_to_a_channel_counts(dialogue: Dialogue) -> None:
    line = b'@id=7 :bot!b@10.77.0.11 NOTICE #us :\x01DCC SEND "my file.bin" 172818443 5000 9\x01\r\n'
    assert dialogue.server(line) == line.replace(RIP, VIP)
    assert dialogue.to_real == ["10.77.0.11:5000"]


def test_offer_without_its_closing_mark_is_followed(dialogue: Dialogue) -> None:
    assert dialogue.server(FROM + b"CHAT chat 172818443 5000\r\n") == FROM + b"CHAT chat 3405803876 5000\r\n"


def test_dotted_offer_stays_dotted(dialogue: Dialogue) -> None:
    assert dialogue.server(FROM + b"SEND f 10.77.0.11 5000\x01\r\n") == FROM + b"SEND f 203.0.113.100 5000\x01\r\n"


def test_version_six_offers_work_in_both_directions() -> None:
    dialogue = Dialogue(CLIENT6, VIRTUAL6, REAL6)
    for host in (b"FD00::0:11", b"[fd00::11]"):
        head = b":bot!b@" + host + b" PRIVMSG me :\x01DCC SEND f "
        assert dialogue.server(head + b"fd00::11 5000 1\x01\r\n") == head + b"2001:db8::100 5000 1\x01\r\n"
    line = b"PRIVMSG bot :\x01DCC SEND f 2001:DB8:0::10 6000 1\x01\r\n"
    assert dialogue.client(line) == line
    assert (dialogue.to_real, dialogue.to_client) == (["[fd00::11]:5000"] * 2, ["[2001:db8::10]:6000"])
    assert dialogue.refused == []


@pytest.mark.parametrize("address", [CIP, VIP, b"167772169", b"127.0.0.1", b"fd00::11"])
def test_offers_between_others_pass_without_a_word(dialogue: Dialogue, address: bytes) -> None:
    line = FROM + b"SEND f " + address + b" 5000\x01\r\n"
    assert dialogue.server(line) == line
    assert (dialogue.to_real, dialogue.to_client, dialogue.refused) == ([], [], [])


def test_own_addresses_stand_for_the_real_server() -> None:
    dialogue = Dialogue(own_addresses=(ip_address("127.0.0.1"), ip_address(VIRTUAL)))
    dialogue.taken = {5000}
    for address in (b"2130706433", VIP):
        got = dialogue.server(FROM + b"SEND f " + address + b" 5000\x01\r\n")
        assert got == FROM + b"SEND f " + VIP + b" 5001\x01\r\n"
    assert dialogue.to_real == ["10.77.0.11:5000"] * 2


def test_clients_offer_is_expected_and_not_changed(dialogue: Dialogue) -> None:
    line = b"PRIVMSG bot :\x01DCC SEND f " + CIP + b" 48865 50000\x01\r\n"
    assert dialogue.client(line) == line
    assert (dialogue.to_real, dialogue.to_client, dialogue.refused) == ([], ["203.0.113.10:48865"], [])


@pytest.mark.parametrize("address", [RIP, VIP, b"167772169"])
def test_client_that_offers_another_address_is_refused(dialogue: Dialogue, address: bytes) -> None:
    line = b"PRIVMSG bot :\x01DCC SEND f " + address + b" 5000\x01\r\n"
    assert dialogue.client(line) == line
    named = ip_address(int(address))
    assert dialogue.refused == [f"DCC SEND names {named}:5000 but the client is 203.0.113.10 (forged)"]
    assert dialogue.kinds == ["forged address"]
    assert (dialogue.to_real, dialogue.to_client) == ([], [])


def test_passive_offers_expect_nothing_and_show_no_inside_address(dialogue: Dialogue) -> None:
    got = dialogue.server(FROM + b"SEND f " + RIP + b" 0 1234 17\x01\r\n")
    assert got == FROM + b"SEND f " + VIP + b" 0 1234 17\x01\r\n"
    line = b"PRIVMSG bot :\x01DCC SEND f 199 0 1234 18\x01\r\n"
    assert dialogue.client(line) == line
    assert (dialogue.to_real, dialogue.to_client, dialogue.refused) == ([], [], [])


def test_answers_to_passive_offers_are_offers(dialogue: Dialogue) -> None:
    dialogue.server(FROM + b"SEND f " + RIP + b" 0 1234 17\x01\r\n")
    dialogue.client(b"PRIVMSG bot :\x01DCC SEND f " + CIP + b" 6000 1234 17\x01\r\n")
    assert dialogue.to_client == ["203.0.113.10:6000"]


@pytest.mark.parametrize("port", [b"1", b"80", b"1023"])
def test_privileged_ports_are_refused_on_either_side(dialogue: Dialogue, port: bytes) -> None:
    line = FROM + b"CHAT chat " + RIP + b" " + port + b"\x01\r\n"
    assert dialogue.server(line) == line
    dialogue.client(b"PRIVMSG bot :\x01DCC CHAT chat " + CIP + b" " + port + b"\x01\r\n")
    number = port.decode()
    assert dialogue.refused == [
        f"DCC CHAT of 'bot!b@10.77.0.11' names port {number}, allowed are 1024 to 65535",
        f"DCC CHAT names port {number}, below 1024",
    ]
    assert (dialogue.to_real, dialogue.to_client) == ([], [])
    assert dialogue.kinds == ["port not allowed"] * 2


def test_ports_of_the_servers_side_can_be_limited_to_a_range() -> None:
    dialogue = Dialogue(minimum_port=5000, maximum_port=5009)
    for port in 4999, 5000, 5009, 5010:
        dialogue.server(FROM + b"SEND f " + RIP + b" %d\x01\r\n" % port)
    assert dialogue.to_real == ["10.77.0.11:5000", "10.77.0.11:5009"]
    assert len(dialogue.refused) == 2


@pytest.mark.parametrize(
    ("sender", "follows"),
    [
        (b"bot!b@10.77.0.11", True),
        (b"bot!b@127.0.0.1", True),  # one of its own_addresses
        (b"bot!10.77.0.11@203.0.113.10", False),
        (b"bot!b@10.77.0.111", False),
        (b"bot!b@real.server.test", False),
        (b"bot!b@10.77.0.11.evil.test", False),
        (b"bot", False),
        (b"10.77.0.11", False),
    ],
)
def test_without_masks_only_who_is_on_the_real_server_is_followed(sender: bytes, follows: bool) -> None:
    dialogue = Dialogue(own_addresses=(ip_address("127.0.0.1"),))
    line = b":" + sender + b" PRIVMSG me :\x01DCC SEND f " + RIP + b" 5000\x01\r\n"
    assert (dialogue.server(line) != line) is follows
    assert dialogue.to_real == (["10.77.0.11:5000"] if follows else [])
    assert len(dialogue.refused) == (not follows)


def test_outsider_cannot_open_a_port_of_the_server_to_himself(dialogue: Dialogue) -> None:
    offer = b"PRIVMSG me :\x01DCC CHAT chat " + RIP + b" 5432\x01\r\n"
    assert dialogue.client(offer) == offer
    echo = b":me!m@203.0.113.10 " + offer
    assert dialogue.server(echo) == echo
    assert dialogue.to_real == []
    assert [text.split(" but ")[0] for text in dialogue.refused] == [
        "DCC CHAT names 10.77.0.11:5432",
        "DCC CHAT of 'me!m@203.0.113.10' names the real server,",
    ]
    assert dialogue.kinds == ["forged address", "sender not trusted"]


@pytest.mark.parametrize(
    ("mask", "follows"),
    [
        ("*", True),
        ("bot!*@10.77.*", True),
        ("BOT!?@10.77.0.11", True),
        ("bot", False),
        ("other!*@*", False),
        ("bot!*@10.77.0.1?1", False),
        ("[b]ot!*@*", False),
    ],
)
def test_only_offers_of_listed_senders_are_followed(mask: str, follows: bool) -> None:
    dialogue = Dialogue(senders=("nobody!*@*", mask))
    line = FROM + b"SEND f " + RIP + b" 5000\x01\r\n"
    assert (dialogue.server(line) != line) is follows
    refusal = "DCC SEND of 'bot!b@10.77.0.11' names the real server, but no mask of `senders` is his"
    assert dialogue.refused == ([] if follows else [refusal])
    assert dialogue.kinds == ([] if follows else ["sender not trusted"])


def test_expectations_for_any_client_can_be_asked_for() -> None:
    dialogue = Dialogue(any_client=True)
    dialogue.server(FROM + b"SEND f " + RIP + b" 5000\x01\r\n")
    assert {terms.any_client for terms in dialogue.terms} == {True}


def test_resume_and_accept_name_the_port_that_the_other_end_knows(dialogue: Dialogue) -> None:
    dialogue.taken = {5000, 5001}
    dialogue.server(FROM + b'SEND "a b" ' + RIP + b" 5000 99\x01\r\n")
    resume = dialogue.client(b'PRIVMSG BOT :\x01DCC RESUME "a b" 5002 10\x01\r\n')
    assert resume == b'PRIVMSG BOT :\x01DCC RESUME "a b" 5000 10\x01\r\n'
    assert dialogue.server(FROM + b'ACCEPT "a b" 5000 10\x01\r\n') == FROM + b'ACCEPT "a b" 5002 10\x01\r\n'
    assert dialogue.refused == []


@pytest.mark.parametrize(
    ("direction", "line"),
    [
        (Direction.ORIGINAL, b"PRIVMSG eve :\x01DCC RESUME f 5001 10\x01\r\n"),
        (Direction.ORIGINAL, b"PRIVMSG bot :\x01DCC RESUME f 5000 10\x01\r\n"),
        (Direction.ORIGINAL, b"PRIVMSG bot :\x01DCC ACCEPT f 5001 10\x01\r\n"),
        (Direction.ORIGINAL, b"PRIVMSG bot :\x01DCC RESUME f 0 10 17\x01\r\n"),
        (Direction.REPLY, b":eve!e@x PRIVMSG me :\x01DCC ACCEPT f 5000 10\x01\r\n"),
        (Direction.REPLY, FROM + b"RESUME f 5000 10\x01\r\n"),
        (Direction.REPLY, FROM + b"ACCEPT f 5002 10\x01\r\n"),
        (Direction.REPLY, FROM + b"XMIT f 5000 10\x01\r\n"),
    ],
)
def test_resume_of_other_offers_is_left_alone(dialogue: Dialogue, direction: Direction, line: bytes) -> None:
    dialogue.taken = {5000}
    dialogue.server(FROM + b"SEND f " + RIP + b" 5000 99\x01\r\n")
    assert dialogue.edits(line, direction) == []
    assert dialogue.refused == []


def test_offers_are_forgotten_beyond_a_bound(dialogue: Dialogue) -> None:
    dialogue.taken = {2000}
    for port in range(2000, 2001 + REMEMBERED):
        dialogue.server(FROM + b"SEND f " + RIP + b" %d\x01\r\n" % port)
    line = b"PRIVMSG bot :\x01DCC RESUME f 2001 10\x01\r\n"
    assert dialogue.client(line) == line


def test_line_that_would_become_too_long_is_refused_and_nothing_expected() -> None:
    dialogue = Dialogue(real="10.0.0.1")  # 167772161 is shorter than the virtual address
    head = b":bot!b@10.0.0.1 PRIVMSG me :\x01DCC SEND "
    rest = b" 167772161 50000 1\x01\r\n"
    fits = head + b"f" * (511 - len(head) - len(rest)) + rest
    assert len(dialogue.server(fits)) == 512
    full = head + b"f" * (512 - len(head) - len(rest)) + rest
    assert dialogue.server(full) == full
    assert dialogue.refused == ["DCC SEND has no room for the virtual endpoint in 512 octets"]
    assert dialogue.kinds == ["line too long"]
    assert dialogue.to_real == ["10.0.0.1:50000"]


def test_refusal_of_the_director_passes_the_line_on(dialogue: Dialogue) -> None:
    dialogue.full = True
    line = FROM + b"SEND f " + RIP + b" 5000\x01\r\n"
    assert dialogue.server(line) == line
    dialogue.client(b"PRIVMSG bot :\x01DCC CHAT chat " + CIP + b" 5000\x01\r\n")
    assert dialogue.refused == ["no public port is free", "no public port is free"]


def test_helper_leaves_when_encryption_begins(dialogue: Dialogue) -> None:
    dialogue.client(b"STARTTLS\r\n")
    assert not dialogue.stopped
    dialogue.server(b":irc.test NOTICE * :wait\r\n")
    assert not dialogue.stopped
    dialogue.server(b":irc.test 670 * :STARTTLS successful\r\n")
    assert dialogue.stopped


def test_helper_stays_when_nobody_asked_for_encryption_or_it_fails(dialogue: Dialogue) -> None:
    dialogue.server(b":irc.test 670 me :something else\r\n")
    dialogue.client(b"STARTTLS\r\n")
    dialogue.server(b":irc.test 691 * :STARTTLS failed\r\n")
    assert not dialogue.stopped
    assert dialogue.server(FROM + b"SEND f " + RIP + b" 5000\x01\r\n") != FROM + b"SEND f " + RIP + b" 5000\x01\r\n"


@pytest.mark.parametrize(
    ("tail", "held"),
    [
        (FROM + b"SEND ", True),
        (FROM + b"SEND f 1728", True),
        (FROM + b'schat "a b" 172818443 5000\x01\r', True),
        (FROM + b"SEND", False),
        (FROM, False),
        (FROM + b"ACCEPT f 50", True),
        (FROM + b"RESUME f 50", False),
        (b":bot!b@h PRIVMSG me :hello", False),
        (b":irc.test 372 me :- motd", False),
        (b"", False),
    ],
)
def test_only_the_arguments_of_requests_are_held(dialogue: Dialogue, tail: bytes, held: bool) -> None:
    assert dialogue.irc.holds(tail, Direction.REPLY) is held


def test_of_the_clients_requests_only_resume_is_held(dialogue: Dialogue) -> None:
    """An offer may come, and its port turn out to be taken, while half of a RESUME is there."""
    assert dialogue.irc.holds(b"PRIVMSG bot :\x01DCC RESUME f 50", Direction.ORIGINAL)
    assert not dialogue.irc.holds(b"PRIVMSG bot :\x01DCC SEND f 1728", Direction.ORIGINAL)


@pytest.mark.parametrize("port", [b"5000", b"005000", b"7", b"007"])
def test_port_that_is_not_translated_keeps_its_spelling(dialogue: Dialogue, port: bytes) -> None:
    dialogue.server(FROM + b"SEND f " + RIP + b" 5000\x01\r\n")
    assert dialogue.edits(b"PRIVMSG bot :\x01DCC RESUME f %b 10\x01\r\n" % port, Direction.ORIGINAL) == []
    assert dialogue.edits(FROM + b"ACCEPT f %b 10\x01\r\n" % port, Direction.REPLY) == []


@pytest.mark.parametrize(
    "table",
    [
        '{"minimum_port": 80}',
        '{"maximum_port": 70000}',
        '{"minimum_port": 6000, "maximum_port": 5000}',
        '{"own_addresses": ["here"]}',
        '{"senders": "*"}',
        '{"any_client": "perhaps"}',
        '{"loose": true}',
    ],
)
def test_options_that_make_no_sense_are_refused(table: str) -> None:
    with pytest.raises(ValueError, match="validation error"):
        IrcOptions.model_validate_json(table)


def test_plugin_offers_the_helper_by_name() -> None:
    assert list(nat_lb_register_helpers()) == [Irc]
    assert (Irc.name, Irc.protocol, Irc.ports, Irc.most_expectations) == ("irc", "tcp", (6667,), 8)
    assert Irc.expectation_timeout == 300.0


@pytest.mark.skipif(not CAPTURES.is_dir(), reason=f"{CAPTURES} is not there: captures of real programs")
@pytest.mark.parametrize(
    ("capture", "client", "to_real", "to_client"),
    [
        ("irc-dcc-weechat-client", CLIENT, ["10.77.0.11:35631"], ["203.0.113.10:48865"]),
        ("zeek-irc-dcc-first-command", "10.0.0.1", [], ["10.0.0.1:5555"]),
    ],
)
def test_captured_offers_are_understood(capture: str, client: str, to_real: list[str], to_client: list[str]) -> None:
    dialogue = Dialogue(client)
    edited = []
    for packet in rdpcap(str(CAPTURES / f"{capture}.pcap")):
        if TCP in packet and 6667 in (packet[TCP].sport, packet[TCP].dport):
            direction = Direction.ORIGINAL if packet[IP].src == client else Direction.REPLY
            for line in bytes(packet[TCP].payload).splitlines(keepends=True):
                edited += dialogue.edits(line, direction)
    assert (dialogue.to_real, dialogue.to_client, dialogue.refused) == (to_real, to_client, [])
    assert [edit.text for edit in edited] == [VIP for _ in to_real]


HEADS = st.sampled_from([b"", b":bot!b@10.77.0.11 ", b"@t=1 :eve!e@x ", b":bot "])
TEXTS = st.sampled_from([b"PRIVMSG me :\x01DCC ", b"NOTICE bot :\x01dcc ", b"PRIVMSG me :", b"670 * :", b"STARTTLS"])
VERBS = st.sampled_from([b"SEND ", b"CHAT ", b"MOVE ", b"RESUME ", b"ACCEPT ", b"send", b""])
NAMES = st.sampled_from([b"f ", b'"a b" ', b'"', b"\xff ", b""])
NUMBERS = st.sampled_from([RIP, VIP, CIP, b"10.77.0.11", b"0", b"99999999999", b"fd00::11", b"x"])
PORTS = st.integers(-1, 70000).map(lambda port: b" %d" % port)
LINES = st.builds(
    lambda *parts: b"".join(parts) + b"\r\n",
    HEADS, TEXTS, VERBS, NAMES, NUMBERS, PORTS, st.binary(max_size=8).map(lambda text: text.replace(b"\n", b"")),
)  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(Direction), LINES), max_size=20))
def test_no_dialogue_raises_or_opens_the_way_to_others(lines: list[tuple[Direction, bytes]]) -> None:
    dialogue = Dialogue()
    dialogue.taken = set(range(1024, 30000))
    for direction, line in lines:
        holds = [dialogue.irc.holds(line[:cut], direction) for cut in range(len(line))]
        edits = dialogue.edits(line, direction)
        assert all(0 <= start < end <= len(line) for start, end, _ in edits)
        assert not edits or all(holds[edits[0].start + 1 :])  # held from there on, so that the edit reaches it
    assert all(text.startswith(f"{REAL}:") and int(text.rpartition(":")[2]) >= 1024 for text in dialogue.to_real)
    assert all(text.startswith(f"{CLIENT}:") and int(text.rpartition(":")[2]) >= 1024 for text in dialogue.to_client)


@given(st.binary(max_size=60), st.sampled_from(Direction))
def test_random_octets_raise_nothing(line: bytes, direction: Direction) -> None:
    dialogue = Dialogue()
    dialogue.irc.holds(line, direction)
    assert dialogue.edits(FROM + b"SEND " + line + b"\n", direction) is not None
    dialogue.edits(line, direction)


PLAIN = st.sampled_from(
    [b"PING :x\r\n", b"starttls\r\n", b"STARTTLS\r\n", b":irc 670 me :go\r\n", b"PRIVMSG b :hi\r\n", b""]
)


@given(st.lists(st.tuples(st.sampled_from(Direction), st.lists(PLAIN | LINES, max_size=3)), max_size=20))
def test_what_it_ignores_means_no_more_than_if_it_were_shown(segments: list[tuple[Direction, list[bytes]]]) -> None:
    one, other = Dialogue(), Dialogue()
    for direction, lines in segments:
        shown = [other.edits(line, direction) for line in lines]
        if one.irc.ignores(b"".join(lines), direction):
            assert not any(shown)
        else:
            assert [one.edits(line, direction) for line in lines] == shown
        assert state(one) == state(other)


def state(dialogue: Dialogue) -> object:
    irc, asked = dialogue.irc, (dialogue.to_real, dialogue.to_client, dialogue.refused, dialogue.stopped)
    return vars(irc._offered), irc._asked_for_encryption, asked


def test_conversation_is_ignored_until_it_may_turn_to_encryption(dialogue: Dialogue) -> None:
    for direction in Direction:
        assert dialogue.irc.ignores(b"PING :x\r\nPRIVMSG bob :DCC SEND f 1 2\r\n", direction)
        assert not dialogue.irc.ignores(b"PING :x\r\nPRIV", direction)
        assert not dialogue.irc.ignores(FROM + b"SEND f 1 2\x01\r\n", direction)
    assert not dialogue.irc.ignores(b"Starttls\r\n", Direction.ORIGINAL)
    dialogue.client(b"STARTTLS\r\n")
    assert not dialogue.irc.ignores(b":irc 670 me :go\r\n", Direction.REPLY)
