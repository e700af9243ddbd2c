"""Context negatives: a turn of the context itself, the adversarial test of corpora without human negatives."""

from collections import Counter
from collections.abc import Iterable, Iterator

from pneg.dialogue import Dialogue
from pneg.negatives.base import Refusals, draws
from pneg.negatives.random import Random


class Context:
    """One turn of the context and random responses behind it (Gupta et al. 2021; the paper's section 3.2).

    Args:
        pool: the corpus the random responses come from.
        seed: the same seed gives the same responses to the dialogue at the same position.
    """

    name = "context"

    def __init__(self, pool: Iterable[Dialogue], seed: int = 0) -> None:
        self.others = Random(pool, seed, stream="context")
        self.seed = seed

    @property
    def counts(self) -> Counter[str]:
        """What was refused or is missing, by reason."""
        return self.others.counts

    def propose(self, dialogues: Iterable[Dialogue], count: int) -> Iterator[tuple[str, ...]]:
        """Give a turn of each context, drawn by seed, and `count - 1` random responses."""
        for position, dialogue in enumerate(dialogues):
            refusals = Refusals.of(dialogue)
            turns = list(dialogue.context)
            draws(self.seed, "turn", position).shuffle(turns)
            taken: tuple[str, ...] = ()
            for turn in turns if count else ():
                reason = refusals.reason(turn)
                if reason is None:
                    taken = (turn,)
                    break
                self.counts[reason] += 1
            yield taken + self.others.draw(dialogue, position, count - len(taken), refusals)
