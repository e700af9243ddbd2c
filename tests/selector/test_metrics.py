import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from pneg.selector.metrics import Ranks, rank


@pytest.mark.parametrize(
    ("positive", "negatives", "expected"),
    [
        (0.9, [0.1, 0.2], 1.0),
        (0.15, [0.1, 0.2], 2.0),
        (0.2, [0.1, 0.2], 1.5),
        (1.0, [1.0, 1.0, 1.0, 1.0, 1.0], 3.5),
        (0.0, [], 1.0),
        (float("nan"), [0.1, 0.2], 3.0),
        (0.5, [float("nan"), 0.1], 2.0),
    ],
)
def test_a_tie_counts_by_its_expected_rank(positive: float, negatives: list[float], expected: float) -> None:
    assert rank(positive, negatives) == expected


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=8), st.integers(-3, 3))
def test_the_rank_is_that_of_scipy(negatives: list[int], positive: int) -> None:
    average = rankdata([-positive, *(-negative for negative in negatives)], method="average")[0]
    assert rank(positive, negatives) == average


def test_a_selector_that_scores_all_alike_never_hits() -> None:
    constant = Ranks([[rank(0.0, [0.0] * 5)] for _ in range(10)])
    assert constant.recall_at_1 == 0.0
    assert constant.mrr == pytest.approx(1 / 3.5)


def test_r_at_1_and_mrr_by_hand() -> None:
    ranks = Ranks([[1.0, 2.0], [4.0]])
    assert ranks.n == 3
    assert ranks.recall_at_1 == pytest.approx(1 / 3)
    assert ranks.mrr == pytest.approx((1 + 1 / 2 + 1 / 4) / 3)


def test_the_interval_holds_the_mean_and_narrows_with_more_contexts() -> None:
    generator = np.random.default_rng(0)

    def width(contexts: int) -> float:
        ranks = Ranks([[1.0 if hit else 2.0] for hit in generator.random(contexts) < 0.7])
        low, high = ranks.recall_interval()
        assert low <= ranks.recall_at_1 <= high
        return high - low

    # 2 * 1.96 * sqrt(.7 * .3 / n)
    assert width(400) == pytest.approx(0.0898, abs=0.015)
    assert width(1600) < 0.65 * width(400)


def test_no_queries_give_zeros_and_no_error() -> None:
    assert (Ranks([]).recall_at_1, Ranks([]).mrr, Ranks([]).recall_interval()) == (0.0, 0.0, (0.0, 0.0))


def test_a_tie_for_the_first_place_is_no_hit_in_the_figure_and_in_its_interval() -> None:
    tied = Ranks([[1.5], [1.5]])
    assert (tied.recall_at_1, tied.recall_interval()) == (0.0, (0.0, 0.0))


def test_the_interval_is_of_queries_though_contexts_are_drawn() -> None:
    low, high = Ranks([[1.0]] * 50 + [[2.0] * 3] * 50).recall_interval()
    assert low < 50 / 200 < high < 0.4, "half of the contexts, a quarter of the queries"


def test_the_interval_of_a_difference_is_paired_by_context() -> None:
    generator = np.random.default_rng(0)
    hits = generator.random(200) < 0.5
    shown = Ranks([[1.0 if hit else 2.0] for hit in hits])
    assert shown.difference_interval(shown) == (0.0, 0.0), "the same hits differ nowhere"
    better = Ranks([[1.0] if place < 20 else [1.0 if hit else 2.0] for place, hit in enumerate(hits)])
    low, high = better.difference_interval(shown)
    difference = better.recall_at_1 - shown.recall_at_1
    assert low <= difference <= high
    # each context gains 1 or nothing: 2 * 1.96 * sqrt(d * (1 - d) / n), a third of two independent shares
    assert high - low == pytest.approx(2 * 1.96 * (difference * (1 - difference) / 200) ** 0.5, rel=0.2)


def test_the_interval_of_a_difference_draws_contexts_with_all_their_queries() -> None:
    shown = Ranks([[1.0] * 5, [2.0] * 5] * 20)
    hidden = Ranks([[2.0] * 5, [2.0] * 5] * 20)
    low, high = shown.difference_interval(hidden)
    # 40 contexts, not 200 queries
    assert high - low == pytest.approx(2 * 1.96 * (0.25 / 40) ** 0.5, rel=0.2)
