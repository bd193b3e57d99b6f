"""Which command a reply answers, and which line of it counts.

The law: a line is a reply only where RFC 959 §4.2 lets a reply begin or end, and it answers a command only if one of
its kind is still unanswered.  What a server merely repeats, a file's name or a banner, is text.
"""

from __future__ import annotations

import re
from collections import deque
from enum import Enum

from nat_lb_ftp.wire import telnet_length

_REPLY = re.compile(rb"(\d\d\d)([ -]|\r?\n)")
_REMEMBERED = 256  # unanswered commands; nobody pipelines more
_TELNET_COMMAND = b"\xff"


class Command(Enum):
    """The commands whose replies matter."""

    PASV = "227"
    EPSV = "229"
    AUTH = "234"
    OTHER = ""


_ANSWERS = {"227": Command.PASV, "229": Command.EPSV, "234": Command.AUTH, "334": Command.AUTH}
_OTHER = Command.OTHER
_PLAIN_COMMANDS = frozenset(
    verb.ljust(4)
    for verb in b"ABOR ALLO APPE CDUP CWD DELE FEAT HELP LIST MDTM MKD MLSD MLST MODE NLST NOOP OPTS PASS PBSZ PROT "
    b"QUIT REST RETR RMD RNFR RNTO SITE SIZE STAT STOR STOU STRU SYST TYPE USER".split()
) | {b"PWD\r"}
_PLAIN_REPLIES = frozenset(b"%d " % code for code in range(100, 600)) - {b"%s " % code.encode() for code in _ANSWERS}
_PRELIMINARY = ord("1")
_TLS = frozenset({b"TLS", b"TLS-C", b"TLS-P", b"SSL"})  # RFC 4217 §2 and its drafts


def classify(verb: str, argument: bytes) -> Command:
    """Return the kind of a command: `EPSV ALL` only promises, other mechanisms of AUTH stay readable (RFC 2228)."""
    word = argument.upper()
    if (verb == "EPSV" and word == b"ALL") or (verb == "AUTH" and word not in _TLS):
        return Command.OTHER
    return Command.__members__.get(verb, Command.OTHER)


class Commands:
    """The commands that the server has not answered yet, oldest first.

    A command or a reply that was too long to be seen must not shift all later answers by one.  So a reply with a code
    of its own finds its command wherever it stands, and PASV is not taken for answered by another's success.
    """

    def __init__(self) -> None:
        self._unanswered: deque[Command] = deque(maxlen=_REMEMBERED)
        self._awaited = False  # one of them is not OTHER

    def sent(self, command: Command) -> None:
        """Note a command of the client."""
        self._unanswered.append(command)
        self._awaited |= command is not _OTHER

    def sent_plain(self, line: bytes) -> bool:
        """Note a line if a glance at it shows an OTHER command; whether it did."""
        plain = line[:4] in _PLAIN_COMMANDS
        if plain:
            self._unanswered.append(_OTHER)
        return plain

    def waits_for(self, code: str) -> bool:
        """Whether a command that this code answers is unanswered."""
        return _ANSWERS.get(code) in self._unanswered

    def answered(self, code: str) -> bool:
        """Take a reply; whether it is the answer that a command of its own kind waited for."""
        if self.waits_for(code):
            while self._unanswered.popleft() is not _ANSWERS[code]:
                pass
            self._look_again()
            return True
        refused = code[0] in "45"
        if code[0] != "1" and self._unanswered and (refused or self._unanswered[0] is Command.OTHER):
            self._unanswered.popleft()
            self._look_again()
        return False

    def answered_plainly(self, line: bytes) -> bool:
        """Take a line, with which a reply begins, if a glance shows a whole one of no interest; whether it did."""
        plain = not self._awaited and line[:4] in _PLAIN_REPLIES
        if plain and self._unanswered and line[0] != _PRELIMINARY:
            self._unanswered.popleft()
        return plain

    def _look_again(self) -> None:
        self._awaited = self._awaited and any(command is not _OTHER for command in self._unanswered)


class Replies:
    """Tells the last lines of replies from what stands in between (RFC 959 §4.2)."""

    def __init__(self) -> None:
        self.block = ""  # the code of the reply of several lines that has begun

    def ends(self, line: bytes) -> str:
        """Return the code of the reply that this line ends, or nothing."""
        found = _REPLY.match(line, telnet_length(line))
        if not found:
            return ""
        code = found[1].decode("ascii")
        if self.block and code != self.block:
            return ""
        self.block = code if found[2] == b"-" else ""
        return "" if self.block else code

    def quotes(self, line: bytes) -> str:
        """Return the code of a line that would end a reply if it did not stand inside another, or nothing."""
        found = _REPLY.match(line, telnet_length(line))
        return found[1].decode("ascii") if found and self.block and found[2] != b"-" else ""

    def may_end(self, tail: bytes, code: str) -> bool:
        """Whether the beginning of a line, `tail`, can become the end of a reply with this code."""
        text = tail[telnet_length(tail) :]
        end = code.encode("ascii") + b" "
        fits = text.startswith((end, _TELNET_COMMAND)) or end.startswith(text)
        return fits and self.block in ("", code)
