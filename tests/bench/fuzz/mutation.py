"""Mutation that knows what helpers look for: numbers, addresses in all their spellings, fields, lines.

The law: the same random numbers make the same conversation, and none is longer than `LONGEST`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from functools import cache
from ipaddress import ip_address

from nat_lb.flow import Address, Direction, Endpoint
from nat_lb.testing.dialogue import Dialogue

Said = tuple[Direction, bytes]

LONGEST = 30_000  # octets of one conversation
_NUMBERS = (0, 1, 20, 255, 256, 1023, 1024, 5000, 32767, 65535, 65536, 1 << 31, (1 << 32) - 1, 1 << 32, 10**20)
_NUMBER = re.compile(rb"\d+")
_WORD = re.compile(rb"\w+|[^\w\s]+|\s+")


@cache
def _spelled(address: Address) -> tuple[bytes, ...]:
    """Return an address as payloads write it: as text, as numbers with commas, as one number, as octets."""
    text = str(address).encode()
    if address.version == 6:
        return text, address.packed
    return text, text.replace(b".", b","), b"%d" % int(address), address.packed


_OTHERS = [
    _spelled(ip_address(text))
    for text in (
        "198.51.100.9", "0.0.0.0", "127.0.0.1", "255.255.255.255", "224.0.0.1", "2001:db8::9", "::1", "::"
    )
]  # fmt: skip


class Mutator:
    """Makes conversations out of dialogues; all chance comes from `rng`, which may be seeded anew for each."""

    def __init__(self, dialogues: Sequence[Dialogue], rng: random.Random) -> None:
        self.dialogues = dialogues
        self.rng = rng
        self._messages = [step.data for dialogue in dialogues for _, step in dialogue.says]
        self._words = sorted({word for data in self._messages for word in _WORD.findall(data)})
        self._changes: tuple[Callable[[bytes, Dialogue], bytes], ...] = (
            self._number, self._number, self._address, self._address, self._word, self._word, self._field, self._field,
            self._octets, self._repeat, self._case, self._cut, self._port,
        )  # fmt: skip

    def conversation(self) -> tuple[Dialogue, list[Said]]:
        """Return a dialogue and what its ends say instead."""
        dialogue = self.dialogues[self._below(len(self.dialogues))]
        said = [(step.sender, step.data) for _, step in dialogue.says]
        for _ in range(self._below(3)):
            self._shuffle(said)
        for _ in range(self._below(5)):
            at = self._below(len(said))
            change = self._changes[self._below(len(self._changes))]
            said[at] = said[at][0], change(said[at][1], dialogue)
        left = LONGEST
        for at, (sender, data) in enumerate(said):
            said[at] = sender, data[:left]
            left -= len(said[at][1])
        return dialogue, said

    def _below(self, bound: int) -> int:
        return int(self.rng.random() * bound)

    def _shuffle(self, said: list[Said]) -> None:
        """Say something twice, earlier, not at all, from the wrong end, or something of another dialogue."""
        at, to, how = self._below(len(said)), self._below(len(said)), self._below(6)
        sender, data = said[at]
        if how == 0:
            said.insert(to, said[at])
        elif how == 1:
            said[at], said[to] = said[to], said[at]
        elif how == 2 and len(said) > 1:
            del said[at]
        elif how == 3:
            said[at] = Direction(1 - sender), data
        elif how == 4:
            said.insert(to, (sender, self._messages[self._below(len(self._messages))]))
        else:
            said[at] = sender, data + said[to][1]

    def _number(self, data: bytes, dialogue: Dialogue) -> bytes:
        found = list(_NUMBER.finditer(data))
        if not found:
            return self._field(data, dialogue)
        one = found[self._below(len(found))]
        near = (int(one[0][:20]) + self._below(3) - 1,) * 4
        number = (*_NUMBERS, *near)[self._below(len(_NUMBERS) + len(near))]
        return data[: one.start()] + b"%d" % max(number, 0) + data[one.end() :]

    def _address(self, data: bytes, dialogue: Dialogue) -> bytes:
        """Put another address in the place of one of the dialogue's, in the same spelling."""
        own = [_spelled(end.address) for end in (dialogue.client, dialogue.virtual, dialogue.real)]
        others = [*own, *_OTHERS]
        new, first = others[self._below(len(others))], self._below(3)
        for address in own[first:] + own[:first]:
            for number, old in enumerate(address):
                at = data.find(old)
                if at >= 0:
                    return data[:at] + new[min(number, len(new) - 1)] + data[at + len(old) :]
        return self._word(data, dialogue)

    def _port(self, data: bytes, dialogue: Dialogue) -> bytes:
        """Change two octets behind an address that is written as octets."""
        ends: tuple[Endpoint, ...] = (dialogue.real, dialogue.client, dialogue.virtual)
        for end in ends:
            at = data.find(end.address.packed)
            if at >= 0:
                at += len(end.address.packed)
                port = _NUMBERS[self._below(len(_NUMBERS))] & 0xFFFF
                return data[:at] + port.to_bytes(2, "big") + data[at + 2 :]
        return self._number(data, dialogue)

    def _word(self, data: bytes, _: Dialogue) -> bytes:
        """Put a word that some dialogue has in the place of another, or beside it."""
        word = self._words[self._below(len(self._words))] if self._words else b""
        found = list(_WORD.finditer(data))
        if not found:
            return data + word
        one = found[self._below(len(found))]
        return data[: one.start()] + word + data[one.end() if self.rng.random() < 0.5 else one.start() :]

    def _field(self, data: bytes, _: Dialogue) -> bytes:
        """Write a number of one, two or four octets over what is there, as lengths, identifiers and ports are."""
        size = 1 << self._below(3)
        at = self._below(len(data) + 1)
        old = int.from_bytes(data[at : at + size], "big")
        number = (*_NUMBERS, old + 1, old - 1)[self._below(len(_NUMBERS) + 2)] % (1 << 8 * size)
        return data[:at] + number.to_bytes(size, "big") + data[at + size :]

    def _octets(self, data: bytes, _: Dialogue) -> bytes:
        at, size = self._below(len(data) + 1), self._below(6)
        return data[:at] + self.rng.randbytes(self._below(6)) + data[at + size :]

    def _repeat(self, data: bytes, _: Dialogue) -> bytes:
        at = self._below(len(data) + 1)
        end = at + 1 + self._below(40)
        return data[:at] + data[at:end] * (1 << self._below(9)) + data[end:]

    def _case(self, data: bytes, _: Dialogue) -> bytes:
        return data.swapcase()

    def _cut(self, data: bytes, _: Dialogue) -> bytes:
        at = self._below(len(data) + 1)
        return data[:at] if self.rng.random() < 0.5 else data[at:]
