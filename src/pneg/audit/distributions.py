"""How lengths and overlaps are distributed over positives and negatives."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pneg.audit.queries import Values

LENGTH_EDGES = np.append(np.arange(0.5, 30), np.inf)
"""A bin for each number of words, the last for 30 or more."""
OVERLAP_EDGES = np.append(np.linspace(0, 0.5, 21), np.inf)
"""Bins of .025; the last holds what exceeds .5."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram of a quantity over positives and over negatives.

    Attributes:
        edges: lower edges of the bins, shape (bins,); the last bin is open above.
        positives: share of the positives in each bin, shape (bins,).
        negatives: share of the negatives in each bin, shape (bins,).
        mean_positive: the mean over the positives.
        mean_negative: the mean over the negatives.
    """

    edges: tuple[float, ...]
    positives: tuple[float, ...]
    negatives: tuple[float, ...]
    mean_positive: float
    mean_negative: float

    def as_json(self) -> dict[str, Any]:
        """The histogram and the means."""
        return {
            "edges": list(self.edges),
            "positives": list(self.positives),
            "negatives": list(self.negatives),
            "mean_positive": self.mean_positive,
            "mean_negative": self.mean_negative,
        }


def distribution(positives: Values, negatives: Values, edges: Values) -> Distribution:
    """The histogram of a quantity; what lies below the first edge counts into the first bin.

    Args:
        positives: values of the positives in any shape, NaN where is none.
        negatives: values of the negatives likewise.
        edges: edges of the bins, the last one infinite, shape (bins + 1,).
    """
    shares, means = [], []
    for values in (positives, negatives):
        there = values[~np.isnan(values)]
        counts = np.histogram(np.maximum(there, edges[0]), edges)[0]
        shares.append(tuple((counts / max(1, len(there))).tolist()))
        means.append(float(there.mean()) if len(there) else 0.0)
    return Distribution(tuple(edges[:-1].tolist()), shares[0], shares[1], means[0], means[1])
