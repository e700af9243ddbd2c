"""Masks at each level, on a response whose units can be counted by hand."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pneg.negatives.mask_and_fill import masking
from pneg.negatives.mask_and_fill.masking import GENERATION, TRAINING, Masking, replaced, spans, versions

TEXT = "I can't go. Ask Tom!"


def shown(level: Masking, text: str = TEXT, seed: int = 0) -> str:
    drawn = spans(text, level, Random(seed))
    return replaced(text, drawn, ["_"] * len(drawn))


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (Masking(1, 0, 0, 0), "_"),
        (Masking(0, 1, 0, 0), "_ _"),
        (Masking(0, 0, 1, 0), "_ _ __ _ __"),
        (Masking(0, 0, 1, 1, longest=1), "_ _ __ _ __"),
        (Masking(0, 0, 0, 1), TEXT),
    ],
    ids=["whole", "sentence", "word", "n-gram of one", "nothing"],
)
def test_what_is_certain_to_be_masked_is(level: Masking, expected: str) -> None:
    assert shown(level) == expected


def test_an_ngram_takes_the_words_behind_along_and_ends_with_its_sentence() -> None:
    seen = {shown(Masking(0, 0, 1, 1, longest=8), seed=seed) for seed in range(200)}
    assert "_ _" in seen, "both sentences whole, as two n-grams"
    assert "_" not in seen


def test_ngrams_are_uniformly_long() -> None:
    text = " ".join("w" for _ in range(4000))
    drawn = spans(text, Masking(0, 0, 1, 1, longest=4), Random(0))
    lengths = [(end - start + 1) // 2 for start, end in drawn[:-1]]
    shares = [lengths.count(length) / len(lengths) for length in (1, 2, 3, 4)]
    assert shares == pytest.approx([0.25] * 4, abs=0.04)


def test_words_are_masked_as_often_as_is_said() -> None:
    text = " ".join("w" for _ in range(20_000))
    assert len(spans(text, Masking(0, 0, 0.25, 0), Random(1))) / 20_000 == pytest.approx(0.25, abs=0.01)


def test_the_levels_are_the_published_ones() -> None:
    assert Masking(0.15, 0.15, 0.15, 0.8, 8) == TRAINING
    assert Masking(0.0, 0.25, 0.25, 0.5, 8) == GENERATION


def test_versions_differ_and_a_short_text_has_few() -> None:
    assert len(set(versions(TEXT, TRAINING, Random(0), 16))) == 16
    assert versions("Yes", TRAINING, Random(0), 16) == [((0, 3),)]


def test_no_version_is_nothing_but_blanks_where_that_is_asked_for() -> None:
    sure = Masking(0, 0.5, 0.5, 1)
    texts = [replaced(TEXT, found, ["_"] * len(found)) for found in versions(TEXT, sure, Random(0), 40, pure=False)]
    assert texts and all(set(text) - set("_ ") for text in texts)
    assert versions("Yes", masking.GENERATION, Random(0), 4, pure=False) == []


@given(text=st.text(st.sampled_from("ab .!?'\n"), min_size=1), seed=st.integers(0, 99))
def test_spans_are_in_order_and_what_is_put_back_gives_the_text(text: str, seed: int) -> None:
    for drawn in versions(text, Masking(0.1, 0.3, 0.3, 0.5), Random(seed), 3):
        edges = [edge for span in drawn for edge in span]
        assert edges == sorted(edges) and all(start < end for start, end in drawn)
        assert replaced(text, drawn, [text[start:end] for start, end in drawn]) == text
