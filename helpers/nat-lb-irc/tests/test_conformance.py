"""The helper "irc" against what every helper owes: its dialogues, however their octets travel."""

from __future__ import annotations

from typing import Any, ClassVar

from nat_lb.testing.conformance import (
    Dialogue,
    HelperConformance,
    client_connects,
    client_says,
    server_connects,
    server_says,
)
from nat_lb.testing.dialogue import Connects, Says

VIP, REAL, CLIENT = "203.0.113.100", "10.77.0.11", "203.0.113.10"


def talk(*steps: Says | Connects) -> Dialogue:
    return Dialogue(*steps, virtual=f"{VIP}:6667", real=f"{REAL}:6667")


def talk6(*steps: Says | Connects) -> Dialogue:
    return Dialogue(*steps, client="[2001:db8::10]:40000", virtual="[2001:db8::100]:6667", real="[fd00::11]:6667")


def offers(what: bytes, arrives: bytes) -> Says:
    """Return the step in which a bot on the real server says a DCC request, and what the client reads."""
    host = b"fd00::11" if b"fd00::11" in what else b"10.77.0.11"
    frame = b":bob!~root@" + host + b" PRIVMSG alice :\x01DCC %s\x01\r\n"
    return server_says(frame % what, arrives=frame % arrives)


def client_offers(what: bytes, arrives: bytes | None = None) -> Says:
    frame = b"PRIVMSG bob :\x01DCC %s\x01\r\n"
    return client_says(frame % what, arrives=None if arrives is None else frame % arrives)


class TestIrc(HelperConformance):
    helper = "irc"
    dialogues: ClassVar[dict[str, Dialogue]] = {
        # The lines of ngIRCd 26.1 and two WeeChat 3.8, one of them beside the server.
        "recorded": talk(
            client_says(b"CAP LS 302\r\n"),
            server_says(b":irc.hr.test CAP * LS :multi-prefix\r\n"),
            client_says(b"NICK alice\r\nUSER root 0 * :root\r\nCAP REQ :multi-prefix\r\nCAP END\r\n"),
            server_says(
                b":irc.hr.test CAP alice ACK :multi-prefix\r\n"
                b":irc.hr.test 001 alice :Welcome to the Internet Relay Network alice!~root@203.0.113.10\r\n"
                b":irc.hr.test 376 alice :End of MOTD command\r\n"
            ),
            client_offers(b"SEND a2b.bin 3405803786 48865 50000"),
            server_connects(f"{REAL}:41000", to=f"{CLIENT}:48865", seen_from=f"{VIP}:41000"),
            offers(b"SEND b2a.bin 172818443 35631 50000", b"SEND b2a.bin 3405803876 35631 50000"),
            client_connects(f"{VIP}:35631", reaches=f"{REAL}:35631"),
            client_says(b"QUIT :bye\r\n"),
            server_says(b"ERROR :Closing connection: bye\r\n"),
        ),
        "quoted name and talk in one segment": talk(
            server_says(
                b':bob!b@10.77.0.11 NOTICE #us :\x01DCC TSEND "two words" 172818443 5000 1\x01\r\nPING :x\r\n'
                b":bob!b@10.77.0.11 PRIVMSG alice :\x01DCC CHAT chat 172818443 5001\x01\r\n",
                arrives=b':bob!b@10.77.0.11 NOTICE #us :\x01DCC TSEND "two words" 3405803876 5000 1\x01\r\nPING :x\r\n'
                b":bob!b@10.77.0.11 PRIVMSG alice :\x01DCC CHAT chat 3405803876 5001\x01\r\n",
            ),
            client_says(b"PONG :x\r\n"),
            client_connects(f"{VIP}:5001", reaches=f"{REAL}:5001"),
            client_connects(f"{VIP}:5000", reaches=f"{REAL}:5000"),
        ),
        "resumed behind a port that is taken": talk(
            offers(b"SEND big 172818443 6667 900", b"SEND big 3405803876 6668 900"),
            client_offers(b"RESUME big 6668 400", arrives=b"RESUME big 6667 400"),
            offers(b"ACCEPT big 6667 400", b"ACCEPT big 6668 400"),
            client_connects(f"{VIP}:6668", reaches=f"{REAL}:6667"),
        ),
        "passive": talk(
            offers(b"SEND f 172818443 0 900 17", b"SEND f 3405803876 0 900 17"),
            client_offers(b"SEND f 3405803786 48865 900 17"),
            server_connects(f"{REAL}:41000", to=f"{CLIENT}:48865", seen_from=f"{VIP}:41000"),
            client_offers(b"SEND g 3405803786 0 900 18"),
            offers(b"SEND g 172818443 5000 900 18", b"SEND g 3405803876 5000 900 18"),
            client_connects(f"{VIP}:5000", reaches=f"{REAL}:5000"),
        ),
        "IPv6": talk6(
            offers(b"SEND f fd00::11 5000 900", b"SEND f 2001:db8::100 5000 900"),
            client_connects("[2001:db8::100]:5000", reaches="[fd00::11]:5000", client="[2001:db8::10]:0"),
            client_offers(b"CHAT chat 2001:db8::10 6000"),
            server_connects("[fd00::11]:41000", to="[2001:db8::10]:6000", seen_from="[2001:db8::100]:41000"),
        ),
        "refused": talk(
            client_offers(b"SEND f 172818443 5000 900"),
            offers(b"SEND f 172818443 80 900", b"SEND f 172818443 80 900"),
            offers(b"SEND f 167772169 5000", b"SEND f 167772169 5000"),
            client_says(b"PRIVMSG alice :\x01DCC SEND f 172818443 5000\x01\r\n"),
            server_says(b":alice!a@203.0.113.10 PRIVMSG alice :\x01DCC SEND f 172818443 5000\x01\r\n"),
            client_says(b"PRIVMSG bob :see \x01DCC SEND f 3405803786 5000\x01\r\n"),
            server_says(b":bob!b@h TOPIC #us :\x01DCC SEND f 172818443 5000\x01\r\n"),
        ),
    }


class TestIrcForAnyClient(HelperConformance):
    helper = "irc"
    options: ClassVar[dict[str, Any]] = {"any_client": True, "senders": ["bob!*@*"], "maximum_port": 5999}
    dialogues: ClassVar[dict[str, Dialogue]] = {
        "another client comes": talk(
            offers(b"SEND f 172818443 5000 900", b"SEND f 3405803876 5000 900"),
            client_connects(f"{VIP}:5000", reaches=f"{REAL}:5000", client="198.51.100.7:0"),
        ),
        "not listed": talk(
            server_says(b":eve!b@h PRIVMSG alice :\x01DCC SEND f 172818443 5000\x01\r\n"),
            client_says(b"PONG :x\r\n"),
        ),
    }
