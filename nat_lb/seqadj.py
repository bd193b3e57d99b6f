"""Sequence adjustment: where a TCP direction's stream grew or shrank, and what that does to sequence numbers.

The law: every position of the sender's stream has one image in the rewritten stream, for ever: a retransmission, cut
as it may be, maps to the same octets at the same place. So a list of replacements is kept, not one correction point.
A replaced text has no inner positions: one that falls inside maps to the text's start, so that no octet is
acknowledged that the sender's peer has not got whole.

Positions are sequence numbers unwrapped to plain integers (`unwrap`), so that before and after are < and >.
"""

from __future__ import annotations

from typing import NamedTuple

WRAP = 1 << 32
HALF = 1 << 31
KEPT_AFTER_ACK = 32  # replacements remembered after their acknowledgement: a peer may still send them again


def unwrap(sequence: int, reference: int) -> int:
    """Return the position nearest to `reference` whose low 32 bits are `sequence` (RFC 9293 §3.4)."""
    return reference + ((sequence - reference + HALF) % WRAP) - HALF


class Replacement(NamedTuple):
    """Octets `start` to `end` of the sender's stream became `text`; everything before had moved by `shift` already."""

    start: int
    end: int
    text: bytes
    shift: int

    @property
    def image_start(self) -> int:
        """Where the text starts in the rewritten stream."""
        return self.start + self.shift

    @property
    def image_end(self) -> int:
        """Where the text ends in the rewritten stream."""
        return self.start + self.shift + len(self.text)


class SequenceMap:
    """One direction's replacements, in order."""

    __slots__ = ("acknowledged", "floor", "replacements", "shift")

    def __init__(self) -> None:
        self.replacements: list[Replacement] = []
        self.shift = 0  # of everything after the last replacement
        self.floor: int | None = None  # positions before it are no longer known
        self.acknowledged: int | None = None  # the receiver's highest acknowledgement, in the sender's positions

    @property
    def still(self) -> bool:
        """Whether nothing ever moved."""
        return not self.replacements and not self.shift

    def record(self, start: int, end: int, text: bytes) -> None:
        """Remember a replacement; positions ascend and do not overlap."""
        self.replacements.append(Replacement(start, end, text, self.shift))
        self.shift += len(text) - (end - start)

    def forward(self, position: int) -> int:
        """Return the image of a position of the sender's stream."""
        shift = self.shift
        for replacement in reversed(self.replacements):
            if position >= replacement.end:
                break
            if position > replacement.start:
                return replacement.image_start
            shift = replacement.shift
        return position + shift

    def backward(self, image: int, *, up: bool = False) -> int:
        """Return the sender's position whose image this is.

        Inside a replaced text that is the text's start; with `up`, its end. What lies before the floor has been
        acknowledged, so a late old acknowledgement may say so.
        """
        shift = self.shift
        for replacement in reversed(self.replacements):
            if image >= replacement.image_end:
                break
            if image > replacement.image_start:
                return replacement.end if up else replacement.start
            shift = replacement.shift
        return image - shift if self.floor is None else max(image - shift, self.floor)

    def render(self, start: int, data: bytes) -> tuple[int, bytes]:
        """Return the image of the octets `data` at `start`: where it begins in the rewritten stream, and its octets.

        A replaced text that the octets only touch comes whole.
        """
        end = start + len(data)
        touched = [r for r in self.replacements if r.start < end and r.end > start]
        if not touched:
            return self.forward(start), data
        parts: list[bytes] = []
        at = start
        for replacement in touched:
            parts += [data[at - start : max(replacement.start - start, 0)], replacement.text]
            at = replacement.end
        parts.append(data[at - start :] if at < end else b"")
        return self.forward(start), b"".join(parts)

    def acknowledge(self, position: int) -> None:
        """Note that the receiver has everything before `position`.

        Old replacements are forgotten, which sets `floor`.
        """
        if self.acknowledged is None or position > self.acknowledged:
            self.acknowledged = position
        done = sum(1 for replacement in self.replacements if replacement.end <= self.acknowledged)
        if done > KEPT_AFTER_ACK:
            self.floor = self.replacements[done - KEPT_AFTER_ACK - 1].end
            del self.replacements[: done - KEPT_AFTER_ACK]
