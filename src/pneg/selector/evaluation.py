"""R@1 and MRR of a selector on test sets, with the context shown and hidden."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pneg.dialogue import Dialogue
from pneg.errors import DataError
from pneg.selector.candidates import EACH, no_source
from pneg.selector.metrics import Ranks, rank
from pneg.selector.ranking import Scorer, turns_read

HIDDEN = "."
"""What stands for a hidden context."""


@dataclass(frozen=True, slots=True)
class Score:
    """Figures of a selector on one set.

    Attributes:
        recall_at_1: R@1.
        mrr: MRR.
        n: queries.
        candidates: of a query, at most.
        interval: 95% interval of R@1.
        hidden_recall_at_1: R@1 of the same selector with each context replaced by a full stop.
        hidden_mrr: MRR likewise.
        skipped: dialogues without a positive or without a negative in this set.
    """

    recall_at_1: float
    mrr: float
    n: int
    candidates: int
    interval: tuple[float, float]
    hidden_recall_at_1: float
    hidden_mrr: float
    skipped: int

    def as_json(self) -> dict[str, Any]:
        """The figures under the names that `pneg evaluate --json` prints."""
        return {
            "r@1": self.recall_at_1,
            "mrr": self.mrr,
            "n": self.n,
            "candidates": self.candidates,
            "ci95": list(self.interval),
            "hidden": {"r@1": self.hidden_recall_at_1, "mrr": self.hidden_mrr},
            "skipped": self.skipped,
        }


def evaluate(
    selector: Scorer,
    dialogues: Iterable[Dialogue],
    sets: Sequence[str],
    *,
    positive: str = "all",
    precision: str = "float32",
) -> dict[str, Score]:
    """Rank each positive in turn against the first five negatives of each set.

    Each distinct pair is scored once. How the sets are meant is in the paper's section 3.1.

    Args:
        selector: the one to judge.
        dialogues: the test set.
        sets: sources of negatives, each a set of its own.
        positive: `all` positives in turn, or the `first` alone.
        precision: as in `Scorer.score`.

    Raises:
        DataError: when a set is nowhere in the data.
    """
    tests, sets = list(dialogues), list(dict.fromkeys(sets))
    there = {source for dialogue in tests for source in dialogue.negatives}
    for name in sets:
        if name not in there:
            raise no_source(name, there)
    asked = _Asked({}, {name: [] for name in sets}, {name: [] for name in sets})
    for dialogue in tests:
        turns = turns_read(dialogue.context, dialogue.persona, selector.history)
        positives = dialogue.positives if positive == "all" else dialogue.positives[:1]
        for name in sets:
            if positives and (negatives := dialogue.negatives.get(name, ())[:EACH]):
                asked.shown[name].append(asked.query(turns, positives, negatives))
                asked.hidden[name].append(asked.query((HIDDEN,), positives, negatives))
    if any(not found for found in asked.shown.values()):
        raise DataError("no dialogue has both a positive and a negative", "there is nothing to rank")
    scores = selector.score(list(asked.numbers), precision=precision, whole=True).tolist()
    return {name: _score(asked, name, scores, len(tests)) for name in sets}


Query = tuple[list[int], list[int]]
"""The numbers of the pairs of the positives, and of those of the negatives."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """Distinct pairs with a number each, and by set the queries made of them, with the context shown and hidden."""

    numbers: dict[tuple[tuple[str, ...], str], int]
    shown: dict[str, list[Query]]
    hidden: dict[str, list[Query]]

    def query(self, turns: tuple[str, ...], positives: Sequence[str], negatives: Sequence[str]) -> Query:
        first, second = (
            [self.numbers.setdefault((turns, text), len(self.numbers)) for text in texts]
            for texts in (positives, negatives)
        )
        return first, second


def _score(asked: _Asked, name: str, scores: Sequence[float], dialogues: int) -> Score:
    shown, hidden = (
        Ranks([[rank(scores[p], [scores[other] for other in others]) for p in own] for own, others in queries])
        for queries in (asked.shown[name], asked.hidden[name])
    )
    return Score(
        recall_at_1=shown.recall_at_1,
        mrr=shown.mrr,
        n=shown.n,
        candidates=1 + max(len(others) for _, others in asked.shown[name]),
        interval=shown.recall_interval(),
        hidden_recall_at_1=hidden.recall_at_1,
        hidden_mrr=hidden.mrr,
        skipped=dialogues - len(asked.shown[name]),
    )
