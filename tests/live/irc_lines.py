"""An IRC user who writes his lines himself and follows every DCC offer; what he reads is printed.

Usage: irc_lines.py ADDRESS PORT NICK [PASSWORD]   a line on standard input is sent as it is, but for:
       offer VERB TARGET                           listens, offers by DCC VERB, and sends what `content` has for it
"""

from __future__ import annotations

import re
import socket
import sys
import threading
from ipaddress import ip_address

TIMEOUT = 30.0
OFFER = re.compile(r":([^ !]+)\S* PRIVMSG \S+ :\x01DCC (\w+) \S+ (\S+) (\d+)")


def content(verb: str) -> bytes:
    return verb.encode() * 20_000


class User:
    def __init__(self, address: str, port: int, nick: str, password: str) -> None:
        self.nick = nick
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
                threading.Thread(target=follow, args=found.groups(), daemon=True).start()

    def offer(self, verb: str, target: str) -> None:
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        data = socket.create_server((self.address, 0), family=family)
        number = str(ip_address(self.address)) if ":" in self.address else int(ip_address(self.address))
        size = len(content(verb))
        self.say(f"PRIVMSG {target} :\x01DCC {verb} {verb.lower()} {number} {data.getsockname()[1]} {size}\x01")
        threading.Thread(target=give, args=(data, verb), daemon=True).start()


def give(data: socket.socket, verb: str) -> None:
    data.settimeout(TIMEOUT)
    with data, data.accept()[0] as taker:
        peer = taker.getpeername()[0]
        taker.sendall(content(verb))
    print(f"gave {verb} to {peer}", flush=True)


def follow(nick: str, verb: str, number: str, port: str) -> None:
    address = str(ip_address(int(number) if number.isdigit() else number))
    with socket.create_connection((address, int(port)), TIMEOUT) as giver:
        got = giver.makefile("rb").read()
    how = "whole" if got == content(verb) else f"{len(got)} other octets"
    print(f"took {verb} of {nick} from {address}: {how}", flush=True)


def main(address: str, port: str, nick: str, password: str = "") -> None:
    user = User(address, int(port), nick, password)
    threading.Thread(target=user.listen, daemon=True).start()
    for line in sys.stdin:
        verb, *words = line.split()
        user.offer(*words) if verb == "offer" else user.say(line.rstrip())


if __name__ == "__main__":
    main(*sys.argv[1:])
