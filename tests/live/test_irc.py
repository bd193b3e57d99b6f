"""IRC through the director: WeeChat on both sides, with two ngIRCd that know nothing of each other.

On each real server a bot meets a client's user who came through the VIP. The bots offer their files at ports that the
VIP has services at, so all their ports are translated; both have files of the same names with other contents.

The law: every program does things in its own time. What one has done says nothing of another, so each is waited for.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import NamedTuple

import pytest

from nat_lb.testing.lab import Lab, RunningDirector, wait_until
from tests.live.ground import IPV4, Family, both_families, counted, of_both, related, select, watched
from tests.live.irc_programs import Ngircd, Scribe, WeeChat

TAKEN = range(5000, 5008)  # a bot uses the lowest port that none of its transfers still has
BOTS_PORTS = f"{TAKEN[0]}-{TAKEN[-1]}"
BETWEEN_HOSTS = "(ip.addr == 202.100.1.0/24 || ipv6.addr == 2001:db8:100::/64)"


class Pair(NamedTuple):
    """A bot on a real server and the client's user who is connected to that server."""

    bot: WeeChat
    user: WeeChat


class Ground(NamedTuple):
    lab: Lab
    director: RunningDirector
    pairs: Mapping[Family, list[Pair]]
    resumed: set[str]

    def file(self, name: str, size: int = 300_000) -> tuple[Path, bytes]:
        content = os.urandom(size)
        path = self.lab.directory / name
        path.write_bytes(content)
        return path, content


def services(family: Family) -> str:
    lines = ['scheduler = "rr"', 'helpers = ["irc"]']
    chat = family.service("irc", 6667, lines, servers="1:6667 2:6667")
    return "\n".join([chat, *(family.service(f"taken{port}-", port, servers="1:1") for port in TAKEN)])


@pytest.fixture(scope="module")
def ground(shared_lab: Lab) -> Iterator[Ground]:
    """Both servers and all users; every packet of the module is captured on all legs, and judged at its end."""
    with contextlib.ExitStack() as stack:
        for host in shared_lab.servers:
            stack.enter_context(Ngircd(host, 6667))
        director = shared_lab.start_director(of_both(services))
        resumed = stack.enter_context(watched_resuming(shared_lab))
        pairs = {family: list(meet(stack, shared_lab, family)) for family in (IPV4, Family(6))}
        yield Ground(shared_lab, director, pairs, resumed)


@contextlib.contextmanager
def watched_resuming(lab: Lab) -> Iterator[set[str]]:
    """Watch and judge as `watched` does, and the ports of the files whose names are put into what is given."""
    resumed: set[str] = set()
    with watched(lab) as legs:
        yield resumed
    outside, inside = resumed_ports(legs.client), resumed_ports(*legs.servers)
    assert resumed <= outside.keys() & inside.keys()
    assert [name for name, ports in inside.items() if not ports <= set(TAKEN)] == []
    assert [name for name, ports in outside.items() if ports & set(TAKEN)] == []


def resumed_ports(*paths: Path) -> Mapping[str, set[int]]:
    """Return, for each file, the ports that RESUME and ACCEPT name in the packets to and from the director."""
    found = defaultdict(set)
    for path in paths:
        wanted = f'(tcp contains "DCC RESUME" || tcp contains "DCC ACCEPT") && {BETWEEN_HOSTS}'
        for payload in select(path, wanted, "tcp.payload"):
            for name, port in re.findall(rb'(?:RESUME|ACCEPT) "?([^ "]+)"? (\d+) ', bytes.fromhex(payload)):
                found[name.decode()].add(int(port))
    return found


def meet(stack: contextlib.ExitStack, lab: Lab, family: Family) -> Iterator[Pair]:
    users = {}
    for number in (1, 2):
        user = WeeChat(lab.client, f"user{family.version}{number}", family.vip, 6667)
        stack.callback(user.stop)
        users[user.server] = user
    for host in lab.servers:
        bot = WeeChat(host, f"bot{family.version}", family.of(host), 6667, **{"xfer.network.port_range": BOTS_PORTS})
        stack.callback(bot.stop)
        yield Pair(bot, users[f"{host.name}.lab.test"])


@both_families
def test_file_offered_on_the_servers_side_arrives_from_the_same_server(ground: Ground, family: Family) -> None:
    name = f"down{family.version}.bin"
    sent = []
    for number, (bot, user) in enumerate(ground.pairs[family]):
        folder = ground.lab.directory / f"files{family.version}{number}"
        folder.mkdir()
        content = os.urandom(300_000 + number)
        (folder / name).write_bytes(content)
        bot.types(f"/dcc send {user.nick} {folder / name}")
        sent.append((user, content))
    for user, content in sent:
        user.waits_for(name, content)
        user.shows(f"({family.vip}, irc.lab), name: {name}, {len(content)} bytes")


