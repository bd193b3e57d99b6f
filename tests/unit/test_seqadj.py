"""Sequence maps: every position has one image, for ever."""

from __future__ import annotations

from nat_lb.seqadj import KEPT_AFTER_ACK, SequenceMap, unwrap


def test_sequence_numbers_are_unwrapped_to_the_nearest_position() -> None:
    assert unwrap(5, 2**32 - 10) == 2**32 + 5
    assert unwrap(2**32 - 5, 2**32 + 10) == 2**32 - 5
    assert unwrap(7, 0) == 7
    assert unwrap(0, 3 * 2**32 + 1) == 3 * 2**32


def test_untouched_map_changes_nothing_and_is_still() -> None:
    untouched = SequenceMap()
    assert untouched.still
    assert (untouched.forward(9), untouched.backward(9)) == (9, 9)
    assert untouched.render(9, b"data") == (9, b"data")


def grown() -> SequenceMap:
    """100..110 became five octets longer, 200..210 three shorter."""
    made = SequenceMap()
    made.record(100, 110, b"x" * 15)
    made.record(200, 210, b"y" * 7)
    return made


def test_positions_move_by_what_was_replaced_before_them() -> None:
    made = grown()
    assert [made.forward(at) for at in (99, 100, 110, 199, 200, 210, 300)] == [99, 100, 115, 204, 205, 212, 302]


def test_backward_is_the_inverse_outside_of_replaced_text() -> None:
    made = grown()
    for position in (*range(90, 101), *range(110, 201), *range(210, 250)):
        assert made.backward(made.forward(position)) == position


def test_position_inside_replaced_text_is_its_start_both_ways() -> None:
    made = grown()
    assert {made.forward(at) for at in range(101, 110)} == {100}
    assert {made.backward(at) for at in range(101, 115)} == {100}
    assert {made.backward(at) for at in range(206, 212)} == {200}


def test_segment_is_rendered_alike_however_it_is_cut() -> None:
    made = grown()
    stream = bytes(range(90, 230))
    whole = made.render(90, stream)
    assert whole == (90, stream[:10] + b"x" * 15 + stream[20:110] + b"y" * 7 + stream[120:])
    for cut in 10, 20, 60, 110, 120:
        first, second = made.render(90, stream[:cut]), made.render(90 + cut, stream[cut:])
        assert first[1] + second[1] == whole[1]
        assert second[0] == first[0] + len(first[1])


def test_piece_of_replaced_text_brings_all_of_it() -> None:
    assert grown().render(104, b"abc") == (100, b"x" * 15)
    assert grown().render(95, b"12345678") == (95, b"12345" + b"x" * 15)
    assert grown().render(108, b"abcd") == (100, b"x" * 15 + b"cd")


def test_old_replacements_are_forgotten_after_their_acknowledgement_but_not_at_once() -> None:
    made = SequenceMap()
    for at in range(0, 100 * 10, 10):
        made.record(at, at + 1, b"ab")
    made.acknowledge(505)
    assert len(made.replacements) == 100 - 51 + KEPT_AFTER_ACK
    assert made.floor == (50 - KEPT_AFTER_ACK) * 10 + 1
    assert made.forward(2000) == 2100
    assert made.forward(made.floor + 5) == made.floor + 5 + 51 - KEPT_AFTER_ACK


def test_acknowledgement_that_goes_back_changes_nothing() -> None:
    made = grown()
    made.acknowledge(300)
    made.acknowledge(100)
    assert made.acknowledged == 300
