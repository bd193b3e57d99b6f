"""Broken configurations and the exact words about each.

The law: a message says which file, where in it, what was found and what to write instead, and one run tells them all.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nat_lb.config import load, parse
from nat_lb.errors import ConfigError

WEB = """
[[service]]
name = "web"
protocol = "tcp"
address = "203.0.113.1"
port = 80
"""
SERVER = """
[[service.real_server]]
address = "172.16.0.2"
"""
TWO_SERVERS = SERVER + SERVER.replace("172.16.0.2", "172.16.0.3")
NOT_AN_ADDRESS = "address must be an IPv4 or IPv6 address, found"
EVERY_DIRECTOR_KEY = (
    "datapath, xdp, queue, control, other_ports, max_connections, orphan_replies, sloppy_tcp, log_connections"
)
EVERY_SERVICE_KEY = (
    "protocol, address, port, name, scheduler, scheduler_options, fallback_scheduler, "
    "scheduler_budget, helpers, helper_options, timeouts, "
    "persistence, persistence_netmask, real_server"
)

# What is wrong -> the file, and what is said about it (less the file's name).
BROKEN: dict[str, tuple[str, str]] = {
    # Tables
    "a file that is empty": ("", "no [[service]]: nothing to balance. Add one, with protocol, address and port."),
    "a file with an empty list of services": (
        "service = []",
        "no [[service]]: nothing to balance. Add one, with protocol, address and port.",
    ),
    "a service table in single brackets": (
        WEB.replace("[[service]]", "[service]"),
        "service must be a list, found a table. Write [[service]], with two brackets.",
    ),
    "a real server table in single brackets": (
        WEB + SERVER.replace("[[service.real_server]]", "[service.real_server]"),
        'service "web": real_server must be a list, found a table. Write [[service.real_server]], with two brackets.',
    ),
    "a director table in double brackets": (
        "[[director]]\nqueue = 1\n" + WEB,
        "director must be a table, found [a table]. Write [director], with one bracket.",
    ),
    "a service that is a number": (
        "service = [1]",
        "service 1 must be a table, found 1. Write [[service]], with two brackets.",
    ),
    "a table name with a letter too many": (
        WEB.replace("[[service]]", "[[services]]"),
        "unknown table [[services]]. Did you mean [[service]]?",
    ),
    "a table that nothing resembles": (
        WEB + "[zzz]\nx = 1",
        "unknown table [zzz]. Known: [director], [timeouts], [plugins], [[service]].",
    ),
    "a key above all tables": ("queue = 3\n" + WEB, 'unknown key "queue". It is a key of [director].'),
    "a timeouts table that is a number": ("timeouts = 60\n" + WEB, "timeouts must be a table, found 60."),
    # Keys
    "a key with two letters swapped": (
        WEB + 'schedular = "rr"',
        'service "web": unknown key "schedular". Did you mean "scheduler"?',
    ),
    "a key that nothing resembles": (
        WEB + "[director]\nzzz = 1",
        f'[director]: unknown key "zzz". Known: {EVERY_DIRECTOR_KEY}.',
    ),
    "a key written with a hyphen": (
        WEB + "[director]\nmax-connections = 10",
        '[director]: unknown key "max-connections". Did you mean "max_connections"?',
    ),
    "a key in the words of another load balancer": (
        WEB.replace("address", "vip"),
        'service "web": unknown key "vip". Did you mean "address"?',
    ),
    "a service's key below its real server": (
        WEB + SERVER + 'scheduler = "wrr"',
        'service "web": real_server 1: unknown key "scheduler". '
        "It is a key of [[service]]: write it above the first [[service.real_server]].",
    ),
    "an empty key": (
        WEB + '"" = 1\n',
        f'service "web": unknown key "". Known: {EVERY_SERVICE_KEY}.',
    ),
    "a service without a port": (
        WEB.replace("port = 80", ""),
        'service "web": port is missing. Write port = 80.',
    ),
    "a real server without an address": (
        WEB + "[[service.real_server]]\nweight = 2",
        'service "web": real_server 1: address is missing. Write address = "172.16.0.2".',
    ),
    # Types
    "a port in quotes": (
        WEB.replace("80", '"80"'),
        'service "web": port must be a whole number, found "80". Remove the quotes.',
    ),
    "a port that is a service name": (
        WEB.replace("80", '"http"'),
        'service "web": port must be a whole number, found "http".',
    ),
    "a port that is true": (WEB.replace("80", "true"), 'service "web": port must be a whole number, found true.'),
    "a port with a fraction of nought": (
        WEB.replace("80", "80.0"),
        'service "web": port must be a whole number, found 80.0. Write 80.',
    ),
    "a list of helpers that is one text": (
        WEB + 'helpers = "ftp"',
        'service "web": helpers must be a list, found "ftp". Write helpers = ["ftp"].',
    ),
    "a list of helpers with a number in it": (
        WEB + "helpers = [21]",
        'service "web": helpers: item 1 must be text, found 21. Put it in quotes.',
    ),
    "a scheduler that is a number": (
        WEB + "scheduler = 1",
        'service "web": scheduler must be text, found 1. Write scheduler = "1".',
    ),
    "a switch in quotes": (
        WEB + '[director]\nsloppy_tcp = "true"',
        '[director]: sloppy_tcp must be true or false, found "true". Remove the quotes.',
    ),
    "a table of options that is a list": (
        WEB + "scheduler_options = [1, 2]",
        'service "web": scheduler_options must be a table, found [1, 2].',
    ),
    "a disabled plugin that is one text": (
        WEB + '[plugins]\ndisable = "lc"',
        '[plugins]: disable must be a list, found "lc". Write disable = ["lc"].',
    ),
    # Ranges and choices
    "a real server's port out of range": (
        WEB + TWO_SERVERS + "port = 80000",
        'service "web": real_server 2: port must be 1 to 65535, found 80000.',
    ),
    "a service on port zero": (WEB.replace("80", "0"), 'service "web": port must be 1 to 65535, found 0.'),
    "a negative weight": (
        WEB + SERVER + "weight = -1",
        'service "web": real_server 1: weight must be 0 to 2147483647, found -1.',
    ),
    "a weight too large for the kernel": (
        WEB + SERVER + "weight = 2_147_483_648",
        'service "web": real_server 1: weight must be 0 to 2147483647, found 2147483648.',
    ),
    "a queue out of range": (
        WEB + "[director]\nqueue = 65536",
        "[director]: queue must be 0 to 65535, found 65536.",
    ),
    "a table of no connections": (
        WEB + "[director]\nmax_connections = 0",
        "[director]: max_connections must be 1 or more, found 0.",
    ),
    "a datapath that is none": (
        WEB + '[director]\ndatapath = "kernel"',
        '[director]: datapath must be "auto", "nfqueue" or "ebpf", found "kernel".',
    ),
    "a datapath with two letters swapped": (
        WEB + '[director]\ndatapath = "ebfp"',
        '[director]: datapath must be "auto", "nfqueue" or "ebpf", found "ebfp". Did you mean "ebpf"?',
    ),
    "an orphan reply that would be forwarded": (
        WEB + '[director]\norphan_replies = "accept"',
        '[director]: orphan_replies must be "drop" or "reject", found "accept".',
    ),
    "a control socket without a folder": (
        WEB + '[director]\ncontrol = "control.sock"',
        '[director]: control must be the absolute path of a file, at most 107 bytes long, found "control.sock".',
    ),
    "a timeout of nought": (WEB + "[timeouts]\nsyn = 0", "[timeouts]: syn must be more than 0, found 0."),
    "a timeout without end": (WEB + "[timeouts]\nudp = inf", "[timeouts]: udp must be a finite number, found inf."),
    "a service's timeout in quotes": (
        WEB + '[service.timeouts]\nestablished = "900"',
        'service "web": [service.timeouts]: established must be a number, found "900". Remove the quotes.',
    ),
    "a negative persistence": (
        WEB + "persistence = -1",
        'service "web": persistence must be 0 to 2147483647, found -1.',
    ),
    "a netmask that is too long for IPv4": (
        WEB + "persistence_netmask = 64",
        'service "web": persistence_netmask must be 1 to 32 for an IPv4 service, found 64.',
    ),
    "a service name that is empty": (WEB.replace('"web"', '""'), "service 1: name must not be empty."),
    "a service name with a quote": (
        WEB.replace('"web"', "'we\"b'"),
        'service 1: name must be printable, without quotes or blanks around it, found "we\\"b".',
    ),
    "a service name that is too long": (
        WEB.replace('"web"', '"' + 65 * "w" + '"'),
        f'service 1: name must have at most 64 characters, found "{56 * "w"}....',
    ),
    # Addresses
    "a host name for an address": (
        WEB.replace("203.0.113.1", "www.example.org"),
        f'service "web": {NOT_AN_ADDRESS} "www.example.org". Names are not looked up: write the address itself.',
    ),
    "an address with a port": (
        WEB.replace("203.0.113.1", "203.0.113.1:80"),
        f'service "web": {NOT_AN_ADDRESS} "203.0.113.1:80". Write address = "203.0.113.1" and port = 80.',
    ),
    "an address with a prefix length": (
        WEB.replace("203.0.113.1", "203.0.113.0/24"),
        f'service "web": {NOT_AN_ADDRESS} "203.0.113.0/24". Write one address, without a prefix length.',
    ),
    "an address with a leading zero": (
        WEB.replace("203.0.113.1", "203.0.113.01"),
        f'service "web": {NOT_AN_ADDRESS} "203.0.113.01". Write four numbers from 0 to 255, without leading zeros.',
    ),
    "an address in brackets": (
        WEB.replace("203.0.113.1", "[2001:db8::1]"),
        f'service "web": {NOT_AN_ADDRESS} "[2001:db8::1]". Write it without brackets: "2001:db8::1".',
    ),
    "an address with a group too long": (
        WEB.replace("203.0.113.1", "2001:db8::12345"),
        f'service "web": {NOT_AN_ADDRESS} "2001:db8::12345". Check its groups of hexadecimal digits.',
    ),
    "an address that is a number": (
        WEB.replace('"203.0.113.1"', "203"),
        f'service "web": {NOT_AN_ADDRESS} 203. Write it in quotes.',
    ),
    "a virtual address that stands for all": (
        WEB.replace("203.0.113.1", "0.0.0.0"),
        'service "web": address must be the address of one machine, found "0.0.0.0". '
        "The unspecified address stands for none.",
    ),
    "a virtual address that is multicast": (
        WEB.replace("203.0.113.1", "ff02::1"),
        'service "web": address must be a unicast address, found "ff02::1". A connection has exactly two ends.',
    ),
    "a real server that is the loopback": (
        WEB + SERVER.replace("172.16.0.2", "127.0.0.1"),
        'service "web": real_server 1: address must not be a loopback address, found "127.0.0.1". '
        "Packets from the network never reach it.",
    ),
    "an address with a scope": (
        WEB.replace("203.0.113.1", "fe80::1%eth0"),
        'service "web": address must be an address without a scope, found "fe80::1%eth0". Write "fe80::1".',
    ),
    "an IPv4 address in IPv6 clothes": (
        WEB.replace("203.0.113.1", "::ffff:203.0.113.1"),
        'service "web": address must not be an IPv4-mapped address, found "::ffff:203.0.113.1". Write "203.0.113.1".',
    ),
    # Contradictions
    "a real server of the other family": (
        WEB + SERVER.replace("172.16.0.2", "2001:db8::2"),
        'service "web": real_server 1: address must be IPv4 as the service\'s is, found 2001:db8::2. '
        "A connection keeps its family.",
    ),
    "a real server that is the service itself": (
        WEB + SERVER.replace("172.16.0.2", "203.0.113.1"),
        'service "web": real_server 1: address must not be the service\'s own, found 203.0.113.1. '
        "Write that of a machine behind the director.",
    ),
    "a real server twice in one service": (
        WEB + SERVER + SERVER + "port = 80",
        'service "web": real_server 2: 172.16.0.2:80 is real_server 1 already. '
        "Remove one; to give it a larger share, raise its weight.",
    ),
    "an IPv6 real server twice in two spellings": (
        WEB.replace("203.0.113.1", "2001:db8::1")
        + SERVER.replace("172.16.0.2", "2001:db8::2")
        + SERVER.replace("172.16.0.2", "2001:DB8:0::2"),
        'service "web": real_server 2: [2001:db8::2]:80 is real_server 1 already. '
        "Remove one; to give it a larger share, raise its weight.",
    ),
    "two services at one endpoint": (
        WEB + WEB.replace("web", "www"),
        'service "www": tcp 203.0.113.1:80 is service "web" already. Put all its real servers into one of the two, '
        "or change one's protocol, address or port.",
    ),
    "two services at one endpoint without names": (
        2 * WEB.replace('name = "web"', ""),
        "service 2: tcp 203.0.113.1:80 is service 1 already. Put all its real servers into one of the two, "
        "or change one's protocol, address or port.",
    ),
    "two services of one name": (
        WEB + WEB.replace("80", "8080"),
        'service "web": the name is that of service 1 too. Give service 2 another.',
    ),
    "a name that is another service's default": (
        WEB.replace('name = "web"', "") + WEB.replace("web", "tcp 203.0.113.1:80").replace("port = 80", "port = 81"),
        'service "tcp 203.0.113.1:80": the name is that of service 1 too. Give service 2 another.',
    ),
    "a lower threshold above the upper": (
        WEB + SERVER + "upper_threshold = 10\nlower_threshold = 20",
        'service "web": real_server 1: lower_threshold must be at most upper_threshold, which is 10, found 20.',
    ),
    "a lower threshold without an upper": (
        WEB + SERVER + "lower_threshold = 20",
        'service "web": real_server 1: lower_threshold needs an upper_threshold. Write upper_threshold = 20 or more.',
    ),
    "options of a helper that is not enabled": (
        WEB + "[service.helper_options.irc]",
        'service "web": [service.helper_options.irc] is for a helper that is not enabled. '
        'Add "irc" to helpers, or remove the table.',
    ),
    "a helper that is enabled twice": (
        WEB + 'helpers = ["ftp", "ftp"]',
        'service "web": helpers names "ftp" twice. Remove one.',
    ),
    "options of a helper that are no table": (
        WEB + 'helpers = ["ftp"]\nhelper_options = { ftp = 3 }',
        'service "web": [service.helper_options]: ftp must be a table, found 3.',
    ),
}

# Not TOML -> the text, and the line and what is said about it.
NOT_TOML: dict[str, tuple[str, str]] = {
    "a quote that is never closed": (
        'port = 80\nname = "web\nx = 1\n',
        '2: `name = "web` opens a quote that is not closed. Close it on the same line.',
    ),
    "a quote that is open at the end": (
        'name = "web',
        '1: `name = "web` opens a quote that is not closed. Close it on the same line.',
    ),
    "an address without quotes": (
        "\naddress = 203.0.113.1 # VIP",
        '2: the value of address is neither a number nor in quotes. Write address = "203.0.113.1".',
    ),
    "a name without quotes": (
        "name = web",
        '1: the value of name is neither a number nor in quotes. Write name = "web".',
    ),
    "a key without a value": ("port =\n", '1: "port" has no value. Write one after the equals sign.'),
    "a value without a key": ("= 80", "1: `= 80` has no key before the equals sign. Write one."),
    "a line that is only a word": (
        "[director]\nqueue\n",
        "2: `queue` is not a key and a value. Write it as: key = value.",
    ),
    "a line of YAML": ("port: 80\n", "1: `port: 80` is not TOML. Write port = 80."),
    "a line of JSON": ('"port": 80,\n', '1: `"port": 80,` is not TOML. Write port = 80.'),
    "a comment of another language": ("// web\n", "1: `// web` is not a comment. Comments begin with #."),
    "a comma at the end of a line": ("port = 80,", "1: `port = 80,` has a comma at its end. Remove it."),
    "two numbers for one": ("port = 80 443", "1: 80 443 is not a number. Write one."),
    "a number with a leading zero": (
        "port = 080",
        "1: 080 is not a number. Write it without leading zeros, and underscores only between digits.",
    ),
    "a number that begins with its point": (
        "syn = .5",
        "1: .5 is not a number. Write digits on both sides of the point.",
    ),
    "a number of five thousand digits": (f"port = {5000 * '9'}", "1: the number on this line is too long."),
    "a hexadecimal number close to its equals sign": (
        "port=0x50",
        "1: 0x50 cannot be read. Write it as a decimal number.",
    ),
    "a switch that is yes": ("sloppy_tcp = yes", "1: sloppy_tcp = yes is not a value. Write true."),
    "a switch with a capital letter": ("sloppy_tcp = False", "1: sloppy_tcp = False is not a value. Write false."),
    "a list without its end": (
        "helpers = [1,\nport = 80\n",
        "1: the value of helpers cannot be read. Check its commas, quotes and brackets.",
    ),
    "a list of strings without its end": (
        'helpers = ["ftp"\nport = 80\n',
        '1: `helpers = ["ftp"` opens a list that lacks a comma or its closing bracket. Write it.',
    ),
    "a list of several lines without its commas": (
        'helpers = [\n"ftp"\n"irc"\n]\n',
        "1: `helpers = [` opens a list that lacks a comma or its closing bracket. Write it.",
    ),
    "a list of unlike values": (
        'helpers = ["ftp", 21]',
        "1: the list helpers mixes values of different types. Write them all alike.",
    ),
    "a list without its commas": (
        'helpers = ["ftp" "irc"]',
        '1: `helpers = ["ftp" "irc"]` goes on after its closing quote. Check its quotes and commas.',
    ),
    "a backslash that means nothing": (
        'name = "a\\qb"',
        '1: `name = "a\\qb"` has a stray backslash. Write two for one.',
    ),
    "a character beyond Unicode": (
        'name = "\\UFFFFFFFF"',
        '1: `name = "\\UFFFFFFFF"` has a stray backslash. Write two for one.',
    ),
    "a key that is written twice": (WEB + "port = 81", '7: "port" is written twice in one table. Remove one.'),
    "a table that is written twice": (
        "[director]\nqueue = 1\n[timeouts]\n[director]\n",
        "4: [director] is written twice. Put its keys into one.",
    ),
    "a second service in single brackets": (
        WEB + WEB.replace("[[service]]", "[service]"),
        "8: [service] is written twice. Write [[service]], with two brackets, each time.",
    ),
    "a first service in single brackets": (
        WEB.replace("[[service]]", "[service]") + WEB,
        "8: [service] is written twice. Write [[service]], with two brackets, each time.",
    ),
    "two real servers in single brackets": (
        WEB + 2 * '[service.real_server]\naddress = "172.16.0.2"\n',
        '10: "address" is written twice in [service.real_server]. '
        "Write [[service.real_server]], with two brackets, each time.",
    ),
    "real servers above their service": (
        SERVER + WEB,
        "5: [[service]] stands below tables that belong to it. Write [[service]] first.",
    ),
    "a header without its end": (
        "[director\nqueue = 1",
        "1: `[director` is not a table header. Write it alone on its line: [name] or [[name]].",
    ),
    "a header with a key behind it": (
        "[director] queue = 1",
        "1: `[director] queue = 1` is not a table header. Write it alone on its line: [name] or [[name]].",
    ),
    "a header without a name": (
        "[]",
        "1: `[]` is not a table header. Write it alone on its line: [name] or [[name]].",
    ),
    "a table below a number": (
        "[director]\nqueue = 1\n[director.queue.x]\n",
        "3: `[director.queue.x]` cannot be read. Check its quotes, brackets and commas.",
    ),
    "an hour that no day has": ("d = 99:00:00", "1: no such time of day as in `d = 99:00:00`. Write another."),
    "a NUL between the lines": ("port = 80\n\x00", "2: contains the character U+0000. Remove it."),
}

# TOML, but nothing that a configuration can hold; the parser gives no line.
UNUSABLE: dict[str, tuple[str, str]] = {
    "a list of two thousand lists": (
        f"a = {2000 * '['}{2000 * ']'}",
        "nested too deeply. Tables and lists may be at most 16 deep.",
    ),
    "a table of twenty tables": (
        f"a{20 * '.b'} = 1",
        "nested too deeply. Tables and lists may be at most 16 deep.",
    ),
    "a name with an escaped NUL": (
        'name = "a\\u0000b"',
        '"a\\u0000b" contains a control character. Remove it.',
    ),
    "a name with half a surrogate pair": (
        'name = "\\U0000D800"',
        '"\\ud800" contains a control character. Remove it.',
    ),
    "a number of more than 64 bits": (
        "weight = 9_223_372_036_854_775_808",
        "9223372036854775808 does not fit into 64 bits. Write a smaller one.",
    ),
    "a number too long to print": (
        f"weight = 0x{5000 * 'f'}",
        "a number of many digits does not fit into 64 bits. Write a smaller one.",
    ),
    "a date among the keys": (
        "syn = 1979-05-27T07:32:00Z",
        "a date or time stands where no key takes one. Put it in quotes.",
    ),
}


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "nat-lb.toml")
    return list(caught.value.problems)


@pytest.mark.parametrize(("text", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_configuration_gets_exactly_one_message(text: str, message: str) -> None:
    assert problems(text) == [f"nat-lb.toml: {message}"]


@pytest.mark.parametrize(("text", "message"), NOT_TOML.values(), ids=NOT_TOML)
def test_text_that_is_not_toml_names_the_line(text: str, message: str) -> None:
    line, _, sentence = message.partition(": ")
    assert problems(text) == [f"nat-lb.toml:{line}: not valid TOML: {sentence}"]


@pytest.mark.parametrize(("text", "message"), UNUSABLE.values(), ids=UNUSABLE)
def test_toml_that_cannot_be_a_configuration_is_refused(text: str, message: str) -> None:
    assert problems(text) == [f"nat-lb.toml: {message}"]


def test_carriage_returns_do_not_shift_the_line_number() -> None:
    assert problems("[director]\r\nqueue = 1\r\n\r\nport: 80\r\n")[0].startswith("nat-lb.toml:4: ")


def test_all_problems_are_told_at_once_in_file_order() -> None:
    text = """
        [timeouts]
        syn = -1
        [[service]]
        name = "files"
        port = "21"
        adress = "203.0.113.1"
        helpers = ["ftp", "ftp"]
          [[service.real_server]]
          weight = 1.5
          address = "web1"
        [[service]]
        protocol = "tcp"
        address = "203.0.113.1"
        port = 80
          [[service.real_server]]
          address = "172.16.0.2"
          [[service.real_server]]
          address = "172.16.0.2"
          colour = "red"
        [director]
        queue = true
        [[service]]
        protocol = "tcp"
        address = "203.0.113.1"
        port = 80
    """
    assert problems(text) == [
        "nat-lb.toml: [timeouts]: syn must be more than 0, found -1.",
        'nat-lb.toml: service "files": protocol is missing. Write protocol = "tcp".',
        'nat-lb.toml: service "files": port must be a whole number, found "21". Remove the quotes.',
        'nat-lb.toml: service "files": unknown key "adress". Did you mean "address"?',
        'nat-lb.toml: service "files": helpers names "ftp" twice. Remove one.',
        'nat-lb.toml: service "files": real_server 1: weight must be a whole number, found 1.5.',
        f'nat-lb.toml: service "files": real_server 1: {NOT_AN_ADDRESS} "web1". '
        "Names are not looked up: write the address itself.",
        "nat-lb.toml: service 2: real_server 2: 172.16.0.2:80 is real_server 1 already. "
        "Remove one; to give it a larger share, raise its weight.",
        'nat-lb.toml: service 2: real_server 2: unknown key "colour". '
        "Known: address, port, weight, upper_threshold, lower_threshold.",
        "nat-lb.toml: service 3: tcp 203.0.113.1:80 is service 2 already. "
        "Put all its real servers into one of the two, or change one's protocol, address or port.",
        "nat-lb.toml: [director]: queue must be a whole number, found true.",
    ]


def test_real_servers_are_compared_only_as_far_as_they_can_be_read() -> None:
    text = WEB.replace("80", "'x'").replace("203.0.113.1", "y") + 2 * SERVER + "port = 'z'"
    assert problems(text) == [
        f'nat-lb.toml: service "web": {NOT_AN_ADDRESS} "y". Names are not looked up: write the address itself.',
        'nat-lb.toml: service "web": port must be a whole number, found "x".',
        'nat-lb.toml: service "web": real_server 2: port must be a whole number, found "z".',
    ]


def test_misspelt_required_key_is_not_also_reported_missing() -> None:
    assert problems(WEB.replace("protocol", "protocoll")) == [
        'nat-lb.toml: service "web": unknown key "protocoll". Did you mean "protocol"?'
    ]


def test_missing_file_is_told_with_the_path_as_given() -> None:
    with pytest.raises(ConfigError, match=r"^no/such\.toml: no such file\. Check the path\.$"):
        load("no/such.toml")


def test_directory_in_place_of_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r": is a directory\. Name the file in it\.$"):
        load(tmp_path)


def test_file_below_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "nat-lb.toml").write_text(WEB)
    with pytest.raises(ConfigError, match=r": cannot be read: Not a directory\.$"):
        load(tmp_path / "nat-lb.toml" / "x")


def test_path_with_a_nul_character_is_told() -> None:
    with pytest.raises(ConfigError, match=r": cannot be read: embedded null byte\.$"):
        load("a\0b")


def test_unreadable_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "nat-lb.toml"
    path.write_text(WEB)
    path.chmod(0)
    if os.access(path, os.R_OK):  # root reads everything

        def refuse(_: Path) -> bytes:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ConfigError, match=r": may not be read\. Check the permissions of the file and its folders\.$"):
        load(path)


def test_file_in_another_encoding_names_line_and_byte(tmp_path: Path) -> None:
    path = tmp_path / "nat-lb.toml"
    path.write_bytes("[director]\n# f\xfcr alle\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r":2: not UTF-8: found byte 0xfc\. Save the file as UTF-8\.$"):
        load(path)


PUNCTUATION = "[]\"'=.,{}#\\-+_ \t\n\r\ufeff"
WORDS = [
    "[[",
    "]]",
    '"""',
    "'''",
    "\r\n",
    "\\u",
    "\\U",
    "0x",
    "1e9",
    "inf",
    "nan",
    "true",
    "07:32:00",
    "1979-05-27",
    "é",
]
LINES = ["[[service]]\n", "[service.real_server]\n", "[[service.real_server]]\n", "[timeouts]\n", "port = ", WEB]
FRAGMENTS = st.sampled_from([*PUNCTUATION, *WORDS, *LINES])


