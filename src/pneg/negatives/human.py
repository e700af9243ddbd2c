"""Human negatives: the ones a corpus carries, as its annotators wrote them."""

from collections import Counter
from collections.abc import Iterable, Iterator

from pneg.dialogue import Dialogue
from pneg.negatives.base import Refusals, choose


class Human:
    """The first of the corpus's own negatives, less repeats and copies of a positive."""

    name = "human"

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def propose(self, dialogues: Iterable[Dialogue], count: int) -> Iterator[tuple[str, ...]]:
        """Give at most `count` of each dialogue's human negatives, in their order."""
        for dialogue in dialogues:
            yield choose(dialogue.negatives.get(self.name, ()), count, Refusals.of(dialogue), self.counts)
