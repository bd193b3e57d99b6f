"""The dialogues of docs/explanation/kernel-helpers.md: what a protocol's ends may say, and in which segments.

A case is a row of that page. To add one, write what both ends do as a function of a stage and a port, and put it into
`CASES` under the words of the row; a protocol that is new goes into `PROTOCOLS`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from typing import Any

from pycrate_asn1dir.H225 import H323_MESSAGES

from nat_lb.api import Endpoint
from nat_lb_h323.recorded import recorded
from nat_lb_h323.testing import address, ras, signal, tpkt
from tests.live.ground import IPV4, IPV6, Family
from tests.live.side_by_side import End, Failed, Play, Stage, Supported, expect

FTP = Supported(21, kernel="ftp", ours="ftp")
IRC = Supported(6667, kernel="irc", ours="irc", kernel_versions=(4,))
PPTP = Supported(1723, kernel="pptp", ours="pptp", versions=(4,))
H323 = Supported(1720, kernel="Q.931", ours="h323")
RAS = Supported(1719, kernel="RAS", ours="ras", protocol="udp")
PROTOCOLS = (FTP, IRC, PPTP, H323, RAS)

Cut = Callable[[bytes], tuple[bytes, ...]]
PASSIVE = re.compile(rb"227 .*\((\d+,\d+,\d+,\d+),(\d+),(\d+)\)")
EXTENDED = re.compile(rb"229 .*\(\|\|\|(\d+)\|\)")
ACTIVE = re.compile(rb"PORT (\d+,\d+,\d+,\d+),(\d+),(\d+)\r\n|EPRT \|[12]\|([^|]+)\|(\d+)\|\r\n")
OFFER = re.compile(rb"PRIVMSG \S+ :\x01DCC SEND \S+ (\S+) (\d+) 7\x01\r\n")


@dataclass(frozen=True)
class Case:
    """A dialogue over one of the families.

    Both ends read the same octets through either director, but for those of the server's that are `unlike`: where they
    begin and end in all that it hears.
    """

    play: Play
    family: Family = IPV4
    unlike: tuple[int, int] = (0, 0)


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


def pptp_message(kind: int, body: bytes) -> bytes:
    """Write a control message (RFC 2637 §2)."""
    return struct.pack("!HHLHH", 12 + len(body), 1, 0x1A2B3C4D, kind, 0) + body


def pptp(stage: Stage, port: int, *, calls: int) -> None:
    """Calls from the client, all in one control connection; each then carries a packet both ways."""
    del port
    starts(stage)
    ids = [dial(stage, 100 + number, 7 + number) for number in range(calls)]
    if len({there for there, _ in ids}) < calls:
        raise Failed(f"the server is told the same number of {calls} calls: {ids[0][0]}")
    for number, (there, public) in enumerate(ids):
        arrives(stage, stage.client, public, 7 + number)
        arrives(stage, stage.server, there, 100 + number)


def incoming(stage: Stage, port: int) -> None:
    """A call from the server's side, which the client takes."""
    del port
    starts(stage)
    asked = struct.pack("!HHLLHH64s64s64s", 7, 1, 3, 0, 0, 0, b"", b"", b"")
    stage.server.says(pptp_message(9, asked))
    public = int.from_bytes(stage.client.hears(12 + len(asked))[12:14], "big")
    stage.client.says(pptp_message(10, struct.pack("!HHBBHHH", 100, public, 1, 0, 64, 0, 0)))
    there, named = struct.unpack_from("!HH", stage.server.hears(24), 12)
    expect("the call that is taken", named, 7)
    stage.server.says(pptp_message(11, struct.pack("!HHLHHL", there, 0, 64000, 64, 0, 3)))
    expect("the call that is connected", int.from_bytes(stage.client.hears(28)[12:14], "big"), 100)
    arrives(stage, stage.server, there, 100)
    arrives(stage, stage.client, public, 7)


def starts(stage: Stage) -> None:
    """Open the control connection, and both ends' tunnels."""
    stage.opens(PPTP.port)
    start = pptp_message(1, struct.pack("!HHLLHH64s64s", 0x100, 0, 1, 1, 0, 0, b"client", b""))
    started = pptp_message(2, struct.pack("!HBBLLHH64s64s", 0x100, 1, 0, 1, 1, 0, 0, b"server", b""))
    for speaker, message in ((stage.client, start), (stage.server, started)):
        speaker.says(message)
        expect("the beginning", speaker.other.hears(len(message)), message)
    stage.client.call("tunnel", "tunnel", stage.vip)
    stage.server.call("tunnel", "tunnel", stage.client.address)