def refusals(text: str) -> tuple[str, ...]:
    """What is said about a text; nothing if it is a configuration."""
    try:
        parse(text, "nat-lb.toml")
    except ConfigError as error:
        return error.problems
    return ()


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), st.lists(FRAGMENTS, max_size=30).map("".join)))
@example("a = 1\r")
@example('a = "\\UFFFFFFFF"')
@example("d = 1979-05-27T07:32:00+99:99")
@example(".=1")
def test_arbitrary_text_raises_nothing_but_config_error(text: str) -> None:
    for problem in refusals(text):
        assert problem.startswith("nat-lb.toml:")
        assert problem[-1] in ".?"
        assert "\n" not in problem
        assert "Input should" not in problem  # the validator's own words


SCALARS = st.one_of(
    st.integers(), st.floats(), st.booleans(), st.text("abc. :/-", max_size=8), st.sampled_from([2**62, -(2**63)])
)
KEYS = ["protocol", "address", "port", "name", "scheduler", "helpers", "timeouts", "persistence", "real_server", "x"]


def toml_value(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}'" if isinstance(value, str) else repr(value)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), st.one_of(SCALARS, st.lists(SCALARS, max_size=1)).map(toml_value)))
def test_any_value_for_any_key_is_taken_or_told(table: dict[str, str]) -> None:
    text = "[[service]]\n" + "".join(f"{key} = {value}\n" for key, value in table.items())
    for problem in refusals(text):
        assert problem.startswith("nat-lb.toml:")
        assert "Input should" not in problem
