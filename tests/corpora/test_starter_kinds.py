"""The kinds of adversarial negatives in the starter's test set, each a set of its own."""

from collections import Counter
from statistics import mean

import pytest

from pneg import Dialogue, corpora
from pneg.corpora.starter import KINDS
from pneg.dialogue import normalised


@pytest.fixture(scope="module")
def tests() -> list[Dialogue]:
    return list(corpora.read("starter:test"))


def test_every_dialogue_has_negatives_of_each_kind_and_of_no_other(tests: list[Dialogue]) -> None:
    for dialogue in tests:
        assert set(dialogue.negatives) == {"human", "random", *KINDS}, dialogue.id
        assert all(dialogue.negatives[kind] for kind in KINDS), dialogue.id


def test_each_human_negative_has_exactly_one_kind(tests: list[Dialogue]) -> None:
    for dialogue in tests:
        kinds_of = Counter(text for kind in KINDS for text in dialogue.negatives[kind])
        assert set(dialogue.negatives["human"]) <= set(kinds_of), dialogue.id
        assert set(kinds_of.values()) == {1}, dialogue.id


def test_no_negative_of_a_kind_is_a_positive_or_a_turn(tests: list[Dialogue]) -> None:
    for dialogue in tests:
        taken = {normalised(text) for text in (*dialogue.context, *dialogue.positives)}
        assert not [text for kind in KINDS for text in dialogue.negatives[kind] if normalised(text) in taken], (
            dialogue.id
        )


def test_no_text_stands_twice_in_the_sets_of_the_kinds(tests: list[Dialogue]) -> None:
    texts = Counter(normalised(text) for dialogue in tests for kind in KINDS for text in dialogue.negatives[kind])
    assert [text for text, times in texts.items() if times > 1] == []


def test_most_kinds_are_as_long_as_the_positives_and_repeated_questions_are_shorter(tests: list[Dialogue]) -> None:
    positives = mean(len(text.split()) for dialogue in tests for text in dialogue.positives)
    words = {
        kind: mean(len(text.split()) for dialogue in tests for text in dialogue.negatives[kind]) / positives
        for kind in KINDS
    }
    assert all(0.8 < words[kind] < 1.2 for kind in KINDS if kind != "human-already-answered"), words
    assert 0.6 < words["human-already-answered"] < 1.0, words
