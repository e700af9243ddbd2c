"""R@1 and AUC of scores that may tie often, with intervals clustered by context."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pneg.audit.queries import Values

SAMPLES = 1000
"""Samples of a bootstrap."""


@dataclass(frozen=True, slots=True)
class Recall:
    """How well scores find the positive among its negatives.

    Attributes:
        recall_at_1: share of queries whose positive comes first; k candidates that tie for the first place have a
            share of 1/k each, so that scores without information give exactly chance.
        interval: its 95% interval, by bootstrap over contexts.
        alone: share of queries whose positive stands alone at the top, which is how `pneg evaluate` counts.
        auc: chance that a positive scores above a negative of the same context; ties count half.
        auc_interval: its 95% interval.
    """

    recall_at_1: float
    interval: tuple[float, float]
    alone: float
    auc: float
    auc_interval: tuple[float, float]

    def as_json(self) -> dict[str, Any]:
        """The figures under the names that `pneg audit --json` prints."""
        return {
            "r@1": self.recall_at_1,
            "ci95": list(self.interval),
            "r@1_alone": self.alone,
            "auc": self.auc,
            "auc_ci95": list(self.auc_interval),
        }


def recall(positives: Values, negatives: Values, seed: int = 0) -> Recall:
    """R@1 and AUC of each positive in turn against all negatives of its context.

    Args:
        positives: scores, NaN where a context has fewer, shape (contexts, positives).
        negatives: scores likewise, shape (contexts, negatives).
        seed: seed of the bootstrap.
    """
    above, ties, below = _compared(positives, negatives)
    queries = ~np.isnan(positives)
    sums = np.stack(
        [
            _hits(above, ties, queries).sum(1),
            queries.sum(1),
            np.where(queries, below + ties / 2, 0).sum(1),
            np.where(queries, above + ties + below, 0).sum(1),
        ]
    )
    alone = float(((above + ties == 0) & queries).sum() / queries.sum())
    drawn = _resampled(sums, seed)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], (0.025, 0.975))
    auc_low, auc_high = np.quantile(drawn[:, 2] / drawn[:, 3], (0.025, 0.975))
    hits, n, wins, pairs = sums.sum(1)
    return Recall(
        recall_at_1=float(hits / n),
        interval=(float(low), float(high)),
        alone=alone,
        auc=float(wins / pairs),
        auc_interval=(float(auc_low), float(auc_high)),
    )


def hits(positives: Values, negatives: Values) -> Values:
    """The expected hits of each context, shape (contexts,); see `Recall.recall_at_1`."""
    above, ties, _ = _compared(positives, negatives)
    total: Values = _hits(above, ties, ~np.isnan(positives)).sum(1)
    return total


def _compared(positives: Values, negatives: Values) -> tuple[Values, Values, Values]:
    """For each query how many negatives score above, the same and below; comparisons with NaN are false."""
    first, second = positives[:, :, None], negatives[:, None, :]
    return (second > first).sum(-1), (second == first).sum(-1), (second < first).sum(-1)


def _hits(above: Values, ties: Values, queries: Any) -> Values:
    shared: Values = np.where((above == 0) & queries, 1.0 / (1.0 + ties), 0.0)
    return shared


def _resampled(sums: Values, seed: int) -> Values:
    """Sums over contexts drawn with replacement, shape (samples, sums): queries of one context stay together."""
    generator = np.random.default_rng(seed)
    contexts = sums.shape[1]
    drawn = np.empty((SAMPLES, len(sums)))
    for sample in range(SAMPLES):
        times = np.bincount(generator.integers(contexts, size=contexts), minlength=contexts)
        drawn[sample] = sums @ times
    return drawn
