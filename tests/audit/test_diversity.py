"""How much responses repeat each other; figures worked out by hand."""

import random

import pytest

from pneg import Dialogue
from pneg.audit.diversity import distinct, diversity, near_duplicates, self_bleu
from pneg.audit.faults import faults
from pneg.audit.queries import Queries, Texts

LONG = "I would rather take the early train to the coast tomorrow morning"


def test_distinct_n_is_distinct_n_grams_over_n_grams() -> None:
    texts = [["a", "b", "a", "b"], ["a", "b"]]
    assert distinct(texts, 1) == pytest.approx(2 / 6)
    assert distinct(texts, 2) == pytest.approx(2 / 4)  # ab, ba, ab and ab
    assert distinct([["a"]], 2) == 0.0


def test_self_bleu_is_100_for_equal_texts_and_0_for_texts_without_a_common_word() -> None:
    equal = LONG.split()
    assert self_bleu([equal, equal, equal]) == pytest.approx(100.0)
    assert self_bleu([["a", "b", "c", "d"], ["e", "f", "g", "h"]]) == pytest.approx(0.0, abs=1e-6)
    assert self_bleu([equal]) is None


def test_self_bleu_is_sacrebleus_against_all_others() -> None:
    import sacrebleu

    lines = ["the cat sat on the mat", "the cat sat on a mat today", "a dog sat on the mat"]
    expected = [
        sacrebleu.sentence_bleu(line, [other for other in lines if other != line], tokenize="none").score
        for line in lines
    ]
    assert self_bleu([line.split() for line in lines]) == pytest.approx(sum(expected) / 3)


def test_a_response_with_one_word_changed_is_a_near_duplicate() -> None:
    near = LONG.replace("early", "earlier")
    other = "Nobody told me that the shop had closed"
    assert near_duplicates([LONG, near, other]) == {LONG, near}
    assert near_duplicates([LONG, other]) == set()


def test_repeats_near_duplicates_and_copies_are_shares_of_the_texts() -> None:
    texts = [LONG, LONG.upper() + ".", LONG.replace("early", "earlier"), "Nobody told me that the shop had closed"]
    found = diversity(texts, ["Nobody told me that the shop has closed", "Something else altogether"])
    assert found.texts == 4
    assert found.repeated == 0.5
    assert found.near_duplicates == 0.75
    assert found.copies == 0.25


def test_large_sources_are_sampled_and_say_so() -> None:
    generator = random.Random(0)
    texts = [" ".join(generator.choices("abcdefghijklmnopqrstuvwxyz", k=12)) for _ in range(1200)]
    found = diversity(texts)
    assert (found.texts, found.sampled, found.bleu_sampled, found.compared) == (1200, 1000, 100, 1200)
    assert found == diversity(texts)
    assert found.self_bleu != diversity(texts, seed=1).self_bleu


def test_texts_without_words_have_no_variety_and_do_no_harm() -> None:
    found = diversity(["...", "?!"])
    assert (found.distinct_1, found.distinct_2) == (0.0, 0.0)


def test_faults_are_counted_by_reason() -> None:
    dialogue = Dialogue(
        "d", ("Where is it?",), ("Over there.",), {"human": ("Where is it", "over there", "no no no no no", "Fine.")}
    )
    queries = Queries.of([dialogue], "human", Texts())
    assert faults(queries) == {"copy of a turn": 1, "copy of a positive": 1, "repetition": 1}
