"""R@1 and MRR over one positive and n negatives."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


def rank(positive: float, negatives: npt.ArrayLike) -> float:
    """The expected rank of the positive, from 1; candidates that tie with it stand before it half the time.

    A score that is not a number counts against the positive, whichever side it is on.
    """
    others = np.asarray(negatives, dtype=np.float64)
    ties = np.sum(others == positive)
    below = np.sum(others < positive)
    return 1.0 + float(others.size - below - ties) + float(ties) / 2


@dataclass(frozen=True, slots=True)
class Ranks:
    """The ranks of many queries, grouped by the context they belong to.

    Args:
        by_context: for each context, the expected rank of each of its queries; no context without one.
    """

    by_context: Sequence[Sequence[float]]

    @property
    def n(self) -> int:
        """How many queries there are."""
        return sum(map(len, self.by_context))

    @property
    def recall_at_1(self) -> float:
        """R@1: the share of queries whose positive stands alone at the top; a tie there is no hit."""
        return float(np.mean(np.concatenate(self.by_context) <= 1.0)) if self.n else 0.0

    @property
    def mrr(self) -> float:
        """The mean of 1 / rank over the queries."""
        return float(np.mean(1.0 / np.concatenate(self.by_context))) if self.n else 0.0

    def recall_interval(self, samples: int = 1000, seed: int = 0) -> tuple[float, float]:
        """A 95% interval of R@1 by bootstrap over contexts, whose queries are not independent."""
        if not self.n:
            return 0.0, 0.0
        hits = np.array([sum(rank <= 1.0 for rank in ranks) for ranks in self.by_context], dtype=np.float64)
        sizes = np.array([len(ranks) for ranks in self.by_context], dtype=np.float64)
        generator = np.random.default_rng(seed)
        drawn = generator.integers(len(hits), size=(samples, len(hits)))
        low, high = np.quantile(hits[drawn].sum(1) / sizes[drawn].sum(1), (0.025, 0.975))
        return float(low), float(high)
