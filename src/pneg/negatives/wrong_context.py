"""A random other dialogue's context, for what is written to one context and given to another."""

import re
from collections.abc import Iterable, Sequence
from random import Random as Generator

from pneg.dialogue import Dialogue
from pneg.errors import DataError

TRIES = 20
TAG = re.compile(r"\b[A-D]:")
"""What gives a text away that goes on speaking for the other side."""


class WrongContexts:
    """The distinct contexts of a corpus.

    Args:
        pool: the corpus; only the texts of its contexts are kept in memory.
    """

    def __init__(self, pool: Iterable[Dialogue]) -> None:
        self.contexts = list(dict.fromkeys(dialogue.context for dialogue in pool))

    def draw(self, dialogue: Dialogue, generator: Generator) -> tuple[str, ...]:
        """One that is not the dialogue's own.

        Raises:
            DataError: when there is none.
        """
        for _ in range(TRIES if self.contexts else 0):
            drawn = self.contexts[generator.randrange(len(self.contexts))]
            if drawn != dialogue.context:
                return drawn
        others = [context for context in self.contexts if context != dialogue.context]
        if not others:
            raise DataError("the corpus has no other context to write to", "give a larger one as --corpus")
        return others[generator.randrange(len(others))]


def script(context: Sequence[str], last: int) -> str:
    """The last turns with speaker tags, a line each, and the tag of who responds."""
    shown = context[-last:]
    lines = [f"{'AB'[place % 2]}: {' '.join(turn.split())}\n" for place, turn in enumerate(shown)]
    return "".join(lines) + f"{'AB'[len(shown) % 2]}:"
