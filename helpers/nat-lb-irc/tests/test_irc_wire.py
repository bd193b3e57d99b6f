"""The texts in which IRC carries DCC, one table a form."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nat_lb.api import Refusal
from nat_lb_irc.wire import (
    asks_for_encryption,
    begins_encryption,
    find_request,
    folded_nick,
    parse_offer,
    parse_resume,
    shown,
    write_address,
)


@pytest.mark.parametrize(
    ("line", "verb", "sender", "target"),
    [
        (b"PRIVMSG bob :\x01DCC SEND f 1 2\x01\r\n", "SEND", b"", b"bob"),
        (b":a!b@c PRIVMSG bob :\x01DCC SEND f 1 2\x01\r\n", "SEND", b"a!b@c", b"bob"),
        (b":a!b@c NOTICE #x :\x01DCC CHAT chat 1 2\x01\r\n", "CHAT", b"a!b@c", b"#x"),
        (b"@time=12:00;x=y :a!b@c privmsg bob :\x01dcc tsend f 1 2\n", "TSEND", b"a!b@c", b"bob"),
        (b":a  PRIVMSG  bob  :\x01DCC  MOVE  f 1 2\x01", "MOVE", b"a", b"bob"),
        (b"PRIVMSG bob,eve :\x01DCC XMIT f", "XMIT", b"", b"bob,eve"),
    ],
)
def test_requests_are_found_at_the_start_of_a_text(line: bytes, verb: str, sender: bytes, target: bytes) -> None:
    request = find_request(line)
    assert request is not None
    assert (request.verb, request.sender, request.target) == (verb, sender, target)


@pytest.mark.parametrize(
    "line",
    [
        b"PRIVMSG bob :see \x01DCC SEND f 1 2\x01\r\n",
        b"PRIVMSG bob :DCC SEND f 1 2\r\n",
        b"PRIVMSG bob :\x01VERSION\x01\x01DCC SEND f 1 2\x01\r\n",
        b":a!b@c TOPIC #x :\x01DCC SEND f 1 2\x01\r\n",
        b":a!b@c QUIT :\x01DCC SEND f 1 2\x01\r\n",
        b":a!b@c JOIN PRIVMSG bob :\x01DCC SEND f 1 2\x01\r\n",
        b":PRIVMSG bob :\x01DCC SEND f 1 2\x01\r\n",
        b"PRIVMSG :bob :\x01DCC SEND f 1 2\x01\r\n",
        b"PRIVMSG bob eve :\x01DCC SEND f 1 2\x01\r\n",
        b"PRIVMSG bob :\x01DCCSEND f 1 2\x01\r\n",
        b"PRIVMSG bob :\x01DCC SEND",
        b"PRIVMSG bob :\x01DCC SEND\x01\r\n",
        b"xPRIVMSG bob :\x01DCC SEND f 1 2\x01\r\n",
        b"\r\n",
        b"",
    ],
)
def test_what_is_no_request_is_not_taken_for_one(line: bytes) -> None:
    assert find_request(line) is None


@pytest.mark.parametrize(
    ("arguments", "address", "port"),
    [
        (b"f 172818443 5000", "10.77.0.11", 5000),
        (b"f 172818443 5000 1234", "10.77.0.11", 5000),
        (b"f 172818443 0 1234 17", "10.77.0.11", 0),
        (b'"two words" 172818443 5000 1', "10.77.0.11", 5000),
        (b'"1 2 3" 172818443 5000 1', "10.77.0.11", 5000),
        (b'"\xe9t\xe9 1.txt" 172818443 05000', "10.77.0.11", 5000),
        (b'a"b 172818443 5000', "10.77.0.11", 5000),
        (b"f  172818443  5000", "10.77.0.11", 5000),
        (b"f 10.77.0.11 5000", "10.77.0.11", 5000),
        (b"f fd00::11 5000 7", "fd00::11", 5000),
        (b"f FD00:0:0:0:0:0:0:11 5000 7", "fd00::11", 5000),
        (b"f 0 65535", "0.0.0.0", 65535),
    ],
)
def test_offers_name_an_address_and_a_port(arguments: bytes, address: str, port: int) -> None:
    line = b"PRIVMSG bob :\x01DCC SEND " + arguments + b"\x01\r\n"
    request = find_request(line)
    assert request is not None
    offer = parse_offer(line, request)
    assert (offer.address, offer.port) == (ip_address(address), port)
    assert int(line[slice(*offer.port_span)]) == port
    assert line[slice(*offer.address_span)] in arguments.split()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (b"f", "DCC SEND without address and port: 'f'"),
        (b"f 172818443", "DCC SEND without address and port: 'f 172818443'"),
        (b"f 172818443 5000x", "DCC SEND without address and port: 'f 172818443 5000x'"),
        (b"two words 172818443 5000", "DCC SEND without address and port: 'two words 172818443 5000'"),
        (b'"open 172818443 5000', "DCC SEND without address and port: '\"open 172818443 5000'"),
        (b"f -1 5000", "DCC SEND without address and port: 'f -1 5000'"),
        (b"f host.name 5000", "DCC SEND without address and port: 'f host.name 5000'"),
        (b"f 4294967296 5000", "DCC SEND names no IP address: '4294967296'"),
        (b"f 10.77.0 5000", "DCC SEND names no IP address: '10.77.0'"),
        (b"f fd00:::1 5000", "DCC SEND names no IP address: 'fd00:::1'"),
        (b"f 172818443 65536", "DCC SEND names port 65536, which does not exist"),
    ],
)
def test_offers_without_an_endpoint_are_refused(arguments: bytes, problem: str) -> None:
    line = b"PRIVMSG bob :\x01DCC SEND " + arguments + b"\x01\r\n"
    request = find_request(line)
    assert request is not None
    with pytest.raises(Refusal) as caught:
        parse_offer(line, request)
    assert (str(caught.value), caught.value.kind) == (problem, "malformed")


@pytest.mark.parametrize(
    ("arguments", "port"),
    [
        (b"f 5000 1024", 5000),
        (b'"two words" 5000 1024', 5000),
        (b"f 0 1024 17", 0),
        (b"f 5000", None),
        (b"f 5000 here", None),
        (b"two words 5000 1024", None),
    ],
)
def test_resume_names_its_port_before_the_position(arguments: bytes, port: int | None) -> None:
    line = b"PRIVMSG bob :\x01DCC RESUME " + arguments + b"\x01\r\n"
    request = find_request(line)
    assert request is not None
    found = parse_resume(line, request)
    assert (found[0] if found else None) == port
    assert found is None or line[slice(*found[1])] == b"%d" % found[0]


def test_room_in_a_line_does_not_count_its_tags() -> None:
    line = b"PRIVMSG bob :\x01DCC SEND f 1 2\x01\r\n"
    plain, tagged = find_request(line), find_request(b"@a=" + b"b" * 3000 + b" " + line)
    assert plain is not None
    assert tagged is not None
    assert plain.free == tagged.free == 512 - len(line)


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        (b"STARTTLS\r\n", True),
        (b"starttls\n", True),
        (b":me STARTTLS \r\n", True),
        (b"PRIVMSG bob :STARTTLS\r\n", False),
        (b"STARTTLSX\r\n", False),
        (b"NOTICE STARTTLS\r\n", False),
    ],
)
def test_only_the_command_asks_for_encryption(line: bytes, asked: bool) -> None:
    assert asks_for_encryption(line) is asked


@pytest.mark.parametrize(
    ("line", "begins"),
    [
        (b":irc.test 670 me :STARTTLS successful, proceed\r\n", True),
        (b"@t=1 :irc.test 670 * :go\r\n", True),
        (b":irc.test 691 me :STARTTLS failed\r\n", False),
        (b":a!b@c PRIVMSG me :irc.test 670 me\r\n", False),
        (b"670 me :proceed\r\n", False),
    ],
)
def test_only_the_numeric_reply_begins_encryption(line: bytes, begins: bool) -> None:
    assert begins_encryption(line) is begins


@given(st.ip_addresses())
def test_addresses_are_read_as_they_are_written(address: IPv4Address) -> None:
    line = b"PRIVMSG bob :\x01DCC SEND f " + write_address(address, like=b"1") + b" 2000\x01\r\n"
    request = find_request(line)
    assert request is not None
    assert parse_offer(line, request).address == address


def test_dotted_address_is_answered_with_a_dotted_one() -> None:
    assert write_address(IPv4Address("10.0.0.1"), like=b"1.2.3.4") == b"10.0.0.1"


@pytest.mark.parametrize(("one", "other"), [(b"Bob!~b@host", b"bob"), (b"b[]\\~", b"B{}|^!x@y"), (b"", b"!")])
def test_nicks_are_compared_as_servers_do(one: bytes, other: bytes) -> None:
    assert folded_nick(one) == folded_nick(other)


def test_log_text_holds_no_control_characters_and_stays_short() -> None:
    assert shown(b"x \x1b[2J\x00\x01\r\n") == r"'x \x1b[2J\x00'"
    assert len(shown(b"x" * 4000)) == 82
