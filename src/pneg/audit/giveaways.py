"""The words that stand more often in negatives than in positives, or the other way round."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pneg.audit.queries import Queries
from pneg.audit.words import MARK, WORD
from pneg.errors import needs

LEVEL = 0.05
"""Chance that any word at all is listed for a source whose negatives are worded like its positives."""
LISTED = 10
"""Words for each side, at most."""


@dataclass(frozen=True, slots=True)
class Giveaway:
    """A word, or a punctuation mark, and the share of the texts in which it stands.

    Attributes:
        word: the word.
        negatives: share of the negatives that contain it.
        positives: share of the positives that contain it.
    """

    word: str
    negatives: float
    positives: float

    def as_json(self) -> dict[str, Any]:
        """The word and its shares."""
        return {"word": self.word, "negatives": self.negatives, "positives": self.positives}


def giveaways(queries: Queries) -> tuple[Giveaway, ...]:
    """The words whose shares differ most surely, the most telling first; up to `LISTED` for each side.

    Each word gets a z-test of two proportions, Bonferroni-corrected for the number of words that occur five times.
    """
    with needs("audit"):
        from scipy.stats import norm
        from sklearn.feature_extraction.text import CountVectorizer
    own, others = queries.positive_texts(), queries.negative_texts()
    counter = CountVectorizer(token_pattern=f"{WORD}|{MARK}", binary=True)
    counts = counter.fit_transform([*own, *others]).tocsr()
    first = np.asarray(counts[: len(own)].sum(0)).ravel()
    second = np.asarray(counts[len(own) :].sum(0)).ravel()
    tested = np.flatnonzero(first + second >= 5)
    positives, negatives = first[tested] / len(own), second[tested] / len(others)
    pooled = (first + second)[tested] / (len(own) + len(others))
    error = np.sqrt(np.maximum(pooled * (1 - pooled), 1e-12) * (1 / len(own) + 1 / len(others)))
    z = (negatives - positives) / error
    least = norm.isf(LEVEL / 2 / max(1, len(tested)))
    names = counter.get_feature_names_out()
    found = []
    for side in (z, -z):
        best = [place for place in np.argsort(-side, kind="stable")[:LISTED] if side[place] > least]
        found += [Giveaway(str(names[tested[n]]), float(negatives[n]), float(positives[n])) for n in best]
    return tuple(found)
