from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pneg import Dialogue, Selector
from pneg.errors import DataError
from pneg.selector.candidates import Candidates
from pneg.selector.evaluation import Score, evaluate
from pneg.selector.ranking import turns_read
from pneg.selector.steps import Texts


class Told:
    """Scores responses as they are told to, one lower where the context is hidden from it."""

    history = 2

    def __init__(self, **scores: float) -> None:
        self.scores = scores
        self.asked: list[tuple[tuple[str, ...], str]] = []

    def score(self, pairs: Sequence[tuple[tuple[str, ...], str]], *, precision: str, whole: bool) -> np.ndarray:
        assert whole  # the persona stands before the last turns
        self.precision = precision
        self.asked += pairs
        return np.array([self.scores[text] if turns != (".",) else float(text == "a") for turns, text in pairs])


ONE = Dialogue("1", ("t1", "t2", "t3"), ("p", "q"), {"random": ("a", "b", "c", "a2", "b2", "sixth"), "human": ("a",)})
TWO = Dialogue("2", ("u1",), ("r",), {"random": ("a", "b")})
TOLD = {"p": 5, "q": 2, "r": 1, "a": 4, "b": 3, "c": 2, "a2": 0, "b2": 0, "sixth": 9}


def test_each_positive_in_turn_against_the_first_five_negatives() -> None:
    scores = evaluate(Told(**TOLD), [ONE, TWO], ["random", "human"])  # type: ignore[arg-type]
    random, human = scores["random"], scores["human"]
    # p ranks 1; q stands behind a and b and ties with c: 3.5; r stands behind a and b: 3
    assert (random.n, random.candidates, random.skipped) == (3, 6, 0)
    assert random.recall_at_1 == pytest.approx(1 / 3)
    assert random.mrr == pytest.approx((1 + 1 / 3.5 + 1 / 3) / 3)
    # only the first dialogue has a human set: p ranks 1, q ranks 2
    assert (human.n, human.candidates, human.skipped) == (2, 2, 1)
    assert human.mrr == pytest.approx((1 + 1 / 2) / 2)
    # hidden, only "a" is liked: each positive ranks behind it or ties with the others
    assert human.hidden_recall_at_1 == 0.0
    assert human.hidden_mrr == pytest.approx(1 / 2)


def test_each_figure_is_printed_under_its_own_name() -> None:
    score = Score(0.5, 0.2, 3, 4, (0.4, 0.6), 0.25, 0.8, (0.1, 0.3), (0.15, 0.35), 0.125, 9)
    assert score.as_json() == {
        "r@1": 0.5,
        "mrr": 0.2,
        "n": 3,
        "candidates": 4,
        "ci95": [0.4, 0.6],
        "hidden": {"r@1": 0.25, "mrr": 0.8, "ci95": [0.1, 0.3]},
        "difference": {"r@1": 0.25, "ci95": [0.15, 0.35]},
        "chance": 0.125,
        "skipped": 9,
    }


@pytest.mark.parametrize(
    ("recall", "chance", "expected"),
    [(1.0, 0.5, 1.0), (0.75, 0.5, 0.5), (0.5, 0.5, 0.0), (0.02, 0.3, -14 / 15), (0.1, 0.5, -0.8), (0.0, 0.2, -1.0)],
)
def test_chance_is_the_middle_of_the_scale_that_sets_compare_by(
    recall: float, chance: float, expected: float
) -> None:
    score = Score(recall, 0.2, 3, 4, (0.4, 0.6), 0.25, 0.8, (0.1, 0.3), (0.15, 0.35), chance, 9)
    assert score.above_chance == pytest.approx(expected)


def test_chance_is_the_mean_over_queries_of_their_own_candidates() -> None:
    # two queries of six candidates, one of three
    assert evaluate(Told(**TOLD), [ONE, TWO], ["random"])["random"].chance == pytest.approx((2 / 6 + 1 / 3) / 3)  # type: ignore[arg-type]


