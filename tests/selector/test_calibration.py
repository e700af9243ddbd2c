"""Temperatures and calibration errors, against values worked out by hand."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from pneg import Dialogue
from pneg.errors import DataError
from pneg.selector.calibration import (
    HIGHEST,
    LOWEST,
    calibrate,
    expected_calibration_error,
    loss,
    temperature,
)


def drawn(scale: float, queries: int = 4000) -> list[np.ndarray]:
    """Queries whose positive is drawn from the softmax of their scores, which are then made `scale` times larger."""
    generator = np.random.default_rng(0)
    found = []
    for _ in range(queries):
        scores = generator.normal(0, 1.5, size=6)
        probabilities = np.exp(scores) / np.exp(scores).sum()
        positive = generator.choice(6, p=probabilities)
        found.append((scale * np.roll(scores, -positive)).astype(np.float32))
    return found


@pytest.mark.parametrize("scale", [1.0, 3.0, 0.25])
def test_scores_that_are_too_large_by_a_factor_are_divided_by_it(scale: float) -> None:
    queries = drawn(scale)
    found = temperature(queries)
    assert found == pytest.approx(scale, rel=0.06)
    assert expected_calibration_error(queries, found) < 0.02
    assert loss(queries, found) <= loss(queries, scale) <= loss(queries, 5 * scale)


def test_the_temperature_of_two_queries_is_that_of_their_odds() -> None:
    # of four queries whose candidates are 2 apart three are right: 2 / T = log 3
    queries = [np.array([2, 0], dtype=np.float32)] * 3 + [np.array([0, 2], dtype=np.float32)]
    assert temperature(queries) == pytest.approx(2 / math.log(3), rel=1e-6)


def test_scores_that_are_always_right_or_say_nothing_end_at_a_bound() -> None:
    assert temperature([np.array([1, 0], dtype=np.float32)]) == pytest.approx(LOWEST)
    assert temperature([np.array([0, 1], dtype=np.float32)]) == pytest.approx(HIGHEST)


def test_the_calibration_error_of_a_worked_example() -> None:
    def query(first: float, right: bool) -> np.ndarray:
        """Two candidates, the better one of this probability."""
        gap = math.log(first / (1 - first))
        return np.array([gap, 0] if right else [0, gap], dtype=np.float32)

    # four at .9 of which two are right, in one bin of ten; one at .55 that is right, in another
    queries = [query(0.88, right) for right in (True, True, False, False)] + [query(0.55, True)]
    assert expected_calibration_error(queries, 1.0, bins=10) == pytest.approx(4 / 5 * 0.38 + 1 / 5 * 0.45, abs=1e-6)
    # one bin: 3 of 5 right at a mean confidence of (4 * .88 + .55) / 5
    assert expected_calibration_error(queries, 1.0, bins=1) == pytest.approx(0.814 - 0.6, abs=1e-6)


def test_a_tie_for_the_first_place_counts_by_chance() -> None:
    assert expected_calibration_error([np.zeros(4, dtype=np.float32)], 1.0) == 0.0
    tied = [np.array([0, 30, 30], dtype=np.float32)]
    assert expected_calibration_error(tied, 1.0) == pytest.approx(0.5)


def test_the_loss_is_the_mean_negative_log_probability() -> None:
    queries = [np.array([math.log(3), 0], dtype=np.float32), np.array([0, 0, 0, 0], dtype=np.float32)]
    assert loss(queries, 1.0) == pytest.approx((math.log(4 / 3) + math.log(4)) / 2, abs=1e-6)


class Told:
    """Scores responses by their length."""

    history = 4
    temperature = None

    def score(
        self, pairs: Sequence[tuple[Sequence[str], str]], *, precision: str = "float32", whole: bool = False
    ) -> np.ndarray:
        return np.array([len(text) for _, text in pairs], dtype=np.float32)


def test_each_positive_stands_against_the_first_five_negatives_of_each_set() -> None:
    dialogues = [
        Dialogue("1", ("t",), ("aa", "b"), {"random": ("c", "d", "e", "f", "g", "sixth"), "human": ("hhh",)}),
        Dialogue("2", ("u",), ("a",)),
    ]
    found = calibrate(Told(), dialogues, ["random", "human"])  # type: ignore[arg-type]
    assert (found.n, found.sets) == (4, ("random", "human"))
    # scores: 2 and 1 against five of 1, 2 and 1 against one of 3
    expected = [math.log(1 + 5 / math.e), math.log(6), math.log(1 + math.e), math.log(1 + math.e**2)]
    assert found.loss_before == pytest.approx(sum(expected) / 4, abs=1e-6)
    again = calibrate(Told(), dialogues, ["random", "human", "random"])  # type: ignore[arg-type]
    assert again == found
    with pytest.raises(DataError, match="'bm25'; there are"):
        calibrate(Told(), dialogues, ["bm25"])  # type: ignore[arg-type]


def test_what_is_reported_is_measured_at_the_temperature_found_and_at_one() -> None:
    dialogues = [Dialogue("1", ("t",), ("aa", "b"), {"random": ("c", "d", "e"), "human": ("hhh",)})]
    found = calibrate(Told(), dialogues, ["random", "human"])  # type: ignore[arg-type]
    queries = [np.array(query, np.float32) for query in ([2, 1, 1, 1], [1, 1, 1, 1], [2, 3], [1, 3])]
    assert found.temperature == pytest.approx(temperature(queries))
    assert abs(found.temperature - 1) > 0.1
    assert found.ece == expected_calibration_error(queries, found.temperature, bins=15)
    assert found.ece_before == expected_calibration_error(queries, 1.0, bins=15)
    assert (found.loss, found.loss_before) == (loss(queries, found.temperature), loss(queries, 1.0))


def test_it_is_asked_for_the_persona_and_the_last_turns_and_these_are_read_whole() -> None:
    asked = []

    class Asked(Told):
        def score(self, pairs: Sequence[tuple[Sequence[str], str]], **how: object) -> np.ndarray:
            asked.append((list(pairs), how))
            return super().score(pairs)

    dialogue = Dialogue("1", ("1", "2", "3", "4", "5", "6"), ("aa",), {"random": ("b",)}, ("i like soup.",))
    calibrate(Asked(), [dialogue], ["random"])  # type: ignore[arg-type]
    turns = ("i like soup.", "3", "4", "5", "6")
    assert asked == [([(turns, "b"), (turns, "aa")], {"whole": True})]
