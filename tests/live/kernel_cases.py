"""The dialogues of docs/explanation/kernel-helpers.md: what a protocol's ends may say, and in which segments.

A case is a row of that page. To add one, write what both ends do as a function of a stage and a port, and put it into
`CASES` under the words of the row; a protocol that is new goes into `PROTOCOLS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address

from tests.live.ground import IPV4, IPV6, Family
from tests.live.side_by_side import End, Failed, Play, Stage, Supported, expect

FTP = Supported(21, kernel="ftp", ours="ftp")
IRC = Supported(6667, kernel="irc", ours="irc", kernel_versions=(4,))
PROTOCOLS = (FTP, IRC)

Cut = Callable[[bytes], tuple[bytes, ...]]
PASSIVE = re.compile(rb"227 .*\((\d+,\d+,\d+,\d+),(\d+),(\d+)\)")
EXTENDED = re.compile(rb"229 .*\(\|\|\|(\d+)\|\)")
ACTIVE = re.compile(rb"PORT (\d+,\d+,\d+,\d+),(\d+),(\d+)\r\n|EPRT \|[12]\|([^|]+)\|(\d+)\|\r\n")
OFFER = re.compile(rb"PRIVMSG \S+ :\x01DCC SEND \S+ (\S+) (\d+) 7\x01\r\n")


@dataclass(frozen=True)
class Case:
    """A dialogue over one of the families."""

    play: Play
    family: Family = IPV4


def whole(text: bytes) -> tuple[bytes, ...]:
    """One segment."""
    return (text,)


def halves(text: bytes) -> tuple[bytes, ...]:
    """Two segments, the second of which begins within the address or the port."""
    middle = re.search(rb"\d+\D+\d+\D*\r\n", text)
    assert middle
    return text[: middle.start() + 1], text[middle.start() + 1 :]


def octets(text: bytes) -> tuple[bytes, ...]:
    """A segment for each octet."""
    return tuple(text[at : at + 1] for at in range(len(text)))


def numbers(address: str, port: int) -> str:
    return f"{address},{port >> 8},{port & 255}".replace(".", ",")


def two_octets(high: bytes, low: bytes) -> int:
    return int(high) << 8 | int(low)


def begins(stage: Stage) -> None:
    stage.opens(FTP.port)
    stage.server.says(b"220 ready\r\n")
    expect("the greeting", stage.client.hears(), b"220 ready\r\n")


def asks(speaker: End, listener: End, line: bytes, cut: Cut = whole) -> None:
    speaker.says(*cut(line))
    expect("the command", listener.hears(), line)


def heard(end: End, pattern: re.Pattern[bytes]) -> re.Match[bytes]:
    """Read lines until one fits."""
    while line := end.hears():
        if found := pattern.search(line):
            return found
    raise Failed("the connection ended early")


def pasv(stage: Stage, port: int, *, cut: Cut = whole, before: bytes = b"", advertised: str = "") -> None:
    """Passive mode over IPv4; `before` is what stands in front of the reply."""
    begins(stage)
    asks(stage.client, stage.server, b"PASV\r\n")
    stage.server.call("listen", "listener", stage.server.address, port)
    reply = f"227 Entering Passive Mode ({numbers(advertised or stage.server.address, port)}).\r\n"
    stage.server.says(*cut(before + reply.encode()))
    found = heard(stage.client, PASSIVE)
    address = found[1].decode().replace(",", ".")
    stage.transfers(stage.client, "listener", address, two_octets(found[2], found[3]))
    stage.goes_on()


def epsv(stage: Stage, port: int, *, cut: Cut = whole, before: bytes = b"") -> None:
    """Extended passive mode."""
    begins(stage)
    asks(stage.client, stage.server, b"EPSV\r\n")
    stage.server.call("listen", "listener", stage.server.address, port)
    stage.server.says(*cut(before + f"229 Entering Extended Passive Mode (|||{port}|)\r\n".encode()))
    found = heard(stage.client, EXTENDED)
    stage.transfers(stage.client, "listener", stage.vip, int(found[1]))
    stage.goes_on()


def active(stage: Stage, port: int, *, extended: bool = False, cut: Cut = whole) -> None:
    """PORT or EPRT."""
    begins(stage)
    own = stage.client.address
    stage.client.call("listen", "listener", own, port)
    kind = 2 if ":" in own else 1
    line = f"EPRT |{kind}|{own}|{port}|\r\n" if extended else f"PORT {numbers(own, port)}\r\n"
    stage.client.says(*cut(line.encode()))
    found = heard(stage.server, ACTIVE)
    if extended:
        address, said = found[4].decode(), int(found[5])
    else:
        address, said = found[1].decode().replace(",", "."), two_octets(found[2], found[3])
    stage.transfers(stage.server, "listener", address, said)
    stage.goes_on()


def many(stage: Stage, port: int) -> None:
    """Twenty transfers in one session, each of whose replies changes its length."""
    begins(stage)
    for number in range(20):
        asks(stage.client, stage.server, b"PASV\r\n")
        stage.server.call("listen", "listener", stage.server.address, port + number)
        stage.server.says(f"227 Now ({numbers(stage.server.address, port + number)})\r\n".encode())
        found = heard(stage.client, PASSIVE)
        address = found[1].decode().replace(",", ".")
        stage.transfers(stage.client, "listener", address, two_octets(found[2], found[3]))
        stage.server.call("close", "listener")
        stage.goes_on()


def dcc(stage: Stage, port: int, *, side: str, cut: Cut = whole, before: bytes = b"") -> None:
    """An offer from one of the sides, as both see it in their lines."""
    stage.opens(IRC.port)
    giver, taker = (stage.server, stage.client) if side == "server" else (stage.client, stage.server)
    own = int(ip_address(giver.address)) if "." in giver.address else giver.address
    sender = f":bot!b@{giver.address} " if side == "server" else ""
    giver.call("listen", "listener", giver.address, port)
    giver.says(*cut(before + f"{sender}PRIVMSG you :\x01DCC SEND file {own} {port} 7\x01\r\n".encode()))
    found = heard(taker, OFFER)
    address = ip_address(int(found[1]) if found[1].isdigit() else found[1].decode())
    stage.transfers(taker, "listener", str(address), int(found[2]))
    stage.goes_on()


def resumed(stage: Stage, port: int) -> None:
    """An offer at a port that is not free on the virtual address, and an agreement on where the file goes on."""
    del port
    stage.opens(IRC.port)
    stage.server.call("listen", "listener", stage.server.address, IRC.port)
    bot, own = f":bot!b@{stage.server.address} ", int(ip_address(stage.server.address))
    stage.server.says(f"{bot}PRIVMSG you :\x01DCC SEND file {own} {IRC.port} 7\x01\r\n".encode())
    found = heard(stage.client, OFFER)
    address, offered = str(ip_address(int(found[1]))), int(found[2])
    stage.client.says(b"PRIVMSG bot :\x01DCC RESUME file %d 0\x01\r\n" % offered)
    expect("the request", stage.server.hears(), b"PRIVMSG bot :\x01DCC RESUME file %d 0\x01\r\n" % IRC.port)
    stage.server.says(bot.encode() + b"PRIVMSG you :\x01DCC ACCEPT file %d 0\x01\r\n" % IRC.port)
    accepted = stage.client.hears().partition(b"\x01")[2]
    expect("the answer", accepted, b"DCC ACCEPT file %d 0\x01\r\n" % offered)
    stage.transfers(stage.client, "listener", address, offered)
    stage.goes_on()


PIPELINED = b"200 NOOP ok\r\n"
LINES = b"227-You asked for it\r\n 220 as it were\r\n"

CASES: Mapping[str, Case] = {
    "FTP: PASV": Case(pasv),
    "FTP: EPSV": Case(epsv),
    "FTP: EPSV over IPv6": Case(epsv, IPV6),
    "FTP: PORT": Case(active),
    "FTP: EPRT": Case(partial(active, extended=True)),
    "FTP: EPRT over IPv6": Case(partial(active, extended=True), IPV6),
    "FTP: twenty transfers in one session": Case(many),
    "FTP: 227 in two segments": Case(partial(pasv, cut=halves)),
    "FTP: 227 octet by octet": Case(partial(pasv, cut=octets)),
    "FTP: 229 in two segments": Case(partial(epsv, cut=halves)),
    "FTP: PORT in two segments": Case(partial(active, cut=halves)),
    "FTP: 227 behind another reply in one segment": Case(partial(pasv, before=PIPELINED)),
    "FTP: 229 behind another reply in one segment": Case(partial(epsv, before=PIPELINED)),
    "FTP: 227 of several lines": Case(partial(pasv, before=LINES)),
    "FTP: 227 that names the virtual address already": Case(partial(pasv, advertised=IPV4.vip)),
    "IRC: DCC offered by the client": Case(partial(dcc, side="client")),
    "IRC: DCC offered by the client, in two segments": Case(partial(dcc, side="client", cut=halves)),
    "IRC: DCC offered by the server's side": Case(partial(dcc, side="server")),
    "IRC: DCC offered by the server's side, in two segments": Case(partial(dcc, side="server", cut=halves)),
    "IRC: DCC offered by the server's side, behind other lines": Case(
        partial(dcc, side="server", before=b":irc.test 372 you :- welcome\r\n")
    ),
    "IRC: RESUME of an offer at a port that is taken": Case(resumed),
    "IRC: DCC offered by the server's side over IPv6": Case(partial(dcc, side="server"), IPV6),
}
