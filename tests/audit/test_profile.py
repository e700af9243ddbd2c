"""The profile, with scores and embeddings that are given."""

from collections.abc import Sequence

import numpy as np
import pytest

from pneg import Dialogue
from pneg.audit import profile as module
from pneg.audit.profile import Untrained, profile
from pneg.errors import MissingExtra, ModelError
from pneg.negatives.embeddings import Embeddings


class Given:
    """A selector that knows the score of each response, one for a shown context and one for a hidden one."""

    history = 2

    def __init__(self, shown: dict[str, float], hidden: dict[str, float]) -> None:
        self.shown, self.hidden = shown, hidden

    def score(self, pairs: Sequence[tuple[Sequence[str], str]], *, precision: str, whole: bool) -> np.ndarray:
        return np.array([(self.hidden if tuple(turns) == (".",) else self.shown)[text] for turns, text in pairs])


class Angles(Embeddings):
    """Unit vectors at the angle, in degrees, that stands in a table."""

    def __init__(self, degrees: dict[str, float]) -> None:
        self.degrees = degrees

    def of(self, texts: Sequence[str]) -> np.ndarray:
        angles = np.radians([self.degrees[text] for text in texts])
        return np.stack((np.cos(angles), np.sin(angles)), 1).astype(np.float32)


TESTS = [
    Dialogue("1", ("x", "t1", "t2"), ("p",), {"easy": ("a", "b", "c"), "hard": ("d",), "empty": ()}),
    Dialogue("2", ("u",), ("q",), {"easy": ("a", "b", "c"), "hard": ("d",), "empty": ()}),
]
SELECTOR = Given(
    shown={"p": 5, "q": 5, "a": 1, "b": 2, "c": 3, "d": 9},
    hidden={"p": 5, "q": 0, "a": 1, "b": 2, "c": 3, "d": 9},
)
# the selector reads the last two turns: `t1 t2` lies beside p, `u` beside a
EMBEDDINGS = Angles({"t1 t2": 0, "u": 50, ".": 90, "p": 10, "q": 180, "a": 40, "b": 80, "c": 85, "d": 120})


def of(**options: object) -> module.Profile:
    return profile(SELECTOR, TESTS, encoder=EMBEDDINGS, **options)  # type: ignore[arg-type]


def test_every_set_that_has_negatives_is_profiled() -> None:
    assert list(of().sets) == ["easy", "hard"]
    assert list(of(sets=["hard"]).sets) == ["hard"]


def test_shown_less_hidden_and_chance_by_hand() -> None:
    score = of().sets["easy"].score
    assert (score.recall_at_1, score.hidden_recall_at_1, score.difference) == (1.0, 0.5, 0.5)
    assert score.chance == pytest.approx(1 / 4)
    assert of().sets["hard"].score.chance == pytest.approx(1 / 2)


def test_the_worst_set_comes_least_far_from_chance() -> None:
    found = of()
    assert found.worst == "hard"
    assert [each.worst for each in found.sets.values()] == [False, True]
    # R@1 .5 of two candidates is chance; R@1 .5 of four is above it
    selector = Given(shown={"p": 5, "q": 0, "a": 1, "b": 2, "c": 3, "d": 4}, hidden=SELECTOR.hidden)
    assert profile(selector, TESTS, encoder=None).worst == "hard"  # type: ignore[arg-type]


def test_the_untrained_encoder_ranks_by_cosine_what_the_selector_reads() -> None:
    untrained = of().sets["easy"].untrained
    assert untrained is not None
    # p is nearest to `t1 t2`; of `u` all three negatives are nearer than q
    assert (untrained.recall_at_1, untrained.mrr) == (0.5, pytest.approx((1 + 1 / 4) / 2))
    # the full stop lies at 90: c and b are nearer than p
    assert untrained.hidden_recall_at_1 == 0.0


def test_the_untrained_scores_are_cosines_in_the_order_of_the_pairs() -> None:
    scores = Untrained(EMBEDDINGS, 2).score([(("x", "t1", "t2"), "p"), (("u",), "q"), (("x", "t1", "t2"), "b")])
    assert scores == pytest.approx(np.cos(np.radians([10, 130, 80])), abs=1e-6)
    assert Untrained(EMBEDDINGS, 2).score([]).shape == (0,)
    first = Untrained(EMBEDDINGS, 2).rank(("x", "t1", "t2"), ["b", "p"])[0]
    assert (first.candidate, first.index) == ("p", 1)


def test_json_has_a_key_for_each_set_and_only_adds_keys_inside() -> None:
    found = of().as_json()
    assert list(found) == ["easy", "hard"]
    assert {"r@1", "mrr", "n", "candidates", "ci95", "hidden", "chance", "difference", "untrained", "worst"} <= set(
        found["easy"]
    )
    assert found["easy"]["untrained"]["r@1"] == 0.5
    assert found["hard"]["worst"] is True


def test_without_an_encoder_the_rest_stands() -> None:
    found = profile(SELECTOR, TESTS, encoder=None)  # type: ignore[arg-type]
    assert found.missing == ""
    assert found.sets["easy"].untrained is None
    assert "untrained" not in found.as_json()["easy"]


@pytest.mark.parametrize(
    "error", [ModelError("the model x cannot be fetched"), MissingExtra("sentence_transformers", "retrieval")]
)
def test_an_encoder_that_cannot_be_loaded_is_a_note_and_the_rest_stands(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str) -> None:
        raise error

    monkeypatch.setattr(module, "Embeddings", refuse)
    found = profile(SELECTOR, TESTS, encoder="x")  # type: ignore[arg-type]
    assert found.missing == str(error)
    assert found.sets["easy"].score.recall_at_1 == 1.0
