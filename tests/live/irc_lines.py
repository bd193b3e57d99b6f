"""An IRC user who writes his lines himself and follows every DCC offer; what he reads is printed.

Usage: irc_lines.py ADDRESS PORT NICK [PASSWORD]   a line on standard input is sent as it is, but for:
       offer VERB TARGET                           listens, offers by DCC VERB, and sends what `content` has for it
       ask VERB TARGET                             the same, but lets the other one listen (passive DCC)
"""

from __future__ import annotations

import re
import socket
import sys
import threading
from ipaddress import ip_address

TIMEOUT = 30.0
OFFER = re.compile(r":([^ !]+)\S* PRIVMSG \S+ :\x01DCC (\w+) \S+ (\S+) (\d+) \d+(?: (\d+))?\x01")
TOKEN = "4711"  # by which passive offers and what answers them belong together


def content(verb: str) -> bytes:
    return verb.encode() * 20_000


class User:
    def __init__(self, address: str, port: int, nick: str, password: str) -> None:
        self.nick = nick
        self.asked = False
        self.server = socket.create_connection((address, port), TIMEOUT)
        self.server.settimeout(None)
        self.address = self.server.getsockname()[0]
        if password:
            self.say(f"PASS {nick}:{password}")
        self.say(f"NICK {nick}\r\nUSER {nick} 0 * :{nick}")

    def say(self, line: str) -> None:
        self.server.sendall(f"{line}\r\n".encode())

    def listen(self) -> None:
        for line in self.server.makefile(encoding="utf-8", errors="replace", newline="\r\n"):
            print(line.rstrip(), flush=True)
            if line.startswith("PING"):
                self.say(line.rstrip().replace("PING", "PONG", 1))
            if found := OFFER.match(line):
                threading.Thread(target=self.follow, args=found.groups(), daemon=True).start()

    def offer(self, verb: str, target: str, token: str = "") -> socket.socket:
        """Listen, and say where."""
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        data = socket.create_server((self.address, 0), family=family)
        data.settimeout(TIMEOUT)
        self.say_dcc(verb, target, data.getsockname()[1], token)
        return data

    def say_dcc(self, verb: str, target: str, port: int, token: str = "") -> None:
        number = str(ip_address(self.address)) if ":" in self.address else int(ip_address(self.address))
        words = f"{verb} {verb.lower()} {number} {port} {len(content(verb))} {token}".rstrip()
        self.say(f"PRIVMSG {target} :\x01DCC {words}\x01")

    def follow(self, nick: str, verb: str, number: str, port: str, token: str | None) -> None:
        """Take what is offered, or where that is meant, let it be sent to us, or send it."""
        if port == "0":
            with self.offer(verb, nick, token or "") as data:
                take(data.accept()[0], verb, nick)
            return
        address = str(ip_address(int(number) if number.isdigit() else number))
        connection = socket.create_connection((address, int(port)), TIMEOUT)
        if self.asked and token == TOKEN:
            give(connection, verb)
        else:
            take(connection, verb, nick)

    def does(self, what: str, verb: str, target: str) -> None:
        """Do what a line of standard input begins with."""
        if what == "offer":
            threading.Thread(target=serve, args=(self.offer(verb, target), verb), daemon=True).start()
        else:
            self.asked = True
            self.say_dcc(verb, target, 0, TOKEN)


def serve(data: socket.socket, verb: str) -> None:
    with data:
        give(data.accept()[0], verb)


def give(connection: socket.socket, verb: str) -> None:
    peer = connection.getpeername()[0]
    with connection:
        connection.sendall(content(verb))
    print(f"gave {verb} to {peer}", flush=True)


def take(connection: socket.socket, verb: str, nick: str) -> None:
    address = connection.getpeername()[0]
    with connection:
        got = connection.makefile("rb").read()
    how = "whole" if got == content(verb) else f"{len(got)} other octets"
    print(f"took {verb} of {nick} from {address}: {how}", flush=True)


def main(address: str, port: str, nick: str, password: str = "") -> None:
    user = User(address, int(port), nick, password)
    threading.Thread(target=user.listen, daemon=True).start()
    for line in sys.stdin:
        words = line.split()
        user.does(*words) if words[0] in ("offer", "ask") else user.say(line.rstrip())


if __name__ == "__main__":
    main(*sys.argv[1:])
