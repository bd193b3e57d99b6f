"""The scheduler alone: a file that the test writes, and a time that the test sets."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

import pytest
from nat_lb_least_response_time import Average, LeastResponseTime, LeastResponseTimeOptions, samples

from nat_lb.testing.schedules import Service, flow

CLOCK = count(1_000_000_000)  # a file is new if its time is another one


class Bench:
    """A service whose servers a probe measures."""

    def __init__(self, folder: Path, *weights: int) -> None:
        self.file = folder / "response-times"
        self.web = Service(*weights)
        self.scheduler = LeastResponseTime(self.web, LeastResponseTimeOptions(file=str(self.file)))

    def probe(self, **seconds: float) -> None:
        """Write the file anew, as in `probe(A=0.01, B=0.5)`, and let a second pass."""
        lines = [f"{self.web.server(letter).endpoint} {number}\n" for letter, number in seconds.items()]
        self.file.write_text("".join(lines))
        written = next(CLOCK)
        os.utime(self.file, (written, written))
        self.web.now += 1.0

    def chosen(self) -> str:
        return self.web.letter(self.scheduler.schedule(flow()))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, 1, 1)


def test_server_that_answers_soonest_is_chosen(bench: Bench) -> None:
    bench.probe(A=0.5, B=0.01)
    assert bench.chosen() == "B"


def test_quick_server_is_not_run_over_between_two_samples(bench: Bench) -> None:
    bench.probe(A=0.04, B=0.01)
    assert bench.web.decisions(bench.scheduler, 10) == "BBBABBBBAB"


def test_weight_counts_as_so_many_machines(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1, 10)
    bench.probe(A=0.01, B=0.05)
    assert bench.chosen() == "B"


def test_one_slow_sample_moves_the_average_a_little_and_many_move_it_for_good(bench: Bench) -> None:
    bench.probe(A=0.01, B=0.02)
    assert bench.chosen() == "A"
    bench.probe(A=0.05, B=0.02)
    assert bench.chosen() == "A"
    for _ in range(5):
        bench.probe(A=0.05, B=0.02)
        bench.chosen()
    assert bench.chosen() == "B"


def test_sample_counts_half_after_the_half_life() -> None:
    average = Average(1.0, 0.0)
    average.add(2.0, 10.0, half_life=10.0)
    assert average.seconds == pytest.approx(1.5)
    average.add(2.0, 30.0, half_life=10.0)
    assert average.seconds == pytest.approx(1.875)


def test_unmeasured_server_is_tried_and_without_a_file_connections_decide(bench: Bench) -> None:
    assert bench.web.decisions(bench.scheduler, 4) == "ABAB"
    bench.probe(A=0.2)
    assert bench.web.decisions(bench.scheduler, 2) == "AB"


def test_stale_file_is_not_believed(bench: Bench) -> None:
    bench.probe(A=0.5, B=0.01)
    assert bench.chosen() == "B"
    bench.web.now += 29.0
    assert bench.chosen() == "B"
    bench.web.now += 2.0
    assert bench.chosen() == "A"
    bench.probe(A=0.5, B=0.01)
    assert bench.chosen() == "B"


def test_file_is_looked_at_once_a_second_and_not_for_each_connection(bench: Bench) -> None:
    bench.probe(A=0.5, B=0.01)
    assert bench.chosen() == "B"
    bench.probe(A=0.01, B=9.0)
    bench.web.now -= 0.5
    assert bench.chosen() == "B"


def test_lines_that_are_none_are_passed_over() -> None:
    text = "172.16.0.2:80 0.25\n\n172.16.0.3:80\n[2001:db8::1]:80   1e-3\n172.16.0.4:80 soon\nx -1\nx 0\nx nan\nx inf\n"
    assert list(samples(text)) == [("172.16.0.2:80", 0.25), ("[2001:db8::1]:80", 0.001)]


def test_quiesced_overloaded_and_removed_servers_are_not_chosen(bench: Bench) -> None:
    bench.probe(A=0.5, B=0.01)
    bench.web.reweigh(bench.scheduler, B=0)
    assert bench.chosen() == "A"
    bench.web.server("A").overloaded = True
    assert bench.chosen() == "-"
    bench.web.real_servers.remove(bench.web.server("B"))
    bench.scheduler.changed()
    bench.web.server("A").overloaded = False
    assert bench.chosen() == "A"
