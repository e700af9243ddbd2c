"""What a selector takes from the context: R@1 with it shown, hidden, and replaced by another dialogue's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pneg.audit.measures import Recall, recall
from pneg.audit.queries import NONE, Numbers, Queries, Values
from pneg.dialogue import Dialogue
from pneg.selector.evaluation import HIDDEN
from pneg.selector.ranking import Pair, Scorer, turns_read

Score = Callable[[Sequence[Pair]], npt.NDArray[Any]]
"""Gives each pair of a context's turns and a response a score, the higher the better it fits."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a selector achieves on a source.

    Attributes:
        shown: with the context shown.
        hidden: with each context replaced by a full stop.
        other: with each context replaced by one of another dialogue; None where all contexts are equal.
    """

    shown: Recall
    hidden: Recall
    other: Recall | None

    def as_json(self) -> dict[str, Any]:
        """The figures by what stood for the context."""
        other = self.other.as_json() if self.other else None
        return {"shown": self.shown.as_json(), "hidden": self.hidden.as_json(), "other": other}


class Scored:
    """Scores of pairs, each computed once, however many sources ask for it.

    Args:
        score: gives the scores.
    """

    def __init__(self, score: Score) -> None:
        self._score = score
        self._known: dict[Pair, float] = {}

    def of(self, queries: Queries, contexts: Sequence[tuple[str, ...]]) -> tuple[Values, Values]:
        """The scores of positives and of negatives, NaN where is none.

        A score that is not a number counts against the positive, whichever side it is on.

        Args:
            queries: the source's.
            contexts: the turns that stand before the responses of each dialogue.
        """
        texts, pairs = queries.texts, []
        for numbers in (queries.positives, queries.negatives):
            for turns, row in zip(contexts, numbers.tolist(), strict=True):
                pairs += [(turns, texts[number]) for number in row if number != NONE]
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self._known]
        if new:
            self._known.update(zip(new, np.asarray(self._score(new), np.float64).tolist(), strict=True))
        values = np.array([self._known[pair] for pair in pairs])
        first = int((queries.positives != NONE).sum())
        return (
            _placed(np.nan_to_num(values[:first], nan=-np.inf), queries.positives),
            _placed(np.nan_to_num(values[first:], nan=np.inf), queries.negatives),
        )


def _placed(values: Values, numbers: Numbers) -> Values:
    placed = np.full(numbers.shape, np.nan)
    placed[numbers != NONE] = values
    return placed


def scores_of(selector: Scorer, precision: str = "float32") -> Score:
    """A selector's scores of pairs whose turns are read as they are."""
    return lambda pairs: selector.score(pairs, precision=precision, whole=True)


def contexts_read(dialogues: Sequence[Dialogue], history: int) -> list[tuple[str, ...]]:
    """What a selector reads before the candidates of each dialogue."""
    return [turns_read(dialogue.context, dialogue.persona, history) for dialogue in dialogues]


def reading(queries: Queries, scored: Scored, history: int, seed: int = 0) -> Reading:
    """What a selector achieves on a source with the context shown, hidden, and replaced.

    Args:
        queries: the source's.
        scored: the selector's scores.
        history: turns it reads.
        seed: seed of the bootstrap, and of which context stands for which.
    """
    own = contexts_read(queries.dialogues, history)
    hidden: list[tuple[str, ...]] = [(HIDDEN,)] * len(own)
    others = other_contexts(own, seed)
    return Reading(
        shown=recall(*scored.of(queries, own), seed),
        hidden=recall(*scored.of(queries, hidden), seed),
        other=None if others is None else recall(*scored.of(queries, others), seed),
    )


def other_contexts(contexts: Sequence[tuple[str, ...]], seed: int = 0) -> list[tuple[str, ...]] | None:
    """For each context another dialogue's, never one that is equal to it; None where all are equal.

    Each is used about equally often: contexts are drawn without replacement, and again only where the one that was
    drawn equals the own.
    """
    if len(set(contexts)) < 2:
        return None
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(contexts))
    drawn = np.empty(len(contexts), np.int64)
    drawn[order] = np.roll(order, 1)
    others = [contexts[place] for place in drawn.tolist()]
    distinct = list(dict.fromkeys(contexts))
    for place, own in enumerate(contexts):
        if others[place] == own:
            apart = [context for context in distinct if context != own]
            others[place] = apart[int(generator.integers(len(apart)))]
    return others
