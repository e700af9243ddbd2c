"""Near words by cosine in an embedding."""

from pathlib import Path

import numpy as np

from pneg.lm import causal
from pneg.negatives.key_sem.near_words import TOP, NearWords

ANGLES = {"boat": 0, "ship": 10, "raft": 25, "tree": 180, "bush": 200, "the": 1}


def near() -> NearWords:
    angles = np.radians(list(ANGLES.values()))
    lengths = np.array([1, 5, 1, 1, 1, 1])
    return NearWords(list(ANGLES), (np.stack((np.cos(angles), np.sin(angles)), 1) * lengths[:, None]).astype("f4"))


def test_the_nearest_come_first_and_neither_the_word_itself_nor_a_stop_word() -> None:
    assert near().near("bush")[0] == "tree"
    assert set(near().near("boat")) == {"ship", "raft", "tree", "bush"}


def test_a_phrase_is_the_mean_of_the_words_that_are_known() -> None:
    assert near().near("tall bush tree")[-1] in ("boat", "ship")
    assert not {"bush", "tree"} & set(near().near("tall bush tree"))
    assert near().near("unknown words") == []


def test_what_all_words_have_in_common_is_taken_off() -> None:
    """`b` is parallel to `a`; from their mean (50/3, 1), `c` lies where `a` does and `b` on the other side."""
    found = NearWords(["alpha", "beta", "gamma"], np.array([[10, 1], [30, 3], [10, -1]], "f4"))
    assert found.near("alpha") == ["gamma", "beta"]


def test_ten_words_are_near() -> None:
    angles = np.radians(range(30))
    found = NearWords([f"word{n}" for n in range(30)], np.stack((np.cos(angles), np.sin(angles)), 1).astype("f4"))
    assert len(found.near("word0 word1")) == len(found.near("word2")) == 10


def test_a_models_own_words_are_whole_and_in_lower_case(llama: Path) -> None:
    found = NearWords.of(causal.load(llama, "cpu", "float32"))
    assert found.words and all(word.isalpha() and word.islower() and len(word) > 2 for word in found.words)
    assert len(found.near(found.words[0])) == TOP