@both_families
def test_file_offered_by_the_client_arrives_from_the_virtual_address(ground: Ground, family: Family) -> None:
    for bot, user in ground.pairs[family]:
        path, content = ground.file(f"up{user.nick}.bin")
        user.types(f"/dcc send {bot.nick} {path}")
        bot.waits_for(path.name, content)
        user.shows(f"file {path.name} sent to {bot.nick} ({family.vip}): OK")


@both_families
def test_interrupted_file_is_resumed_behind_a_translated_port(ground: Ground, family: Family) -> None:
    for bot, user in ground.pairs[family]:
        path, content = ground.file(f"again{user.nick}.bin")
        (user.directory / "got" / f"{path.name}.part").write_bytes(content[:100_000])
        bot.types(f"/dcc send {user.nick} {path}")
        user.waits_for(path.name, content)
        user.shows("will be resumed at position 100000")
        ground.resumed.add(path.name)


@both_families
@pytest.mark.parametrize("side", ["server", "client"])
def test_talk_offered_on_either_side_goes_both_ways(ground: Ground, family: Family, side: str) -> None:
    pair = ground.pairs[family][0 if side == "server" else 1]
    offering, other = pair if side == "server" else reversed(pair)
    offering.types(f"/dcc chat {other.nick}")
    for one, to in ((offering, other), (other, offering)):
        one.shows(f"connected to {to.nick}")  # before, it has no buffer to type into
    offering.types("are you there", f"xfer.irc_dcc.lab.{other.nick}")
    other.types("in person", f"xfer.irc_dcc.lab.{offering.nick}")
    other.shows("are you there")
    offering.shows("in person")
    chat = related(ground.director, f"irc{family.version}", "tcp")[-1]
    assert (chat["state"], chat["announced_by"]["virtual"]) == ("ESTABLISHED", family.at(family.vip, 6667))


@both_families
@pytest.mark.parametrize("side", ["server", "client"])
def test_every_kind_of_offer_is_followed_to_the_last_octet(ground: Ground, family: Family, side: str) -> None:
    lab = ground.lab
    with Scribe(lab.client, f"out{family.version}{side[0]}", family.vip, 6667) as outside:
        host = next(host for host in lab.servers if outside.server == f"{host.name}.lab.test")
        with Scribe(host, f"in{family.version}{side[0]}", family.of(host), 6667) as inside:
            giver, taker = (inside, outside) if side == "server" else (outside, inside)
            shown, peer = (family.vip, lab.client) if side == "server" else (family.of(lab.client), None)
            for verb in ("TSEND", "MOVE", "SCHAT"):
                giver.types(f"offer {verb} {taker.nick}")
                taker.shows(f"took {verb} of {giver.nick} from {shown}: whole")
                giver.shows(f"gave {verb} to {family.of(peer) if peer else family.vip}\n")
            giver.types(f"ask SEND {taker.nick}")
            taker.shows(f"took SEND of {giver.nick} from {shown}: whole")
            giver.shows(f"gave SEND to {family.of(peer) if peer else family.vip}\n")


def test_offer_of_a_third_hosts_address_is_logged_and_not_followed(ground: Ground) -> None:
    bot, user = ground.pairs[IPV4][0]
    before = counted(ground.director, "irc")["refused"].get("forged address", 0)
    user.types(f"/quote PRIVMSG {bot.nick} :\x01DCC SEND loot 167772169 5555 1\x01")
    wanted = f"DCC SEND names 10.0.0.9:5555 but the client is {ground.lab.client.v4} (forged)"
    wait_until(lambda: wanted in ground.director.log(), what="the refusal in the log")
    assert counted(ground.director, "irc")["refused"]["forged address"] == before + 1


def test_user_outside_cannot_open_a_port_of_the_server_to_himself(ground: Ground) -> None:
    """He offers to himself what listens on the real server, and the IRC server does say it to him."""
    with Scribe(ground.lab.client, "eve", IPV4.vip, 6667) as eve:
        offer = f"PRIVMSG eve :\x01dcc CHAT chat {number(ground.lab, eve.server)} 6667\x01"  # `DCC` he would follow
        eve.types(offer)
        eve.shows(f":eve!~eve@{ground.lab.client.v4} {offer}\n")
        names = f"'eve!~eve@{ground.lab.client.v4}' names the real server, but he is not on it"
        wait_until(lambda: names in ground.director.log(), what="the refusal")


def number(lab: Lab, server: str) -> int:
    """Return the address of a real server as DCC has it."""
    [host] = [host for host in lab.servers if server == f"{host.name}.lab.test"]
    return int(IPv4Address(host.v4))


def test_privileged_port_of_the_servers_side_is_logged_and_not_followed(ground: Ground) -> None:
    bot, user = ground.pairs[IPV4][1]
    address = number(ground.lab, bot.server)
    bot.types(f"/quote PRIVMSG {user.nick} :\x01DCC MOVE f {address} 22\x01")
    wait_until(lambda: "names port 22, allowed are 1024 to 65535" in ground.director.log(), what="the refusal")
