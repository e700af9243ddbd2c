"""R@1 and MRR of a selector on test sets, with the context shown and hidden."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pneg.dialogue import Dialogue
from pneg.errors import DataError
from pneg.selector.candidates import EACH
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
        interval: 95% interval of R@1, clustered by context like the other two.
        hidden_recall_at_1: R@1 of the same selector with each context replaced by a full stop.
        hidden_mrr: MRR likewise.
        hidden_interval: 95% interval of the hidden R@1.
        difference_interval: 95% interval of the R@1 shown less the one hidden, paired by context.
        chance: R@1 of a selector that draws, the mean over queries of 1 / candidates.
        skipped: dialogues without a positive or without a negative in this set.
    """

    recall_at_1: float
    mrr: float
    n: int
    candidates: int
    interval: tuple[float, float]
    hidden_recall_at_1: float
    hidden_mrr: float
    hidden_interval: tuple[float, float]
    difference_interval: tuple[float, float]
    chance: float
    skipped: int

    @property
    def difference(self) -> float:
        """R@1 with the context shown less R@1 with it hidden."""
        return self.recall_at_1 - self.hidden_recall_at_1

    @property
    def above_chance(self) -> float:
        """How far R@1 is from chance, 1 where it is perfect and -1 where it is zero.

        Sets with other numbers of candidates compare by it.
        """
        difference = self.recall_at_1 - self.chance
        return difference / (1 - self.chance if difference > 0 else self.chance)

    def as_json(self) -> dict[str, Any]:
        """The figures under the names that `pneg evaluate --json` prints."""
        return {
            "r@1": self.recall_at_1,
            "mrr": self.mrr,
            "n": self.n,
            "candidates": self.candidates,
            "ci95": list(self.interval),
            "hidden": {"r@1": self.hidden_recall_at_1, "mrr": self.hidden_mrr, "ci95": list(self.hidden_interval)},
            "difference": {"r@1": self.difference, "ci95": list(self.difference_interval)},
            "chance": self.chance,
            "skipped": self.skipped,
        }


def evaluate(
    selector: Scorer,
    dialogues: Iterable[Dialogue],
    sets: Sequence[str] | None = None,
    *,
    positive: str = "all",
    precision: str = "float32",
) -> dict[str, Score]:
    """Rank each positive in turn against the first five negatives of each set.

    Each distinct pair is scored once. How the sets are meant is in the paper's section 3.1.

    Args:
        selector: the one to judge.
        dialogues: the test set.
        sets: sources of negatives, each a set of its own; by default every one that has negatives.
        positive: `all` positives in turn, or the `first` alone.
        precision: as in `Scorer.score`.

    Raises:
        DataError: when a set is nowhere in the data, or there is nothing to rank in it.
    """
    tests = list(dialogues)
    names = sets_in(tests) if sets is None else list(dict.fromkeys(sets))
    _check(names, tests)
    asked = _Asked({}, {name: [] for name in names}, {name: [] for name in names})
    for dialogue in tests:
        turns = turns_read(dialogue.context, dialogue.persona, selector.history)
        positives = dialogue.positives if positive == "all" else dialogue.positives[:1]
        for name in names:
            if positives and (negatives := dialogue.negatives.get(name, ())[:EACH]):
                asked.shown[name].append(asked.query(dialogue, turns, positives, negatives))
                asked.hidden[name].append(asked.query(dialogue, (HIDDEN,), positives, negatives))
    for name, queries in asked.shown.items():
        if not queries:
            raise DataError(
                f"no dialogue has both a positive and a negative of the set {name!r}", "there is nothing to rank"
            )
    scores = selector.score(list(asked.numbers), precision=precision, whole=True).tolist()
    return {name: _score(asked, name, scores, len(tests)) for name in names}


def sets_in(dialogues: Iterable[Dialogue]) -> list[str]:
    """The names of all sets that have a negative, in the order in which they first occur.

    Raises:
        DataError: when there is none.
    """
    names = dict.fromkeys(name for dialogue in dialogues for name, texts in dialogue.negatives.items() if texts)
    if not names:
        raise DataError("no dialogue has negatives", "pneg negatives and pneg attack add them")
    return list(names)


def _check(names: Sequence[str], dialogues: Iterable[Dialogue]) -> None:
    there = {source for dialogue in dialogues for source in dialogue.negatives}
    for name in names:
        if name not in there:
            raise DataError(
                f"no dialogue has negatives of the source {name!r}",
                f"there are: {', '.join(sorted(there)) or 'none at all'}; pneg negatives and pneg attack add them",
            )


@dataclass(frozen=True, slots=True)
class _Query:
    """What is ranked for a dialogue.

    Attributes:
        context: the dialogue's, whatever is shown of it: queries of one context are not independent.
        positives: the numbers of the pairs of the positives.
        negatives: the numbers of the pairs of the negatives.
    """

    context: tuple[str, ...]
    positives: list[int]
    negatives: list[int]


@dataclass(frozen=True, slots=True)
class _Asked:
    """Distinct pairs with a number each, and by set the queries made of them, with the context shown and hidden."""

    numbers: dict[tuple[tuple[str, ...], str], int]
    shown: dict[str, list[_Query]]
    hidden: dict[str, list[_Query]]

    def query(
        self, dialogue: Dialogue, turns: tuple[str, ...], positives: Sequence[str], negatives: Sequence[str]
    ) -> _Query:
        first, second = (
            [self.numbers.setdefault((turns, text), len(self.numbers)) for text in texts]
            for texts in (positives, negatives)
        )
        return _Query(dialogue.context, first, second)


def _score(asked: _Asked, name: str, scores: Sequence[float], dialogues: int) -> Score:
    shown, hidden = (_ranks(queries, scores) for queries in (asked.shown[name], asked.hidden[name]))
    chances = [1 / (1 + len(query.negatives)) for query in asked.shown[name] for _ in query.positives]
    return Score(
        recall_at_1=shown.recall_at_1,
        mrr=shown.mrr,
        n=shown.n,
        candidates=1 + max(len(query.negatives) for query in asked.shown[name]),
        interval=shown.recall_interval(),
        hidden_recall_at_1=hidden.recall_at_1,
        hidden_mrr=hidden.mrr,
        hidden_interval=hidden.recall_interval(),
        difference_interval=shown.difference_interval(hidden),
        chance=float(np.mean(chances)),
        skipped=dialogues - len(asked.shown[name]),
    )


def _ranks(queries: Sequence[_Query], scores: Sequence[float]) -> Ranks:
    """The ranks of queries; those of dialogues with the same context stand together."""
    by_context: dict[tuple[str, ...], list[float]] = {}
    for query in queries:
        others = [scores[number] for number in query.negatives]
        by_context.setdefault(query.context, []).extend(rank(scores[number], others) for number in query.positives)
    return Ranks(list(by_context.values()))
