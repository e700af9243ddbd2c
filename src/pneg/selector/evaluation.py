"""R@1 and MRR of a selector on test sets, with the context shown and hidden."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pneg.dialogue import Dialogue
from pneg.errors import DataError
from pneg.selector.candidates import EACH, no_source, turns_of
from pneg.selector.metrics import Ranks, rank
from pneg.selector.ranking import Scorer

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
    tests = list(dialogues)
    there = {source for dialogue in tests for source in dialogue.negatives}
    for name in sets:
        if name not in there:
            raise no_source(name, there)
    numbers: dict[tuple[tuple[str, ...], str], int] = {}
    queries: dict[str, list[tuple[list[int], list[int]]]] = {name: [] for name in sets}
    hidden: dict[str, list[tuple[list[int], list[int]]]] = {name: [] for name in sets}
    for dialogue in tests:
        positives = dialogue.positives if positive == "all" else dialogue.positives[:1]
        for name in sets:
            negatives = dialogue.negatives.get(name, ())[:EACH]
            if not positives or not negatives:
                continue
            for context, found in ((turns_of(dialogue, selector.history), queries), ((HIDDEN,), hidden)):
                found[name].append(
                    (
                        [numbers.setdefault((context, text), len(numbers)) for text in positives],
                        [numbers.setdefault((context, text), len(numbers)) for text in negatives],
                    )
                )
    if any(not found for found in queries.values()):
        raise DataError("no dialogue has both a positive and a negative", "there is nothing to rank")
    scores = selector.score(list(numbers), precision=precision, whole=True)

    def ranks(found: list[tuple[list[int], list[int]]]) -> Ranks:
        return Ranks([[rank(float(scores[p]), scores[others]) for p in own] for own, others in found])

    result = {}
    for name in sets:
        shown, unseen = ranks(queries[name]), ranks(hidden[name])
        result[name] = Score(
            recall_at_1=shown.recall_at_1,
            mrr=shown.mrr,
            n=shown.n,
            candidates=1 + max(len(others) for _, others in queries[name]),
            interval=shown.recall_interval(),
            hidden_recall_at_1=unseen.recall_at_1,
            hidden_mrr=unseen.mrr,
            skipped=len(tests) - len(queries[name]),
        )
    return result
