"""Context negatives: a turn of the context itself, the adversarial test of corpora without human negatives."""

from collections import Counter
from collections.abc import Iterable, Iterator

from pneg.dialogue import Dialogue
from pneg.negatives.base import Refusals, draws
from pneg.negatives.random import BLOCK, Random, block_of


class Context:
    """One turn of the context and random responses behind it (Gupta et al. 2021; the paper's section 3.2).

    Args:
        pool: the corpus the random responses come from.
        seed: the same seed gives the same responses to the dialogue at the same position.
        first: position of the first dialogue, for a job that goes on where it was stopped.
    """

    name = "context"

    def __init__(self, pool: Iterable[Dialogue], seed: int = 0, first: int = 0) -> None:
        self.others = Random(pool, seed, stream="context")
        self.seed, self.first = seed, first

    @property
    def counts(self) -> Counter[str]:
        """What was refused or is missing, by reason."""
        return self.others.counts

    def propose(self, dialogues: Iterable[Dialogue], count: int) -> Iterator[tuple[str, ...]]:
        """Give a turn of each context, drawn by seed, and `count - 1` random responses."""
        shares: list[float] = []
        for position, dialogue in enumerate(dialogues, self.first):
            if position % BLOCK == 0 or not shares:
                shares = block_of(self.seed, "turn", position // BLOCK).random(BLOCK).tolist()
            refusals = Refusals.of(dialogue)
            taken = self._turn(dialogue, position, shares[position % BLOCK], refusals) if count else ()
            yield taken + self.others.draw(position, count - len(taken), refusals)

    def _turn(self, dialogue: Dialogue, position: int, share: float, refusals: Refusals) -> tuple[str, ...]:
        """The turn that lies at `share` of the context; where it is refused, any of the others that is not."""
        turns = list(dialogue.context)
        turn = turns.pop(int(share * len(turns)))
        reason = refusals.reason(turn)
        if reason is not None and turns:
            draws(self.seed, "turn", position).shuffle(turns)
        while reason is not None:
            self.counts[reason] += 1
            if not turns:
                return ()
            turn = turns.pop()
            reason = refusals.reason(turn)
        return (turn,)
