"""Candidates in order, probabilities, many questions at once."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pneg.errors import DataError, ModelError
from pneg.selector import ranking
from pneg.selector.ranking import Question, Ranked, rank_all, ranked


class Told:
    """Scores responses by their length, and counts how often it is asked."""

    history = 4

    def __init__(self, temperature: float | None) -> None:
        self.temperature, self.asked = temperature, 0
        self.read: list[tuple[str, ...]] = []

    def score(
        self, pairs: Sequence[tuple[Sequence[str], str]], *, precision: str = "float32", whole: bool = False
    ) -> np.ndarray:
        assert whole  # what is to be read was chosen before
        self.asked += 1
        self.read += [tuple(turns) for turns, _ in pairs]
        return np.array([len(text) for _, text in pairs], dtype=np.float32)


def test_the_best_stands_first_and_ties_keep_their_order() -> None:
    assert ranked(["a", "b", "c"], [1, 2, 2], None) == [Ranked("b", 2, 1), Ranked("c", 2, 2), Ranked("a", 1, 0)]


def test_probabilities_are_the_softmax_of_scores_over_the_temperature() -> None:
    found = ranked(["a", "b"], [2 * np.log(3), 0], 2.0)
    assert [place.probability for place in found] == pytest.approx([0.75, 0.25])
    assert ranked([], np.zeros(0), 1.0) == []


def test_many_questions_are_scored_together_and_answered_in_order() -> None:
    told = Told(None)
    questions = [Question(("t",), ("a", "bb")), Question(("t",), ()), Question(("u",), ("cc", "c", "ccc"))]
    found = rank_all(told, questions)  # type: ignore[arg-type]
    assert [[place.candidate for place in ranking] for ranking in found] == [["bb", "a"], [], ["ccc", "cc", "c"]]
    assert told.asked == 1
    assert rank_all(told, []) == []  # type: ignore[arg-type]


def test_a_persona_is_read_whole_before_the_last_turns() -> None:
    told = Told(None)
    rank_all(told, [Question(tuple("abcdef"), ("x",), ("i have two dogs", "i bake"))])  # type: ignore[arg-type]
    assert told.read == [("i have two dogs", "i bake", "c", "d", "e", "f")]


def test_a_question_without_a_context_is_refused() -> None:
    with pytest.raises(DataError, match="expected a list of turns"):
        Question((), ("a",))


@pytest.mark.parametrize("part", ["context", "candidates", "persona"])
def test_one_string_where_a_list_belongs_is_refused(part: str) -> None:
    parts = {"context": ["c"], "candidates": ["r"], "persona": ["p"]}
    with pytest.raises(DataError, match=f"the {part} is 'Hello.'"):
        Question.of(**{**parts, part: "Hello."})  # type: ignore[arg-type]


@pytest.mark.parametrize(("text", "message"), [("{broken", "is broken"), ("[]", "holds no object")])
def test_broken_settings_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "selector.json").write_text(text)
    with pytest.raises(ModelError, match=message):
        ranking.load(tmp_path)
