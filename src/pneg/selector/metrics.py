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
        return _interval(self._hits(), self._sizes(), samples, seed)

    def difference_interval(self, other: "Ranks", samples: int = 1000, seed: int = 0) -> tuple[float, float]:
        """A 95% interval of this R@1 less another one of the same queries, paired: both are drawn context by context.

        Args:
            other: ranks of the same queries, grouped alike.
            samples: of the bootstrap.
            seed: of its draws.
        """
        return _interval(self._hits() - other._hits(), self._sizes(), samples, seed)

    def _hits(self) -> npt.NDArray[np.float64]:
        return np.array([sum(rank <= 1.0 for rank in ranks) for ranks in self.by_context], dtype=np.float64)

    def _sizes(self) -> npt.NDArray[np.float64]:
        return np.array([len(ranks) for ranks in self.by_context], dtype=np.float64)


def _interval(
    sums: npt.NDArray[np.float64], sizes: npt.NDArray[np.float64], samples: int, seed: int
) -> tuple[float, float]:
    """A 95% interval of a mean over queries by bootstrap over contexts.

    Args:
        sums: of each context's queries, shape (contexts,).
        sizes: how many queries each context has, shape (contexts,).
        samples: of the bootstrap.
        seed: of its draws, which are the same for every set with as many contexts.
    """
    if not len(sums):
        return 0.0, 0.0
    drawn = np.random.default_rng(seed).integers(len(sums), size=(samples, len(sums)))
    low, high = np.quantile(sums[drawn].sum(1) / sizes[drawn].sum(1), (0.025, 0.975))
    return float(low), float(high)
