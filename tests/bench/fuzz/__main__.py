"""`make fuzz`: mutated dialogues of every helper through the pipeline; `ARGS="--helper ftp --inputs 1000000"`.

The law: an input is one conversation on a connection of its own, made from the seed and the input's number alone, so
that a broken one can be played again by itself.
"""

from __future__ import annotations

import gc
import logging
import random
import resource
import time
from collections.abc import Sequence

import click

from nat_lb.testing.helper_play import EPOCH
from tests.bench.fuzz.mutation import Mutator
from tests.bench.fuzz.seeds import Seeds, find
from tests.bench.fuzz.talk import Talk
from tests.bench.fuzz.watch import Broken, Place

MOST_GROWTH = 32 << 20  # octets that the process may grow by in the later nine tenths of a run
_PROGRESS = 50_000  # inputs
_TICK = 100  # inputs; each takes a second of the director's time


class Arena:
    """All that one helper's inputs need; directors are made once for each pair of virtual and real endpoint."""

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
            place.director.tick(now)


def fuzz(name: str, seeds: Sequence[Seeds], seed: int, numbers: Sequence[int], seconds: float = 1e9) -> int:
    """Run inputs until all are done or the time is over, and return how many; raises Broken."""
    arena, start = Arena(seeds, seed), time.monotonic()
    warm = 0
    for done, number in enumerate(numbers):
        try:
            arena.run(number)
        except Exception as error:
            again = f"python -m tests.bench.fuzz --helper {name} --seed {seed} --only {number}"
            raise Broken(f"{name}: {error}\nreproduce: {again}") from error
        if done == len(numbers) // 10:
            gc.collect()
            warm = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if done % _PROGRESS == _PROGRESS - 1:
            click.echo(f"{name}: {done + 1:,} inputs after {time.monotonic() - start:.0f} s", err=True)
        if done % 64 == 63 and time.monotonic() - start > seconds:
            return done + 1
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - warm) * 1024
    if growth > MOST_GROWTH:
        raise Broken(f"{name}: the process grew by {growth >> 20} MB")
    return len(numbers)


@click.command()
@click.option("--helper", "names", multiple=True, help="A helper's name; all of them if not given.")
@click.option("--inputs", type=int, default=100_000, show_default=True, help="How many for each helper.")
@click.option("--seconds", type=float, default=1e9, help="End a helper's run after so long.")
@click.option("--seed", type=int, help="Of all inputs; a random one is taken and printed if not given.")
@click.option("--only", type=int, help="Run this input alone.")
def main(names: Sequence[str], inputs: int, seconds: float, seed: int | None, only: int | None) -> None:
    """Throw mutated dialogues at helpers; the exit code is 1 at the first that breaks something."""
    logging.disable()
    found = find()
    seed = random.SystemRandom().getrandbits(31) if seed is None else seed
    unknown = set(names) - set(found)
    if unknown:
        raise click.UsageError(f"No dialogues of {', '.join(sorted(unknown))}; there are {', '.join(found)}.")
    for name in names or found:
        numbers = range(inputs) if only is None else range(only, only + 1)
        start = time.monotonic()
        done = fuzz(name, found[name], seed, numbers, seconds)
        took = time.monotonic() - start
        click.echo(f"{name}: {done:,} inputs with seed {seed}, {took:.0f} s, {done / max(took, 0.001):,.0f} a second")


if __name__ == "__main__":
    main()
