"""Random negatives: responses of other contexts, uniformly."""

import random
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np

from pneg.dialogue import Dialogue
from pneg.negatives.base import Refusals, choose, draws
from pneg.negatives.texts import Texts

TRIES = 20
"""How often a draw is repeated for each response wanted before all distinct ones are gone through."""
BLOCK = 1024
"""Dialogues whose draws are made at once."""
FIRST = 16
"""Draws made at once for each dialogue, whatever the count, so that fewer are the beginning of more."""


def block_of(seed: int, stream: str, number: int) -> np.random.Generator:
    """Random numbers for a block of `BLOCK` positions: the same whatever was drawn for others."""
    return np.random.default_rng([seed % (1 << 64), zlib.crc32(stream.encode()), number])


class Random:
    """Positives of other contexts of a corpus, drawn uniformly; never one of the dialogue's own.

    Args:
        pool: the corpus to draw from; only the texts of its positives are kept in memory.
        seed: the same seed gives the same responses to the dialogue at the same position.
        stream: of random numbers; another one draws others with the same seed.
        first: position of the first dialogue, for a job that goes on where it was stopped.
    """

    name = "random"

    def __init__(self, pool: Iterable[Dialogue], seed: int = 0, stream: str = "random", first: int = 0) -> None:
        self.responses = Texts(response for dialogue in pool for response in dialogue.positives)
        self.seed, self.stream, self.first = seed, stream, first
        self.counts: Counter[str] = Counter()
        self._block, self._drawn = -1, list[list[int]]()

    def propose(self, dialogues: Iterable[Dialogue], count: int) -> Iterator[tuple[str, ...]]:
        """Give `count` responses for each dialogue; fewer only where the pool has no others."""
        for position, dialogue in enumerate(dialogues, self.first):
            yield self.draw(position, count, Refusals.of(dialogue))

    def draw(self, position: int, count: int, refusals: Refusals) -> tuple[str, ...]:
        """Draw `count` responses for the dialogue at `position` that `refusals` lets through."""
        drawn = self._first(position)
        if 0 < count <= len(drawn):
            # hashes settle nearly all; only where two are the same need the texts be compared
            chosen = drawn[:count]
            hashes = set(map(self.responses.hashes.__getitem__, chosen))
            if len(hashes) == count and hashes.isdisjoint(map(hash, chain(refusals.positives, refusals.taken))):
                return self.responses.several(chosen)
        return choose(self._candidates(drawn, position, count), count, refusals, self.counts)

    def _first(self, position: int) -> list[int]:
        if not len(self.responses):
            return []
        number, place = divmod(position, BLOCK)
        if self._block != number:
            generator = block_of(self.seed, self.stream, number)
            self._block, self._drawn = number, generator.integers(len(self.responses), size=(BLOCK, FIRST)).tolist()
        return self._drawn[place]

    def _candidates(self, drawn: list[int], position: int, count: int) -> Iterator[str]:
        """The first draws, further ones, and in the end every distinct response, for a pool so uniform that draws
        keep hitting the same ones.
        """
        yield from map(self.responses.__getitem__, drawn)
        generator = draws(self.seed, self.stream, position)
        for _ in range(count * TRIES if len(self.responses) else 0):
            yield self.responses[int(generator.random() * len(self.responses))]
        yield from self._shuffled(generator)

    def _shuffled(self, generator: random.Random) -> Iterator[str]:
        distinct = list(dict.fromkeys(self.responses))
        generator.shuffle(distinct)
        yield from distinct
