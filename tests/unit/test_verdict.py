"""Verdicts: their names, and what is sent in a packet's place."""

from __future__ import annotations

import re

from nat_lb.verdict import Drop, NotForwarded, Reason, Reject, Replace


def test_reasons_are_words_joined_by_hyphens_and_all_different() -> None:
    values = [reason.value for reason in Reason]
    assert len(set(values)) == len(values)
    for reason in Reason:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", reason.value)
        assert reason.value == reason.name.lower().replace("_", "-")


def test_refusals_carry_what_is_sent_instead() -> None:
    assert Drop(Reason.NO_SERVICE).packets == ()
    assert Reject(Reason.NO_SERVICE, b"reset").packets == (b"reset",)
    assert Replace(Reason.RESEGMENTED, b"one", b"two").packets == (b"one", b"two")


def test_forwarded_packets_are_told_from_the_others_by_type() -> None:
    assert not isinstance(b"packet", NotForwarded)
    for verdict in Drop(Reason.NO_SERVICE), Reject(Reason.NO_SERVICE, b""), Replace(Reason.RESEGMENTED):
        assert isinstance(verdict, NotForwarded)


def test_verdict_shows_kind_reason_and_number_of_packets() -> None:
    assert repr(Reject(Reason.NO_CONNECTION, b"reset")) == "Reject(no-connection, 1 packets)"