def dial(stage: Stage, own: int, servers: int) -> tuple[int, int]:
    """Open a call; returns the client's number for it as the server knows it, and the server's as the client does."""
    asked = struct.pack("!HHLLLLHHHH64s64s", own, own, 300, 10**8, 3, 3, 64, 0, 0, 0, b"", b"")
    stage.client.says(pptp_message(7, asked))
    there = int.from_bytes(stage.server.hears(12 + len(asked))[12:14], "big")
    stage.server.says(pptp_message(8, struct.pack("!HHBBHLHHL", servers, there, 1, 0, 0, 10**7, 64, 0, 0)))
    public, named = struct.unpack_from("!HH", stage.client.hears(32), 12)
    expect("the call that is answered", named, own)
    return there, public


def arrives(stage: Stage, speaker: End, number: int, wanted: int) -> None:
    """Send a packet of a call, and expect it at the other end with the number that the call has there."""
    mark = b"%4d" % wanted
    packet = struct.pack("!BBHHHL", 0x30, 1, 0x880B, len(mark), number, 0) + mark
    got = stage.carries(speaker, packet, mark)
    expect("the call of the packet", int.from_bytes(got[6:8], "big"), wanted)
    expect("the packet but for that", got[:6] + got[8:], packet[:6] + packet[8:])


def of_old(kind: str, **fields: Any) -> bytes:
    """Write a Setup or Connect without any of the fields that later versions of H.225.0 added."""
    terminal = {"mc": False, "undefinedNode": False}
    body = {"protocolIdentifier": (0, 0, 8, 2250, 0, 1), "conferenceID": bytes(16)} | fields
    if kind == "setup":
        body |= {"activeMC": False, "conferenceGoal": ("create", 0), "callType": ("pointToPoint", 0)}
    body["sourceInfo" if kind == "setup" else "destinationInfo"] = terminal
    H323_MESSAGES.H323_UserInformation.set_val({"h323-uu-pdu": {"h323-message-body": (kind, body)}})
    user = H323_MESSAGES.H323_UserInformation.to_aper()
    number = b"\x05" if kind == "setup" else b"\x07"
    return tpkt(b"\x08\x02\x00\x01" + number + b"\x7e" + (len(user) + 1).to_bytes(2, "big") + b"\x05" + user)


def h323(stage: Stage, port: int, *, write: Callable[..., bytes], cut: Cut = whole) -> None:
    """A call, and the server picks up and names where its H.245 is; `write` encodes a message's kind and fields."""
    stage.opens(H323.port)
    setup = write("setup", destCallSignalAddress=address(Endpoint(ip_address(stage.vip), H323.port)))
    stage.client.says(setup)
    stage.server.hears(len(setup))
    stage.server.call("listen", "listener", stage.server.address, port)
    connect = write("connect", h245Address=address(Endpoint(ip_address(stage.server.address), port)))
    stage.server.says(*cut(connect))
    told, virtual = stage.client.hears(len(connect)), ip_address(stage.vip).packed
    if virtual not in told:
        raise Failed("the client is told the inside address")
    at = told.index(virtual) + len(virtual)
    stage.transfers(stage.client, "listener", stage.vip, int.from_bytes(told[at : at + 2], "big"))


