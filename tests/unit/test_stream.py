"""One direction of a rewritten stream: what is admitted, what is held, what is vouched for."""

from __future__ import annotations

import pytest

from nat_lb.errors import PacketError
from nat_lb.stream import Stream


def test_new_octets_are_admitted_once_however_they_are_cut() -> None:
    stream = Stream(100)
    assert stream.admit(100, b"abcd")
    assert not stream.admit(100, b"ab")
    assert not stream.admit(102, b"cd")
    assert stream.admit(102, b"cdef")
    assert (stream.tail, stream.next) == (b"abcdef", 106)


def test_octets_beyond_a_gap_are_refused() -> None:
    with pytest.raises(PacketError, match="out-of-order"):
        Stream(100).admit(101, b"x")


def test_held_octets_are_cut_off_and_come_with_those_that_complete_them() -> None:
    stream = Stream(100)
    stream.admit(100, b"head ta")
    stream.undecided = stream.held = 105
    assert stream.render(100, b"head ta", stream.earliest_unpassed(100)) == (100, b"head ")
    stream.trim()
    assert stream.pending == b"ta"
    begin = stream.earliest_unpassed(107)
    stream.admit(107, b"il\n")
    stream.undecided = stream.held = stream.next
    assert stream.render(107, b"il\n", begin) == (105, b"tail\n")


def test_vouched_octets_are_carried_along_until_they_are_acknowledged() -> None:
    stream = Stream(100)
    stream.admit(100, b"ta")
    assert stream.vouch(100) == 102
    stream.undecided = stream.held = 100
    stream.admit(102, b"il\n")
    stream.undecided = stream.held = stream.next
    for _ in range(2):  # the sender may send them again and again
        assert stream.earliest_unpassed(102) == 100
        assert stream.render(102, b"il\n", 100) == (100, b"tail\n")
    assert stream.acknowledge(100) == 102
    assert stream.acknowledge(105) == 105
    assert stream.earliest_unpassed(102) == 102


def test_stream_is_idle_until_something_moved_or_is_held() -> None:
    stream = Stream(100)
    seen = [stream.idle]
    stream.admit(100, b"x")
    seen.append(stream.idle)
    stream.held = stream.next
    seen.append(stream.idle)
    stream.map.record(100, 101, b"yy")
    seen.append(stream.idle)
    assert seen == [True, False, True, False]


def test_retransmission_from_before_what_is_remembered_is_refused() -> None:
    stream = Stream(100)
    stream.map.floor = 150
    with pytest.raises(PacketError, match="stale-retransmission"):
        stream.render(120, b"x", 120)


def test_stream_is_steady_while_no_octet_waits_and_the_receiver_has_every_replaced_text() -> None:
    stream = Stream(100)
    assert not stream.is_steady(None)
    assert stream.is_steady(100)
    stream.admit(100, b"ab\n")
    assert not stream.is_steady(100)
    stream.undecided = stream.held = stream.next
    stream.map.record(100, 102, b"wxyz")
    assert [stream.is_steady(acked) for acked in (100, 103, 104, 105)] == [False, False, True, True]
    stream.overlong = True
    assert not stream.is_steady(105)
    assert not Stream().is_steady(0)
