"""The texts in which FTP writes addresses, one table a form."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nat_lb.api import Endpoint, Refusal
from nat_lb_ftp.wire import (
    find_extended,
    find_passive,
    parse_eprt,
    parse_port,
    shown,
    split_command,
    telnet_length,
    write_six,
)


@pytest.mark.parametrize(
    ("line", "verb", "argument"),
    [
        (b"PORT 10,0,0,1,4,5\r\n", "PORT", b"10,0,0,1,4,5"),
        (b"port 10,0,0,1,4,5\n", "PORT", b"10,0,0,1,4,5"),
        (b"  PoRt\t 10,0,0,1,4,5  \r\n", "PORT", b"10,0,0,1,4,5"),
        (b"PASV\r\n", "PASV", b""),
        (b"EPSV ALL\r\n", "EPSV", b"ALL"),
        (b"STOR two words\r\n", "STOR", b"two words"),
        (b"\xff\xf4\xff\xf2ABOR\r\n", "ABOR", b""),
        (b"\xff\xfb\x06\xff\xf2PASV\r\n", "PASV", b""),
        (b"\r\n", "", b""),
        (b"", "", b""),
        (b"\xe9\xe8 x\r\n", "", b""),
        (b"\xff\xf4\xff", "", b""),
    ],
)
def test_command_lines_split_into_verb_and_argument(line: bytes, verb: str, argument: bytes) -> None:
    assert split_command(line) == (verb, argument)


@pytest.mark.parametrize(
    ("data", "length"),
    [(b"227", 0), (b"\xff\xf2227", 2), (b"\xff\xfd\x01\xff\xf4x", 5), (b"\xff\xff", 0), (b"\xff", 0)],
)
def test_telnet_commands_before_the_text_are_measured(data: bytes, length: int) -> None:
    assert telnet_length(data) == length


@pytest.mark.parametrize(
    ("argument", "problem"),
    [
        (b"", "PORT without six numbers: ''"),
        (b"10,0,0,1,4", "PORT without six numbers: '10,0,0,1,4'"),
        (b"10,0,0,1,4,5,6", "PORT without six numbers: '10,0,0,1,4,5,6'"),
        (b"10,0,0,1,4,-5", "PORT without six numbers: '10,0,0,1,4,-5'"),
        (b"203,0,113,10,300,20", "PORT has a number above 255: '203,0,113,10,300,20'"),
        (b"999999999,0,113,10,4,20", "PORT has a number above 255: '999999999,0,113,10,4,20'"),
        (b"1" * 4000 + b",0,0,1,4,5", "PORT without six numbers: '" + "1" * 80 + "'"),
    ],
)
def test_port_arguments_that_say_no_endpoint_are_refused(argument: bytes, problem: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_port(argument)
    assert (str(caught.value), caught.value.kind) == (problem, "malformed")


@pytest.mark.parametrize("argument", [b"10,0,0,1,4,5", b"010,000,0,01,004,05"])
def test_port_numbers_are_decimal_whatever_zeros_lead_them(argument: bytes) -> None:
    assert parse_port(argument) == Endpoint(IPv4Address("10.0.0.1"), 1029)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"227 Entering Passive Mode (10,77,0,11,4,210).\r\n", b"10,77,0,11,4,210"),
        (b"227 Entering Passive Mode (10,77,0,11,4,210)\r\n", b"10,77,0,11,4,210"),
        (b"227 =10,77,0,11,4,210\r\n", b"10,77,0,11,4,210"),
        (b"227 Entering Passive Mode. 10,77,0,11,4,210\n", b"10,77,0,11,4,210"),
        (b"227 10,77,0,11,4,210\r\n", b"10,77,0,11,4,210"),
        (b"227 Mode 7, channel 3: 10,77,0,11,4,210.\r\n", b"10,77,0,11,4,210"),
        (b"227 (10,77,0,11,4,210) or (1,2,3,4,5,6)\r\n", b"10,77,0,11,4,210"),
    ],
)
def test_passive_replies_are_scanned_for_the_first_six_numbers(line: bytes, text: bytes) -> None:
    endpoint, (start, end) = find_passive(line, 3)
    assert (endpoint, line[start:end]) == (Endpoint(IPv4Address("10.77.0.11"), 1234), text)


@pytest.mark.parametrize(
    "argument", [b"|1|132.235.1.2|6275|", b"!1!132.235.1.2!6275!", b"x1x132.235.1.2x6275x", b".1.132.235.1.2.6275."]
)
def test_eprt_takes_any_printable_delimiter(argument: bytes) -> None:
    assert parse_eprt(argument) == Endpoint(IPv4Address("132.235.1.2"), 6275)


@pytest.mark.parametrize("argument", [b"|2|1080::8:800:200C:417A|5282|", b":2:1080::8:800:200c:417a:5282:"])
def test_eprt_reads_internet_protocol_version_six(argument: bytes) -> None:
    assert parse_eprt(argument) == Endpoint(IPv6Address("1080::8:800:200C:417A"), 5282)


@pytest.mark.parametrize(
    ("argument", "problem"),
    [
        (b"|3|132.235.1.2|6275|", "EPRT is not |family|address|port|: '|3|132.235.1.2|6275|'"),
        (b"|1|132.235.1.2|6275", "EPRT is not |family|address|port|: '|1|132.235.1.2|6275'"),
        (b"|1!132.235.1.2|6275|", "EPRT is not |family|address|port|: '|1!132.235.1.2|6275|'"),
        (b"515132.235.1.25627555", "EPRT is not |family|address|port|: '515132.235.1.25627555'"),
        (b"|1||6275|", "EPRT is not |family|address|port|: '|1||6275|'"),
        (b"|1|132.235.1|6275|", "EPRT names no IP address: '132.235.1'"),
        (b"|1|132.235.1.\xb2|6275|", r"EPRT names no IP address: '132.235.1.\xb2'"),
        (b"|2|132.235.1.2|6275|", "EPRT says family 2 but names 132.235.1.2"),
        (b"|1|1080::1|6275|", "EPRT says family 1 but names 1080::1"),
        (b"|1|132.235.1.2|65536|", "EPRT names port 65536, which does not exist"),
    ],
)
def test_eprt_arguments_that_say_no_endpoint_are_refused(argument: bytes, problem: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_eprt(argument)
    assert (str(caught.value), caught.value.kind) == (problem, "malformed")


@pytest.mark.parametrize(
    ("line", "address"),
    [
        (b"229 Entering Extended Passive Mode (|||6446|)\r\n", ""),
        (b"229 Ok (!!!6446!).\r\n", ""),
        (b"229 Ok (|1||6446|)\r\n", ""),
        (b"229 (see below) (|1|10.77.0.11|6446|)\r\n", "10.77.0.11"),
        (b"229 Ok (|2|2001:db8::1|6446|)\r\n", "2001:db8::1"),
    ],
)
def test_extended_replies_are_read_with_their_delimiter(line: bytes, address: str) -> None:
    found = find_extended(line, 3)
    assert found.address == (ip_address(address) if address else None)
    assert line[slice(*found.address_span)] == address.encode()
    assert (found.port, line[slice(*found.port_span)]) == (6446, b"6446")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"229 Entering Extended Passive Mode\r\n", "229 without (|||port|): '229 Entering Extended Passive Mode'"),
        (b"229 (|||port|)\r\n", "229 without (|||port|): '229 (|||port|)'"),
        (b"229 (|||70000|)\r\n", "229 names port 70000, which does not exist"),
        (b"229 (||ten|7000|)\r\n", "229 names no IP address: 'ten'"),
    ],
)
def test_extended_replies_without_a_port_are_refused(line: bytes, problem: str) -> None:
    with pytest.raises(Refusal) as caught:
        find_extended(line, 3)
    assert (str(caught.value), caught.value.kind) == (problem, "malformed")


@given(st.ip_addresses(v=4), st.integers(0, 0xFFFF))
def test_six_numbers_are_written_as_they_are_read(address: IPv4Address, port: int) -> None:
    assert parse_port(write_six(Endpoint(address, port))) == Endpoint(address, port)


def test_log_text_holds_no_control_characters_and_stays_short() -> None:
    assert shown(b"PORT \x1b[2J\x00\r\n") == r"'PORT \x1b[2J\x00'"
    assert len(shown(b"x" * 4000)) == 82
