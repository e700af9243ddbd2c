"""R@1 and AUC where scores tie, and intervals clustered by context; the figures are worked out by hand."""

import numpy as np
import pytest

from pneg.audit.measures import hits, recall

NAN = np.nan


def test_candidates_that_tie_for_the_first_place_share_the_hit() -> None:
    positives = np.array([[3.0], [3.0], [3.0]])
    negatives = np.array([[1.0, 2.0], [3.0, 1.0], [4.0, 3.0]])
    assert hits(positives, negatives).tolist() == [1.0, 0.5, 0.0]
    figures = recall(positives, negatives)
    assert figures.recall_at_1 == pytest.approx(1.5 / 3)
    assert figures.alone == pytest.approx(1 / 3)


def test_scores_that_say_nothing_give_chance() -> None:
    figures = recall(np.zeros((40, 3)), np.zeros((40, 5)))
    assert figures.recall_at_1 == pytest.approx(1 / 6)
    assert figures.interval == pytest.approx((1 / 6, 1 / 6))
    assert figures.auc == 0.5


def test_auc_counts_pairs_of_one_context_and_half_of_a_tie() -> None:
    positives = np.array([[2.0, 5.0], [0.0, NAN]])
    negatives = np.array([[1.0, 2.0], [9.0, NAN]])
    # 2 > 1, 2 = 2, 5 > 1, 5 > 2, 0 < 9: 3.5 of 5
    assert recall(positives, negatives).auc == pytest.approx(3.5 / 5)


def test_missing_candidates_count_nowhere() -> None:
    positives = np.array([[2.0, NAN], [2.0, 1.0]])
    negatives = np.array([[1.0, NAN, NAN], [1.0, 0.0, 0.5]])
    figures = recall(positives, negatives)
    assert figures.recall_at_1 == pytest.approx(2.5 / 3)
    assert figures.alone == pytest.approx(2 / 3)


def test_the_interval_widens_when_the_queries_of_a_context_agree() -> None:
    """The same hits, once in 200 contexts of one query and once in 40 contexts of five equal ones."""
    single = np.array([[float(place % 2)] for place in range(200)])
    grouped = np.repeat(single[:40], 5, axis=1)
    narrow = recall(single, np.full((200, 1), 0.5)).interval
    wide = recall(grouped, np.full((40, 1), 0.5)).interval
    assert recall(grouped, np.full((40, 1), 0.5)).recall_at_1 == 0.5
    assert wide[1] - wide[0] > 1.8 * (narrow[1] - narrow[0])
    # the normal approximation with 200 independent queries: .5 +- 1.96 * sqrt(.25 / 200)
    assert narrow == pytest.approx((0.5 - 0.0693, 0.5 + 0.0693), abs=0.012)


def test_the_same_seed_gives_the_same_interval() -> None:
    scores = np.random.default_rng(1).random((30, 2))
    assert recall(scores, scores[:, ::-1], seed=3) == recall(scores, scores[:, ::-1], seed=3)