def recorded_h323(stage: Stage, port: int) -> None:
    """A call of real terminals: its H.245 on a connection of its own, and there RTP and RTCP."""
    stage.opens(H323.port)
    called, clients = (Endpoint(ip_address(address), H323.port) for address in (stage.vip, stage.client.address))
    setup = recorded("setup", caller=clients, called=called)
    stage.client.says(setup)
    stage.server.hears(len(setup))
    own, theirs = called._replace(address=ip_address(stage.server.address)), clients
    stage.server.call("listen", "listener", stage.server.address, port)
    connect = recorded("connect", h245=own._replace(port=port))
    stage.server.says(connect)
    address, at = endpoint_in(stage.client.hears(len(connect)), connect, own._replace(port=port))
    expect("where H.245 is", address, stage.vip)
    stage.client.call("connect", "h245", address, at)
    expect("the other end of H.245", stage.server.call("accept", "h245", "listener"), stage.client.address)
    rtp = own._replace(port=port + 2), own._replace(port=port + 3)
    ours = theirs._replace(port=port + 4), theirs._replace(port=port + 5)
    ends = dict(zip(("rtp", "rtcp", "client_rtp", "client_rtcp"), (*rtp, *ours), strict=True))
    for speaker, message in (stage.client, "client opens"), (stage.server, "server opens"):
        exchanged(speaker, recorded(message, **ends))
    heard = exchanged(stage.server, recorded("server accepts", **ends))
    exchanged(stage.client, recorded("client accepts", **ends))
    for end, there in zip(ours, rtp, strict=True):
        address, public = endpoint_in(heard, recorded("server accepts", **ends), there)
        expect("where the stream is", address, stage.vip)
        stage.streams(end.port, public, there.port)


def exchanged(speaker: End, message: bytes) -> bytes:
    """Say something in H.245, and return what the other end hears."""
    speaker.says(message, on="h245")
    return speaker.other.hears(len(message), on="h245")


def endpoint_in(heard: bytes, said: bytes, named: Endpoint) -> tuple[str, int]:
    """Return the address and port that are heard where an endpoint was said."""
    at = said.index(b"".join(named.packed))
    return str(ip_address(heard[at : at + 4])), int.from_bytes(heard[at + 4 : at + 6], "big")


def gatekeeper(stage: Stage, port: int, *, asks: bytes, answers: str, names: str) -> None:
    """A terminal asks a gatekeeper on the real server, whose answer names itself, for RAS or for calls."""
    for end in stage.client, stage.server:
        end.call("bind", "ras", end.address, RAS.port)
    stage.client.call("send_to", "ras", asks.hex(), stage.vip, RAS.port)
    expect("the question", stage.server.gets("ras"), (asks, stage.client.address, RAS.port))
    itself = Endpoint(ip_address(stage.server.address), RAS.port if names == "rasAddress" else port)
    answer = ras(answers, **{names: address(itself)})
    stage.server.call("listen", "listener", stage.server.address, port)
    stage.server.call("send_to", "ras", answer.hex(), stage.client.address, RAS.port)
    heard, *source = stage.client.gets("ras")
    expect("where the answer comes from", source, [stage.vip, RAS.port])
    where, at = endpoint_in(heard, answer, itself)
    expect("where the gatekeeper is", where, stage.vip)
    if names != "rasAddress":
        stage.transfers(stage.client, "listener", where, at)


def within(text: bytes) -> tuple[bytes, ...]:
    """Two segments, cut in the middle."""
    return text[: len(text) // 2], text[len(text) // 2 :]


PIPELINED = b"200 NOOP ok\r\n"
ANYWHERE = Endpoint(ip_address("202.100.1.2"), RAS.port)
DISCOVERY, ADMISSION = ras("gatekeeperRequest", rasAddress=address(ANYWHERE)), ras("admissionRequest")
CLIENTS_CALL_ID = (156 + 12, 156 + 14)  # in the second message that a server hears
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
    "H.323: Connect without the fields of later versions": Case(partial(h323, write=of_old)),
    "H.323: a recorded call, with H.245, RTP and RTCP": Case(recorded_h323),
    "H.323: Connect of today, with a long extension bitmap": Case(partial(h323, write=signal)),
    "H.323: Connect in two segments": Case(partial(h323, write=of_old, cut=within)),
    "H.323: Connect over IPv6": Case(partial(h323, write=of_old), IPV6),
    "H.323: a gatekeeper that names itself": Case(
        partial(gatekeeper, asks=DISCOVERY, answers="gatekeeperConfirm", names="rasAddress")
    ),
    "H.323: a gatekeeper that names where it takes calls": Case(
        partial(gatekeeper, asks=ADMISSION, answers="admissionConfirm", names="destCallSignalAddress")
    ),
    "PPTP: a call": Case(partial(pptp, calls=1), unlike=CLIENTS_CALL_ID),
    "PPTP: a call from the server's side": Case(incoming),
    "PPTP: two calls in one control connection": Case(partial(pptp, calls=2)),
}
