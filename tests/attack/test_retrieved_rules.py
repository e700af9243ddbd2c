"""The rules that take human responses from a pool."""

import sys
from pathlib import Path

import numpy as np
import pytest
from making import FILLER, applied, dialogue

from pneg import Dialogue
from pneg.attack.retrieved_dense import rule as dense
from pneg.attack.rule import Material
from pneg.negatives.embeddings import Embeddings

pytest.importorskip("bm25s", reason="responses are retrieved with it")

PARTY = dialogue(
    "We have a party on the beach with music, cake and fireworks. | Who brings the lantern?",
    "My sister brings it.",
    id="party",
)


def test_responses_that_share_words_are_retrieved() -> None:
    _, [texts] = applied("retrieved", PARTY, pool=[*FILLER, PARTY])
    assert texts == ("The lantern is kept in the cellar.",)


def test_near_copies_copied_turns_and_answers_to_the_same_matter_are_refused() -> None:
    pool = [
        *FILLER,
        PARTY,
        dialogue("Anything else?", "Yes, my sister brings it all.", id="near"),
        dialogue("Anything else?", "Who brings the lantern?", id="turn"),
        dialogue(
            "We have a party on the beach, with fireworks. | Who brings cake?",
            "Paul brings it to the party.",
            id="same",
        ),
    ]
    rule, [texts] = applied("retrieved", PARTY, pool=pool)
    assert texts == ("The lantern is kept in the cellar.",)
    assert rule.counts["near-copy of a positive"] == 1
    assert rule.counts["copy of a turn"] == 1
    assert rule.counts["from a dialogue on the same matter"] == 1


def test_a_dialogue_that_shares_no_word_with_the_pool_is_counted() -> None:
    asked = dialogue("Quack quack.", "Moo.")
    rule, [texts] = applied("retrieved", asked, pool=FILLER)
    assert texts == ()
    assert rule.left_out == {"no response of the pool shares a word with the context": 1}


def test_another_topic_is_one_whose_dialogue_shares_nothing_else() -> None:
    lantern = dialogue(
        "The ship is lost in the fog. | Can the captain see us?", "He sees the lantern from the bridge.", id="ship"
    )
    fits = dialogue("It is dark. | What now?", "Take the lantern.", id="dark")
    rule, [texts] = applied("other-topic-same-words", PARTY, pool=[lantern, fits, PARTY])
    assert texts == ("He sees the lantern from the bridge.",), "the other one says nothing of a topic of its own"
    near = dialogue(
        "A party on the beach? | Who has a boat?", "The captain takes a lantern to the bridge.", id="near"
    )
    rule, [texts] = applied("other-topic-same-words", PARTY, pool=[near, fits, PARTY])
    assert texts == ()
    assert rule.left_out == {"no response that shares a rare word is clearly of another topic": 1}


class Lengths(Embeddings):
    """A text's vector is at an angle as wide as the text is long, in degrees."""

    def __init__(self) -> None:
        self.device = "cpu"

    def of(self, texts: list[str]) -> np.ndarray:  # type: ignore[override]
        angles = np.radians([len(text) for text in texts])
        return np.stack((np.cos(angles), np.sin(angles)), 1).astype(np.float32).reshape(-1, 2)


def test_the_responses_nearest_to_the_last_turns_are_taken() -> None:
    pytest.importorskip("torch")
    pool = [Dialogue(str(n), (f"Turn{n}.",), (letter * n,)) for n, letter in enumerate("abcdefghij", start=1)]
    asked = Dialogue("x", ("ignored" * 9, "a", "b", "c"[:1], "d"), ("never",))
    rule = dense(Material(pool), Lengths())
    [texts] = rule.propose([asked], 3)
    # the last four turns are `a b c d`: seven characters
    assert [len(text) for text in texts] == [7, 6, 8]


def test_without_the_extra_the_install_line_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from pneg.errors import MissingExtra

    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtra, match="retrieval"):
        applied("retrieved-dense", PARTY)


def test_every_rule_is_a_file() -> None:
    from pneg.attack import catalogue

    folder = Path(catalogue.__file__).parent
    assert all((folder / f"{listed.module}.py").is_file() for listed in catalogue.RULES.values())
