"""Rankings by a single cue that a reader of the context needs least: the length of a response, and shared words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pneg.audit.measures import Recall, hits, recall
from pneg.audit.queries import NONE, Numbers, Queries, Values
from pneg.audit.words import content_stems, words
from pneg.errors import needs

FOLDS = 5
STYLE, LENGTH, OVERLAP = "style", "length", "overlap"


@dataclass(frozen=True, slots=True)
class Cue:
    """What one cue alone achieves on a source.

    Attributes:
        name: `style`, `length` or `overlap`.
        rule: which candidate it puts first: `shortest`, `longest`, `least`, `most`; `either` where the folds differ;
            `linear model` for style.
        figures: R@1 and AUC on contexts that took no part in choosing the rule.
    """

    name: str
    rule: str
    figures: Recall

    def as_json(self) -> dict[str, Any]:
        """The figures and the rule."""
        return {"rule": self.rule, **self.figures.as_json()}


def folds(groups: Numbers) -> list[Numbers]:
    """Places of the contexts of each fold, equal contexts in the same one; no fold where all contexts are equal."""
    with needs("audit"):
        from sklearn.model_selection import GroupKFold

    count = min(FOLDS, len(np.unique(groups)))
    if count < 2:
        return []
    return [test for _, test in GroupKFold(count).split(groups, groups=groups)]


def length(queries: Queries, tests: Sequence[Numbers], seed: int = 0) -> Cue:
    """What the number of words alone achieves, whichever of shortest and longest is better on the other folds.

    Args:
        queries: the source's.
        tests: the folds.
        seed: seed of the bootstrap.
    """
    return _cross_fitted(LENGTH, ("shortest", "longest"), *queries.of_texts(lengths(queries.texts)), tests, seed)


def overlap(queries: Queries, overlaps: tuple[Values, Values], tests: Sequence[Numbers], seed: int = 0) -> Cue:
    """What the overlap with the context alone achieves, whichever of least and most is better on the other folds.

    Args:
        queries: the source's.
        overlaps: what `overlaps_of` gave for them.
        tests: the folds.
        seed: seed of the bootstrap.
    """
    return _cross_fitted(OVERLAP, ("least", "most"), *overlaps, tests, seed)


def _cross_fitted(
    name: str, rules: tuple[str, str], positives: Values, negatives: Values, tests: Sequence[Numbers], seed: int
) -> Cue:
    """The figures of a cue whose direction is chosen on the folds that are not scored; small first, or large."""
    small, large = hits(-positives, -negatives), hits(positives, negatives)
    signs = np.ones(len(positives))
    chosen = set()
    for test in tests:
        better = small.sum() - small[test].sum() >= large.sum() - large[test].sum()
        signs[test] = -1 if better else 1
        chosen.add(rules[0] if better else rules[1])
    figures = recall(positives * signs[:, None], negatives * signs[:, None], seed)
    return Cue(name, chosen.pop() if len(chosen) == 1 else "either", figures)


def lengths(texts: Sequence[str]) -> Values:
    """The number of words of each text, shape (texts,)."""
    return np.array([len(words(text)) for text in texts], np.float64)


def overlaps_of(queries: Queries, stems: Sequence[frozenset[str]]) -> tuple[Values, Values]:
    """The overlap of positives and negatives with their contexts; NaN where is none.

    It is the Jaccard similarity of the distinct stems of the words that carry content: shared ones over all.

    Args:
        queries: the source's.
        stems: of each text.
    """
    contexts = [content_stems(" ".join(dialogue.context)) for dialogue in queries.dialogues]

    def of(numbers: Numbers) -> Values:
        values = np.full(numbers.shape, np.nan)
        for row, (context, own) in enumerate(zip(contexts, numbers.tolist(), strict=True)):
            for column, number in enumerate(own):
                if number != NONE:
                    both = len(context & stems[number])
                    values[row, column] = both / max(1, len(context) + len(stems[number]) - both)
        return values

    return of(queries.positives), of(queries.negatives)
