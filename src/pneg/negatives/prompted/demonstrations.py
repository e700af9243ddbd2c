"""Demonstrations: which examples of E stand in a prompt (the paper's section 2.1)."""

import math
from collections.abc import Iterable

from pneg.dialogue import Dialogue
from pneg.errors import DataError
from pneg.negatives.base import draws

SOURCE = "human"
"""The negatives of an example that a demonstration shows."""
BLOCK = 128
"""So many contexts in a row share a set, so that their prompts begin alike."""


class Demonstrations:
    """Draws the demonstrations of each prompt from the example set E.

    Args:
        examples: E; those with fewer than `count` human negatives are left out.
        count: responses a demonstration shows.
        shots: demonstrations a prompt has (k).
        sets: 0 draws uniformly for each context, as the paper does; K > 0 draws K sets beforehand and gives
            one to each run of `BLOCK` contexts, so that a server that caches prompts reads most of them once.
        seed: the same seed gives the same demonstrations to the context at the same position.
        fraction: of the usable examples that is taken, drawn by seed; a smaller fraction lies within a larger one.

    Raises:
        DataError: when E holds fewer than `shots` usable examples.
    """

    def __init__(
        self, examples: Iterable[Dialogue], count: int, shots: int, sets: int, seed: int, fraction: float = 1.0
    ) -> None:
        self.examples = [example for example in examples if len(example.negatives.get(SOURCE, ())) >= count]
        if fraction < 1:
            draws(seed, "fraction", 0).shuffle(self.examples)
            self.examples = self.examples[: math.ceil(fraction * len(self.examples))]
        self.count, self.shots, self.sets, self.seed = count, shots, sets, seed
        if len(self.examples) < shots + 1 and shots:
            raise DataError(
                f"the example set has {len(self.examples)} dialogues with {count} {SOURCE} negatives",
                f"{shots} shots need at least {shots + 1}: give another file with --examples"
                + (", or a greater --example-fraction" if fraction < 1 else ""),
            )

    def of(self, dialogue: Dialogue, position: int) -> tuple[Dialogue, ...]:
        """The demonstrations for the dialogue at `position`; never one with the same context."""
        place = position // BLOCK % self.sets if self.sets else position
        generator = draws(self.seed, "demonstration-set" if self.sets else "demonstrations", place)
        drawn = generator.sample(self.examples, min(self.shots + 1, len(self.examples)))
        return tuple([example for example in drawn if example.context != dialogue.context][: self.shots])
