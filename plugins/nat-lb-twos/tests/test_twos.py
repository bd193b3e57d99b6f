"""The power of two choices: each pair of draws leads where the definition says."""

from __future__ import annotations

from random import Random

import pytest

from nat_lb.testing.schedules import Service, flow
from nat_lb_twos import TwoChoices, TwoChoicesOptions, drawn


class Dice(Random):
    """Throws what it is told."""

    def __init__(self, *throws: int) -> None:
        super().__init__()
        self.throws = list(throws)

    def randint(self, a: int, b: int) -> int:
        throw = self.throws.pop(0)
        assert a <= throw <= b
        return throw


def thrown(web: Service, *throws: int) -> str:
    scheduler = TwoChoices(web)
    scheduler.random = Dice(*throws)
    return web.letter(scheduler.schedule(flow()))


def test_draw_falls_to_servers_in_proportion_and_0_to_the_first() -> None:
    web = Service(1, 3)
    assert [web.letter(drawn(web.real_servers, draw)) for draw in range(5)] == ["A", "A", "B", "B", "B"]
    with pytest.raises(ValueError, match="1 above"):
        drawn(web.real_servers, 5)


def test_less_loaded_of_the_two_is_taken_and_the_first_of_equals() -> None:
    web = Service(1, 1, 1)
    web.server("A").count(2, 0)
    web.server("C").count(1, 0)
    assert thrown(web, 1, 3) == "C"
    assert thrown(web, 3, 1) == "C"
    assert thrown(web, 3, 2) == "B"
    assert thrown(web, 1, 1) == "A"
    web.server("C").count(1, 0)
    assert (thrown(web, 1, 3), thrown(web, 3, 1)) == ("A", "C")


def test_loads_are_divided_by_weights() -> None:
    web = Service(1, 4)
    web.server("A").count(1, 0)
    web.server("B").count(3, 0)
    assert thrown(web, 0, 5) == "B"


def test_unusable_servers_are_not_drawn() -> None:
    web = Service(0, 2, 1)
    web.server("C").overloaded = True
    assert [thrown(web, draw, draw) for draw in range(3)] == ["B", "B", "B"]
    web.server("B").configure(0)
    assert thrown(web) == "-"


def test_same_seed_gives_the_same_decisions() -> None:
    def run(seed: int | None) -> str:
        web = Service(1, 1, 1)
        return web.decisions(TwoChoices(web, TwoChoicesOptions(seed=seed)), 60)

    assert run(7) == run(7) != run(8)
    assert run(None) != run(None)


def test_shares_come_close_to_the_weights() -> None:
    web = Service(1, 2, 3)
    chosen = web.decisions(TwoChoices(web, TwoChoicesOptions(seed=1)), 600)
    assert [chosen.count(letter) / 600 for letter in "ABC"] == pytest.approx([1 / 6, 2 / 6, 3 / 6], abs=0.03)
