"""`make fuzz`: mutated dialogues of every helper through the pipeline; `ARGS="--helper ftp --inputs 1000000"`.

The law: an input is one conversation on a connection of its own, made from the seed and the input's number alone, so
that a broken one can be played again by itself.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Sequence
from functools import partial
from multiprocessing import Pool

import click

from nat_lb.testing.helper_play import EPOCH
from tests.bench.fuzz.mutation import Mutator
from tests.bench.fuzz.seeds import Seeds, find
from tests.bench.fuzz.talk import Talk
from tests.bench.fuzz.watch import Broken, Growth, Place

WARM = 10_000  # inputs, after which a process has all that it makes once
_PROGRESS = 50_000  # inputs
_TICK = 100  # inputs; each takes a second of the directors' time


class Arena:
    """All that one plugin's inputs need; directors are made once for each pair of virtual and real endpoint."""

    def __init__(self, seeds: Sequence[Seeds], seed: int) -> None:
        self.seed = seed
        self._rng = random.Random()
        self._sets = [(one, Mutator(one.dialogues, self._rng)) for one in seeds]
        self._places: dict[tuple[object, ...], Place] = {}

    def run(self, number: int) -> None:
        """Run one input; raises Broken with the conversation as a note."""
        self._rng.seed(self.seed << 32 | number)
        seeds, mutator = self._sets[number % len(self._sets)]
        dialogue, said = mutator.conversation()
        key = number % len(self._sets), dialogue.virtual, dialogue.real
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = Place(seeds, dialogue)
        now = EPOCH + number
        try:
            Talk(place, dialogue, 1024 + number % 60000, self._rng, now).run(said)
        except Exception as error:
            error.add_note("\n".join(f"{direction.name}: {data[:300]!r}" for direction, data in said))
            raise
        if number % _TICK == 0:
            for each in self._places.values():  # a director that is not told the time keeps what it has closed
                each.director.tick(now)


def fuzz(name: str, seeds: Sequence[Seeds], seed: int, numbers: Sequence[int], seconds: float = 1e9) -> int:
    """Run inputs until all are done or the time is over, and return how many; raises Broken."""
    arena, growth, start = Arena(seeds, seed), Growth(), time.monotonic()
    run, done = f"{name}, seed {seed}, {numbers}", 0
    for done, number in enumerate(numbers, 1):
        try:
            arena.run(number)
        except Exception as error:
            again = f"python -m tests.bench.fuzz --helper {name} --seed {seed} --only {number}"
            raise Broken(f"{name}: {error}\nreproduce: {again}") from error
        if done == WARM:
            growth.begin()
        if done % _PROGRESS == 0:
            grown, took = growth.check(run), time.monotonic() - start
            click.echo(f"{run}: {done:,} inputs after {took:.0f} s, {grown >> 10:+,} KB", err=True)
        if done % 64 == 0 and time.monotonic() - start > seconds:
            break
    growth.check(run)
    return done


def fuzz_together(jobs: int, name: str, seeds: Sequence[Seeds], seed: int, inputs: int, seconds: float = 1e9) -> int:
    """Spread inputs over processes, a range of numbers each; the first that raises Broken ends them all."""
    shares = [range(inputs * job // jobs, inputs * (job + 1) // jobs) for job in range(jobs)]
    with Pool(jobs, logging.disable) as pool:
        return sum(pool.imap_unordered(partial(fuzz, name, seeds, seed, seconds=seconds), shares))


@click.command()
@click.option("--helper", "names", multiple=True, help="A plugin of helpers, by name; all of them if not given.")
@click.option("--inputs", type=int, default=100_000, show_default=True, help="How many for each plugin.")
@click.option("--seconds", type=float, default=1e9, help="End a plugin's run after so long.")
@click.option("--seed", type=int, help="Of all inputs; a random one is taken and printed if not given.")
@click.option("--only", type=int, help="Run this input alone.")
@click.option("--jobs", type=click.IntRange(1), help="How many processes share the inputs; one a processor.")
def main(
    names: Sequence[str], inputs: int, seconds: float, seed: int | None, only: int | None, jobs: int | None
) -> None:
    """Throw mutated dialogues at helpers; the exit code is 1 at the first that breaks something."""
    logging.disable()
    found = find()
    seed = random.SystemRandom().getrandbits(31) if seed is None else seed
    jobs = jobs or len(os.sched_getaffinity(0))
    unknown = set(names) - set(found)
    if unknown:
        raise click.UsageError(f"No dialogues of {', '.join(sorted(unknown))}; there are {', '.join(found)}.")
    for name in names or found:
        start = time.monotonic()
        if only is not None:
            done = fuzz(name, found[name], seed, [only])
        else:
            done = fuzz_together(jobs, name, found[name], seed, inputs, seconds)
        took = time.monotonic() - start
        click.echo(f"{name}: {done:,} inputs with seed {seed}, {took:.0f} s, {done / max(took, 0.001):,.0f} a second")


if __name__ == "__main__":
    main()
