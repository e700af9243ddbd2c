"""What a selector takes from the context, and the negatives it prefers; with scorers made by hand."""

from collections.abc import Sequence

import numpy as np
import pytest

from pneg import Dialogue
from pneg.audit.false_negatives import suspects
from pneg.audit.queries import Queries, Texts
from pneg.audit.reading import Scored, other_contexts, reading

DIALOGUES = [
    Dialogue(str(n), (f"The code is {n}.",), (f"So it is {n}.",), {"human": (f"So it is {n + 1}.", "It is long.")})
    for n in range(12)
]
QUERIES = Queries.of(DIALOGUES, "human", Texts())


def echo(pairs: Sequence[tuple[Sequence[str], str]]) -> np.ndarray:
    """1 where the response has the number of the last turn."""
    return np.array([float(turns[-1].split()[-1] == response.split()[-1]) for turns, response in pairs])


def shape(pairs: Sequence[tuple[Sequence[str], str]]) -> np.ndarray:
    """Knows the response alone: the smaller its number, the higher."""
    return np.array([-float("".join(filter(str.isdigit, response)) or 99) for _, response in pairs])


def test_a_scorer_that_reads_the_context_falls_without_it() -> None:
    found = reading(QUERIES, Scored(echo), 4)
    assert found.shown.recall_at_1 == 1.0
    assert found.hidden.recall_at_1 == pytest.approx(1 / 3)  # all three candidates tie
    assert found.hidden.alone == 0.0
    assert found.other is not None
    assert found.other.recall_at_1 < 0.5


def test_a_scorer_that_knows_the_response_alone_keeps_its_score() -> None:
    found = reading(QUERIES, Scored(shape), 4)
    assert found.other is not None
    assert (found.shown.recall_at_1, found.hidden.recall_at_1, found.other.recall_at_1) == (1.0, 1.0, 1.0)


def test_another_context_is_never_the_own_nor_one_equal_to_it() -> None:
    contexts = [(f"turn {n // 2}",) for n in range(40)]
    for seed in range(20):
        others = other_contexts(contexts, seed)
        assert others is not None
        assert all(own != other for own, other in zip(contexts, others, strict=True))
        assert set(others) <= set(contexts)
    assert other_contexts(contexts, 1) == other_contexts(contexts, 1) != other_contexts(contexts, 2)


def test_without_a_second_context_there_is_no_other() -> None:
    assert other_contexts([("Hi.",), ("Hi.",)]) is None


def test_each_pair_is_scored_once() -> None:
    asked: list[tuple] = []

    def counting(pairs: Sequence[tuple[Sequence[str], str]]) -> np.ndarray:
        asked.extend((tuple(turns), response) for turns, response in pairs)
        return echo(pairs)

    scored = Scored(counting)
    reading(QUERIES, scored, 4)
    suspects(QUERIES, scored, 4)
    assert len(asked) == len(set(asked))


def test_a_score_that_is_not_a_number_counts_against_the_positive() -> None:
    scored = Scored(lambda pairs: np.full(len(pairs), np.nan))
    assert reading(QUERIES, scored, 4).shown.recall_at_1 == 0.0


def test_suspects_are_above_every_positive_and_come_in_the_order_of_their_margins() -> None:
    scores = {"good": 2.0, "fair": 1.0, "fits": 5.0, "may fit": 3.0, "between": 1.5, "tie": 2.0}
    dialogue = Dialogue("d", ("Hello?",), ("fair", "good"), {"human": ("between", "may fit", "tie", "fits")})
    queries = Queries.of([dialogue], "human", Texts())
    found = suspects(queries, Scored(lambda pairs: np.array([scores[response] for _, response in pairs])))
    assert [(each.negative, each.positive, each.margin) for each in found] == [
        ("fits", "good", 3.0),
        ("may fit", "good", 1.0),
    ]
    assert found[0].as_json() == {
        "id": "d", "source": "human", "margin": 3.0, "context": ["Hello?"], "positive": "good", "negative": "fits",
    }  # fmt: skip
