"""Edits: one message shown to its helper, and what came of it.

The law: a message counts whole or not at all. If the helper fails, refuses, or returns what is no edit, the message
stays as it is and everything that it reserved is taken back.
"""

from __future__ import annotations

from typing import Protocol

from nat_lb.helper import Edit, Helper, Message, Refusal, Registrar


class Ledger(Registrar, Protocol):
    """A registrar that can take back what one message reserved."""

    stopped: bool
    now: float  # seconds

    def begin(self) -> None:
        """Start a new message."""

    def commit(self, edited: bool) -> None:
        """Keep what was reserved since `begin`, and count the message if it was edited."""

    def undo(self) -> None:
        """Take back what was reserved since `begin`."""

    def fault(self, method: str, error: Exception) -> None:
        """Log and count what a method of the helper raised."""


def show(helper: Helper, message: Message, ledger: Ledger, passed: int = 0) -> list[Edit]:
    """Return the edits of one whole message, those that change nothing left out.

    Octets before `passed` are out of reach, since they went on earlier.
    """
    data = message.data
    ledger.begin()
    try:
        edits = checked(helper.rewrite(message), len(data))
        if edits and edits[0].start < passed:
            raise ValueError(f"{edits[0]} reaches into octets that holds() let pass")
    except Refusal as refusal:
        ledger.undo()
        ledger.refuse(str(refusal), refusal.kind)
        return []
    except Exception as error:
        ledger.undo()
        ledger.fault("rewrite", error)
        return []
    edits = [edit for edit in edits if data[edit.start : edit.end] != edit.text]
    ledger.commit(bool(edits))
    return edits


def checked(edits: object, size: int) -> list[Edit]:
    """Return the edits as a list; raises ValueError unless they ascend, do not overlap and lie inside the message."""
    result = [Edit(*edit) for edit in edits]  # type: ignore[attr-defined]
    end = 0
    for edit in result:
        if not end <= edit.start < edit.end <= size or not isinstance(edit.text, bytes):
            raise ValueError(f"{edit} is no edit of a message of {size} octets after octet {end}")
        end = edit.end
    return result
