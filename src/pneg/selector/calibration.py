"""Scores that mean something: one temperature, fitted so that a softmax over the candidates is a probability."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pneg.dialogue import Dialogue
from pneg.errors import DataError
from pneg.selector.candidates import EACH, no_source
from pneg.selector.ranking import Scorer, softmax, turns_read

BINS = 15
LOWEST, HIGHEST = 0.01, 100.0
"""Bounds of a temperature; it is at one of them where scores are always right, or say nothing."""

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Calibration:
    """A temperature and what it bought on the dialogues it was fitted on.

    Attributes:
        temperature: what scores are divided by.
        ece: expected calibration error with it.
        ece_before: the same with a temperature of 1.
        loss: mean negative log-probability of the positive with it.
        loss_before: the same with a temperature of 1.
        n: queries.
        sets: the sources of their negatives.
    """

    temperature: float
    ece: float
    ece_before: float
    loss: float
    loss_before: float
    n: int
    sets: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The figures under the names that `selector.json` has."""
        return {**asdict(self), "sets": list(self.sets)}


def calibrate(selector: Scorer, dialogues: Iterable[Dialogue], sets: Sequence[str]) -> Calibration:
    """Fit the temperature of a selector.

    Queries are those of `pneg evaluate`: each positive in turn against the first five negatives of each set.

    Args:
        selector: the one to calibrate.
        dialogues: held out from training.
        sets: sources of negatives.

    Raises:
        DataError: when a set is nowhere in the data, or no dialogue has a positive and a negative.
    """
    sets = list(dict.fromkeys(sets))
    queries = _queries(selector, list(dialogues), sets)
    found = temperature(queries)
    return Calibration(
        temperature=found,
        ece=expected_calibration_error(queries, found),
        ece_before=expected_calibration_error(queries, 1.0),
        loss=loss(queries, found),
        loss_before=loss(queries, 1.0),
        n=len(queries),
        sets=tuple(sets),
    )


def _queries(selector: Scorer, tests: list[Dialogue], sets: Sequence[str]) -> list[Scores]:
    """Scores of each query's candidates, the positive first."""
    there = {source for dialogue in tests for source in dialogue.negatives}
    for name in sets:
        if name not in there:
            raise no_source(name, there)
    numbers: dict[tuple[tuple[str, ...], str], int] = {}
    queries = []
    for dialogue in tests:
        turns = turns_read(dialogue.context, dialogue.persona, selector.history)
        for name in sets:
            negatives = dialogue.negatives.get(name, ())[:EACH]
            others = [numbers.setdefault((turns, text), len(numbers)) for text in negatives]
            if others:
                queries += [[numbers.setdefault((turns, text), len(numbers)), *others] for text in dialogue.positives]
    if not queries:
        raise DataError("no dialogue has both a positive and a negative", "there is nothing to calibrate on")
    scores = selector.score(list(numbers), whole=True)
    return [scores[query] for query in queries]


def temperature(queries: Sequence[Scores]) -> float:
    """The temperature at which the positives' probabilities are largest (Guo et al. 2017, section 4.2).

    The loss is convex in 1 / temperature, so its derivative has one zero, which is found by halving.

    Args:
        queries: scores of each query's candidates, the positive first, shape (candidates,) each.

    Returns:
        A number between `LOWEST` and `HIGHEST`.
    """

    def slope(logarithm: float) -> float:
        at = math.exp(logarithm)
        return sum(float(softmax(scores, at) @ scores.astype(np.float64)) - float(scores[0]) for scores in queries)

    low, high = math.log(LOWEST), math.log(HIGHEST)
    for _ in range(40):
        middle = (low + high) / 2
        # the mean score falls towards that of chance as the temperature rises
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return math.exp((low + high) / 2)


def loss(queries: Sequence[Scores], temperature: float) -> float:
    """Mean negative log-probability of the positive.

    Args:
        queries: as in `temperature`.
        temperature: what scores are divided by.
    """
    total = 0.0
    for scores in queries:
        scaled = scores.astype(np.float64) / temperature
        total += float(np.logaddexp.reduce(scaled) - scaled[0])
    return total / len(queries)


def expected_calibration_error(queries: Sequence[Scores], temperature: float, bins: int = BINS) -> float:
    """Expected calibration error: how far confidence is from accuracy, averaged over bins of confidence.

    With n queries in M bins of equal width, where bin B_m holds those whose greatest probability is in
    ((m - 1) / M, m / M]: sum over m of |B_m| / n * |accuracy(B_m) - mean confidence(B_m)|. Guo et al. 2017, "On
    Calibration of Modern Neural Networks", equation 3, with their 15 bins. Of k candidates that tie for the first
    place one is taken by chance: the positive among them counts 1 / k.

    Args:
        queries: as in `temperature`.
        temperature: what scores are divided by.
        bins: M.

    Returns:
        A number from 0 to 1.
    """
    confidences, hits = np.zeros(len(queries)), np.zeros(len(queries))
    for place, scores in enumerate(queries):
        confidences[place] = softmax(scores, temperature).max()
        first = scores == scores.max()
        hits[place] = first[0] / first.sum()
    numbers = np.clip(np.ceil(confidences * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(numbers, hits - confidences, minlength=bins)
    return float(np.abs(gaps).sum() / len(queries))
