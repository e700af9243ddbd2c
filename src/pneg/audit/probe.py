"""A linear model that never sees a context: how far the style of a response gives its negatives away.

It is the test of Gururangan et al. (2018, doi:10.18653/v1/N18-2017) and Poliak et al. (2018,
doi:10.18653/v1/S18-2023), which found that natural language inference can be answered from the hypothesis alone.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from pneg.audit.cues import STYLE, Cue
from pneg.audit.measures import recall
from pneg.audit.queries import NONE, Numbers, Queries, Values
from pneg.audit.words import MARK, WORD
from pneg.errors import needs

MOST_FITTED = 10_000
"""Responses that one model is fitted to; more move R@1 by less than a point and take much longer."""
WORKERS = 2
"""Models fitted at a time; liblinear works outside the interpreter's lock."""


class Features:
    """Numbers that describe the style of a response: TF-IDF of its words, pairs of words and characters.

    Args:
        texts: where words and their frequencies are taken from; no label is looked at.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        with needs("audit"):
            from sklearn.feature_extraction.text import TfidfVectorizer
            from sklearn.pipeline import make_union
        self._union = make_union(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=f"{WORD}|{MARK}"),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True),
        )
        self._union.fit(texts)

    def of(self, texts: Sequence[str]) -> Any:
        """The features of texts, a sparse matrix of shape (texts, features)."""
        return self._union.transform(texts).tocsr()


def style(queries: Queries, features: Any, tests: Sequence[Numbers], seed: int = 0) -> Cue | None:
    """What style alone achieves: each fold is scored by a model fitted to the others.

    A response that occurs in the fold is left out of what the model is fitted to, wherever else it stands. Sources
    that reuse positives of other dialogues would otherwise teach it that a response it has seen fits.

    Args:
        queries: the source's.
        features: of all its texts, shape (texts, features).
        tests: the folds.
        seed: seed of the bootstrap, and of the draw where there are more than `MOST_FITTED` responses.

    Returns:
        None where nothing is left to fit a model to, because the same few responses stand in every fold.
    """
    positives = np.full(queries.positives.shape, np.nan)
    negatives = np.full(queries.negatives.shape, np.nan)

    def scored(test: Numbers) -> tuple[Numbers, Values, Values] | None:
        train = np.setdiff1d(np.arange(len(queries.positives)), test)
        own, others = queries.positives[test], queries.negatives[test]
        fitted = _fitted(queries, features, train, np.concatenate([own.ravel(), others.ravel()]), seed)
        if fitted is None:
            return None
        return test, _scores(fitted, features, own), _scores(fitted, features, others)

    with ThreadPoolExecutor(WORKERS) as workers:
        for scores in workers.map(scored, tests):
            if scores is None:
                return None
            test, own, others = scores
            positives[test], negatives[test] = own, others
    return Cue(STYLE, "linear model", recall(positives, negatives, seed))


def style_fitted_to(fit: Queries, queries: Queries, seed: int = 0) -> Cue | None:
    """What style alone achieves when the model is fitted to another file.

    Args:
        fit: the queries it is fitted to.
        queries: those it is tested on.
        seed: as in `style`.

    Returns:
        None where the other file has no positives or no negatives to fit to.
    """
    describe = Features(fit.texts)
    model = _fitted(fit, describe.of(fit.texts), np.arange(len(fit.positives)), np.array([], np.int64), seed)
    if model is None:
        return None
    features = describe.of(queries.texts)
    own, others = (_scores(model, features, numbers) for numbers in (queries.positives, queries.negatives))
    return Cue(STYLE, "linear model", recall(own, others, seed))


def _fitted(queries: Queries, features: Any, train: Numbers, unseen: Numbers, seed: int) -> Any:
    """A model that tells positives from negatives; None where either is missing once `unseen` texts are left out."""
    with needs("audit"):
        from sklearn.linear_model import LogisticRegression
    train = np.random.default_rng(seed).permutation(train)
    own, others = queries.positives[train], queries.negatives[train]
    numbers = np.concatenate([own, others], axis=1)
    fits = np.concatenate([np.ones(own.shape, bool), np.zeros(others.shape, bool)], axis=1)
    taken = (numbers != NONE) & ~np.isin(numbers, unseen)
    numbers, fits = numbers[taken][:MOST_FITTED], fits[taken][:MOST_FITTED]
    if fits.all() or not fits.any():
        return None
    model = LogisticRegression(C=10, solver="liblinear", class_weight="balanced", random_state=0)
    return model.fit(features[numbers], fits)


def _scores(model: Any, features: Any, numbers: Numbers) -> Values:
    """The model's scores of texts, NaN where there is none."""
    scores = np.full(numbers.shape, np.nan)
    there = numbers != NONE
    scores[there] = model.decision_function(features[numbers[there]])
    return scores
