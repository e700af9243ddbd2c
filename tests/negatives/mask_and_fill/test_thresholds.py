"""Thresholds on mean log-probabilities."""

import pytest

from pneg.negatives.mask_and_fill.thresholds import PUBLISHED, Thresholds, calibration, derived, means


def test_means_are_per_character_with_spaces_and_per_word_or_mark() -> None:
    assert means("I can't!", -12.0) == (-1.5, -4.0)
    assert means("one two", -14.0) == (-2.0, -7.0)


def test_a_response_must_be_likely_enough_by_both() -> None:
    assert (PUBLISHED.character, PUBLISHED.word) == (-1.4, -4.9)
    assert PUBLISHED.passed("one two", -9.7)
    assert not PUBLISHED.passed("afternoon", -5.0), "below -4.9 a word, not below -1.4 a character"
    assert not PUBLISHED.passed("o t", -4.3), "below -1.4 a character, not below -4.9 a word"


def test_the_same_share_of_real_responses_is_refused_with_another_scorer() -> None:
    texts = ["abcd"] * 101
    found = derived(texts, [-4.0 * n for n in range(101)])
    assert found == Thresholds(pytest.approx(-75.0), pytest.approx(-220.0))
    passed = [found.passed(text, -4.0 * n) for n, text in enumerate(texts)]
    assert sum(passed) == 56, "a word each, so the stricter one is per word: the 45th percentile of -400, ... -4, 0"


def test_the_sample_to_derive_them_from_is_distinct_and_the_same_for_a_seed() -> None:
    responses = [f"r{n % 700}" for n in range(1400)]
    assert len(set(calibration(responses, 0))) == 512
    assert calibration(responses, 0) == calibration(responses, 0) != calibration(responses, 1)
    assert sorted(calibration(["a", "b", "a"], 0)) == ["a", "b"]