def test_without_names_every_set_that_has_negatives_is_ranked() -> None:
    bare = Dialogue("3", ("v",), ("p",), {"none": ()})
    assert list(evaluate(Told(**TOLD), [bare, ONE, TWO])) == ["random", "human"]  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no dialogue has negatives; pneg negatives and pneg attack add them"):
        evaluate(Told(**TOLD), [bare])  # type: ignore[arg-type]


def test_a_set_without_queries_is_named() -> None:
    alone = Dialogue("3", ("v",), (), {"human": ("a",)})
    with pytest.raises(DataError, match="both a positive and a negative of the set 'human'"):
        evaluate(Told(**TOLD), [alone], ["human"])  # type: ignore[arg-type]


def test_dialogues_of_one_context_are_one_cluster() -> None:
    """A line a response: ten copies of a context tell no more than one."""
    hit, miss = ({"id": str(n), "negatives": {"random": ("b",)}} for n in (1, 2))
    lines = [Dialogue(context=("u",), positives=("p",), **hit), Dialogue(context=("v",), positives=("q",), **miss)]
    once = evaluate(Told(**TOLD), lines, ["random"])["random"]  # type: ignore[arg-type]
    often = evaluate(Told(**TOLD), lines * 10, ["random"])["random"]  # type: ignore[arg-type]
    assert (once.recall_at_1, often.recall_at_1) == (0.5, 0.5)
    assert often.n == 20
    assert often.interval == once.interval == (0.0, 1.0)
    assert often.difference_interval == once.difference_interval


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_it_is_scored_in_the_precision_asked_for(precision: str) -> None:
    told = Told(**TOLD)
    evaluate(told, [ONE, TWO], ["random"], precision=precision)  # type: ignore[arg-type]
    assert told.precision == precision


def test_a_set_that_is_named_twice_counts_once() -> None:
    scores = evaluate(Told(**TOLD), [ONE, TWO], ["random", "random"])  # type: ignore[arg-type]
    assert (scores["random"].n, scores["random"].skipped) == (3, 0)


def test_the_first_positive_alone() -> None:
    score = evaluate(Told(**TOLD), [ONE, TWO], ["random"], positive="first")["random"]  # type: ignore[arg-type]
    assert (score.n, score.recall_at_1) == (2, 0.5)


def test_each_pair_is_scored_once_with_the_last_turns_only() -> None:
    told = Told(**TOLD)
    evaluate(told, [ONE, TWO], ["random", "human"])  # type: ignore[arg-type]
    assert len(set(told.asked)) == len(told.asked)
    assert {turns for turns, _ in told.asked} == {("t2", "t3"), ("u1",), (".",)}
    assert "sixth" not in {text for _, text in told.asked}


def test_a_set_that_is_nowhere_is_named_beside_those_that_are() -> None:
    with pytest.raises(DataError, match="'bm25'; there are: human, random"):
        evaluate(Told(**TOLD), [ONE, TWO], ["bm25"])  # type: ignore[arg-type]


def test_a_persona_is_read_in_a_test_as_it_was_in_training(backbones: dict[str, Path]) -> None:
    selector = Selector.create(str(backbones["bert"]), device="cpu")
    given = Dialogue("1", tuple("abcdef"), ("yes",), persona=("i have two dogs",))
    [pair] = [(turns_read(given.context, given.persona, 4), "yes")]
    assert pair[0] == ("i have two dogs", "c", "d", "e", "f")
    whole, cut, without = (
        selector.score([pair], whole=True)[0],
        selector.score([pair])[0],
        selector.score([(tuple("cdef"), "yes")])[0],
    )
    assert cut == pytest.approx(without, abs=1e-6)
    assert abs(whole - cut) > 1e-6
    [context] = Texts.of(Candidates.of([given], ("random",), 4), selector).contexts
    assert context.tolist() == selector.pairs.encode([selector.pairs.join(pair[0])])[0].tolist()
