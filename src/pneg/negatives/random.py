"""Random negatives: responses of other contexts, uniformly."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from random import Random as Generator

from pneg.dialogue import Dialogue
from pneg.negatives.base import Refusals, choose, draws

TRIES = 20
"""How often a draw is repeated for each response wanted before all distinct ones are gone through."""


class Random:
    """Positives of other contexts of a corpus, drawn uniformly; never one of the dialogue's own.

    Args:
        pool: the corpus to draw from; only the texts of its positives are kept in memory.
        seed: the same seed gives the same responses to the dialogue at the same position.
        stream: of random numbers; another one draws others with the same seed.
    """

    name = "random"

    def __init__(self, pool: Iterable[Dialogue], seed: int = 0, stream: str = "random") -> None:
        self.responses = [response for dialogue in pool for response in dialogue.positives]
        self.seed, self.stream = seed, stream
        self.counts: Counter[str] = Counter()

    def propose(self, dialogues: Iterable[Dialogue], count: int) -> Iterator[tuple[str, ...]]:
        """Give `count` responses for each dialogue; fewer only where the pool has no others."""
        for position, dialogue in enumerate(dialogues):
            yield self.draw(dialogue, position, count, Refusals.of(dialogue))

    def draw(self, dialogue: Dialogue, position: int, count: int, refusals: Refusals) -> tuple[str, ...]:
        """Draw `count` responses for the dialogue at `position` that `refusals` lets through."""
        generator = draws(self.seed, self.stream, position)
        tries = (
            self.responses[int(generator.random() * len(self.responses))]
            for _ in range(count * TRIES if self.responses else 0)
        )
        return choose(chain(tries, self._shuffled(generator)), count, refusals, self.counts)

    def _shuffled(self, generator: Generator) -> Iterator[str]:
        """Every distinct response, for a pool so uniform that draws keep hitting the same ones."""
        distinct = list(dict.fromkeys(self.responses))
        generator.shuffle(distinct)
        yield from distinct
