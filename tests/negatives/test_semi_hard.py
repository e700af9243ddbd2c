"""Semi-hard negatives, worked out on angles: cos 20 = .9397, cos 22 = .9272, cos 25 = .9063, cos 60 = .5."""

from collections.abc import Sequence

import pytest
from embedding import Angles

from pneg import Dialogue
from pneg.negatives import SemiHard
from pneg.negatives import semi_hard as module

pytest.importorskip("torch", reason="the search multiplies with torch")

POOL = [Dialogue(f"at {angle}", ("x",), (f"r at {angle}",)) for angle in (90, 60, 22, 20, 5, 140, 180)]


def asked(*positives: str, context: str = "x") -> Dialogue:
    return Dialogue("q", (context,), positives)


def test_the_most_similar_that_keeps_the_margin_comes_first() -> None:
    """1 - .07 = .93: the responses at 5 and 20 degrees are near-copies, the one at 22 is not."""
    source = SemiHard(POOL, embeddings=Angles())
    assert list(source.propose([asked("p at 0")], 3)) == [("r at 22", "r at 60", "r at 90")]
    assert source.counts == {"too similar": 2}


@pytest.mark.parametrize(
    ("margin", "first"), [(0.0, "r at 5"), (0.01, "r at 20"), (0.1, "r at 60"), (0.5001, "r at 90")]
)
def test_the_margin_says_how_near_is_too_near(margin: float, first: str) -> None:
    [found] = SemiHard(POOL, margin, embeddings=Angles()).propose([asked("p at 0")], 1)
    assert found == (first,)


def test_the_positive_is_the_first_and_near_copies_of_the_others_are_refused_too() -> None:
    source = SemiHard(POOL, embeddings=Angles())
    assert list(source.propose([asked("p at 0", "p at 61")], 2)) == [("r at 22", "r at 90")]
    assert source.counts == {"too similar": 3}


def test_all_positives_may_be_asked_for() -> None:
    """Of 22 and 90 the nearest to any positive: 22 is 22 from the first, 90 is 25 from the second."""
    pool = [*POOL, Dialogue("n", ("x",), ("r at 42",))]
    source = SemiHard(pool, positive="all", embeddings=Angles())
    [found] = source.propose([asked("p at 0", "p at 115")], 3)
    assert found == ("r at 22", "r at 140", "r at 90")


def test_where_all_positives_are_asked_for_a_near_copy_is_counted_once() -> None:
    """5 and 20 degrees are too near to the first, 60 to the second: it is among what ranks below the first too."""
    source = SemiHard(POOL, positive="all", embeddings=Angles())
    assert list(source.propose([asked("p at 0", "p at 61")], 3)) == [("r at 22", "r at 90", "r at 140")]
    assert source.counts == {"too similar": 3}


def test_the_encoder_is_minilm_unless_another_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[str] = []
    monkeypatch.setattr(module, "Embeddings", lambda name: named.append(name) or Angles())
    SemiHard([])
    SemiHard([], embeddings="another")
    assert named == ["minilm-l6", "another"]


def test_own_positives_repeats_and_what_is_missing_are_counted() -> None:
    pool = [asked("p at 0"), *POOL[:3], Dialogue("n", ("x",), ("R at  60!",))]
    source = SemiHard(pool, embeddings=Angles())
    assert list(source.propose([asked("p at 0")], 5)) == [("r at 22", "r at 60", "r at 90")]
    assert source.counts == {"copy of a positive": 1, "duplicate": 1, "too few": 2}


def test_a_relative_margin_takes_what_is_nearest_to_the_context_below_a_share_of_the_positives_score() -> None:
    """cos 25 x .95 = .861: the responses at 5, 20 and 22 degrees are above it; cos 25 x .6 = .544 lets 60 through."""
    source = SemiHard(POOL, relative_margin=0.05, embeddings=Angles())
    assert list(source.propose([asked("p at 25", context="c at 0")], 2)) == [("r at 60", "r at 90")]
    assert source.counts == {"too similar": 3}
    [found] = SemiHard(POOL, relative_margin=0.0, embeddings=Angles()).propose(
        [asked("p at 21", context="c at 0")], 1
    )
    assert found == ("r at 22",)


def test_a_relative_margin_goes_below_a_negative_score_too() -> None:
    """cos 120 = -.5, less a half of .5 is -.75: 140 degrees is -.766, 125 is -.574, 90 is 0."""
    pool = [*POOL, Dialogue("n", ("x",), ("r at 125",))]
    [found] = SemiHard(pool, relative_margin=0.5, embeddings=Angles()).propose(
        [asked("p at 120", context="c at 0")], 2
    )
    assert found == ("r at 140", "r at 180")


def test_a_relative_margin_asks_for_the_whole_context() -> None:
    """`Angles` takes the first number of a text: that of the first turn."""
    dialogue = Dialogue("q", ("c at 0", "d at 180"), ("p at 25",))
    [found] = SemiHard(POOL, relative_margin=0.05, embeddings=Angles()).propose([dialogue], 1)
    assert found == ("r at 60",)


def test_with_a_relative_margin_every_positive_must_keep_it_where_all_are_asked_for() -> None:
    """cos 80 x .95 = .165 is the lower ceiling."""
    dialogue = asked("p at 25", "p at 80", context="c at 0")
    [found] = SemiHard(POOL, relative_margin=0.05, positive="all", embeddings=Angles()).propose([dialogue], 1)
    assert found == ("r at 90",)


def test_where_all_that_was_ranked_at_first_is_refused_the_rest_is_ranked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEPTH", 2)
    [found] = SemiHard(POOL, embeddings=Angles()).propose([asked("p at 0", "r at 22", "r at 60")], 2)
    assert found == ("r at 90", "r at 140")


def test_a_dialogue_without_positives_gets_nothing_and_an_empty_pool_gives_nothing() -> None:
    source = SemiHard(POOL, embeddings=Angles())
    assert list(source.propose([asked(), asked("p at 0")], 1)) == [(), ("r at 22",)]
    assert source.counts["too few"] == 1
    for relative in (None, 0.05):
        empty = SemiHard([], relative_margin=relative, embeddings=Angles())
        assert list(empty.propose([asked("p at 0"), asked()], 1)) == [(), ()]
        assert empty.counts == {"too few": 2}


def test_the_answer_does_not_depend_on_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> Sequence[tuple[str, ...]]:
        return list(SemiHard(POOL, positive="all", embeddings=Angles()).propose(POOL * 3, 3))

    expected = run()
    monkeypatch.setattr(module, "BLOCK", 2)
    assert run() == expected
