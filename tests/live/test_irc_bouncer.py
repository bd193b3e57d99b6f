"""A bouncer as the real server: ZNC takes part in every DCC itself, and names its own address to its user outside.

Its user comes through the VIP; the bot is on another IRC server inside, which only the bouncer knows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from nat_lb.testing.lab import Lab
from nat_lb.testing.servers.base import make_certificate
from tests.live.ground import IPV4, watched
from tests.live.irc_programs import Ngircd, Scribe, WeeChat, Znc


@pytest.fixture(scope="module")
def lab(shared_lab: Lab) -> Iterator[Lab]:
    """The bouncer is on the first real server, ngIRCd on the second; every packet is judged at the end."""
    bouncer, upstream = shared_lab.servers
    with Ngircd(upstream, 6667), Znc(bouncer, "ann", upstream.v4):
        everybody = [
            'helpers = ["irc"]',
            'helper_options.irc.senders = ["*"]',
        ]  # whose offers the bouncer makes its own
        services = IPV4.service("bouncer", 6698, everybody, servers="1:6698")
        shared_lab.start_director(services + IPV4.service("irc", 6667, ['helpers = ["irc"]'], servers="2:6667"))
        with watched(shared_lab):
            yield shared_lab


def test_files_go_both_ways_through_a_bouncer(lab: Lab) -> None:
    with (
        WeeChat(lab.servers[1], "bot", lab.servers[1].v4, 6667) as bot,
        WeeChat(lab.client, "ann", lab.vip, 6698, Znc.password) as ann,
    ):
        assert ann.server == "server2.lab.test", "through the bouncer on the other one"
        for number, (giver, taker) in enumerate(((bot, ann), (ann, bot))):
            path = lab.directory / f"{number}.bin"
            path.write_bytes(content := os.urandom(300_000))
            giver.types(f"/dcc send {taker.nick} {path}")
            taker.waits_for(path.name, content)
        ann.shows(f"file 0.bin received from bot ({lab.vip}): OK")
        ann.shows(f"file 1.bin sent to bot ({lab.vip}): OK")


def test_talk_under_tls_is_with_the_virtual_address(lab: Lab) -> None:
    """Both users have a bouncer; the one outside checks that the certificate is one for the address it connects to."""
    inside, outside = lab.servers[1], lab.client
    certificate = make_certificate(lab.directory, lab.vip)
    with (
        Znc(inside, "bob", inside.v4, certificate=certificate),
        Znc(outside, "eve", lab.vip, certificate=certificate),
        Scribe(inside, "bob", inside.v4, 6698, Znc.password) as bob,
        Scribe(outside, "eve", outside.v4, 6698, Znc.password) as eve,
    ):
        bob.types("PRIVMSG *schat :chat eve")
        eve.shows(f":(s)bob!(s)bob@{lab.vip} PRIVMSG eve :*** Incoming DCC SCHAT")
        eve.types("PRIVMSG (s)bob :yes")
        bob.shows(f":(s)eve!(s)eve@{outside.v4} PRIVMSG bob :*** Connected.")
        eve.types("PRIVMSG (s)bob :under four eyes")
        bob.shows("PRIVMSG bob :under four eyes")
