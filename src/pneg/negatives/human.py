"""Human negatives: the ones a corpus carries, as its annotators wrote them."""

from collections import Counter
from collections.abc import Iterable, Iterator

from pneg.dialogue import Dialogue
from pneg.negatives.base import TOO_FEW, Refusals


class Human:
    """The first of the corpus's own negatives, less repeats and copies of a positive."""

    name = "human"

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def propose(self, dialogues: Iterable[Dialogue], count: int) -> Iterator[tuple[str, ...]]:
        """Give at most `count` of each dialogue's human negatives, in their order."""
        for dialogue in dialogues:
            refusals, chosen = Refusals.of(dialogue), list[str]()
            for response in dialogue.negatives.get(self.name, ()):
                if len(chosen) == count:
                    break
                reason = refusals.reason(response)
                if reason is None:
                    chosen.append(response)
                else:
                    self.counts[reason] += 1
            if len(chosen) < count:
                self.counts[TOO_FEW] += count - len(chosen)
            yield tuple(chosen)
