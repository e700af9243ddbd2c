"""What holds of every source for whatever dialogues: no positive, no repeat, order, the same again in any blocks."""

from collections.abc import Callable, Iterable
from unittest.mock import patch

import pytest
from embedding import Angles
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pneg import Dialogue
from pneg.dialogue import normalised
from pneg.negatives import BM25, Context, Human, NegativeSource, Random, SemiHard, bm25, semi_hard
from pneg.negatives.base import TOO_FEW

Make = Callable[[Iterable[Dialogue], int], NegativeSource]
SOURCES: dict[str, Make] = {
    "random": Random,
    "context": Context,
    "human": lambda pool, seed: Human(),
    "bm25": lambda pool, seed: BM25(pool, threads=2),
    "semi-hard": lambda pool, seed: SemiHard(pool, embeddings=Angles()),
    "semi-hard, all positives": lambda pool, seed: SemiHard(pool, positive="all", embeddings=Angles()),
    "semi-hard, relative": lambda pool, seed: SemiHard(pool, relative_margin=0.05, embeddings=Angles()),
}
WORDS = ("lake", "Lake", "cold", "swim", "the", "é", "42", "7", "180", "!", "?", "\u2003")

texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join).filter(str.strip)
several = st.lists(texts, max_size=4).map(tuple)
dialogues = st.lists(
    st.builds(
        lambda context, positives, human: Dialogue("d", context, positives, {"human": human}),
        st.lists(texts, min_size=1, max_size=3).map(tuple),
        several,
        several,
    ),
    max_size=8,
)
every_source = pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES.keys())
many = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@every_source
@many
@given(asked=dialogues, pool=dialogues, count=st.integers(1, 6), seed=st.integers(0, 3))
def test_no_positive_no_repeat_and_what_is_missing_is_counted(
    make: Make, asked: list[Dialogue], pool: list[Dialogue], count: int, seed: int
) -> None:
    source = make(pool, seed)
    found = list(source.propose(asked, count))
    assert len(found) == len(asked)
    for dialogue, responses in zip(asked, found, strict=True):
        keys = [normalised(text) for text in responses]
        assert len(set(keys)) == len(keys) <= count
        assert not set(keys) & {normalised(text) for text in dialogue.positives}
    assert source.counts[TOO_FEW] == sum(count - len(responses) for responses in found)


@every_source
@many
@given(asked=dialogues, count=st.integers(1, 4), seed=st.integers(0, 3))
def test_the_same_again_in_order_whatever_the_block_and_the_threads(
    make: Make, asked: list[Dialogue], count: int, seed: int
) -> None:
    source = make(asked, seed)
    whole = list(source.propose(asked, count))
    with (
        patch.object(bm25, "BLOCK", 2),
        patch.object(bm25, "ROWS", 1),
        patch.object(semi_hard, "BLOCK", 3),
        patch("pneg.negatives.nearest.ROWS", 1),
        patch("pneg.negatives.nearest.COLUMNS", 3),
    ):
        assert list(make(asked, seed).propose(iter(asked), count)) == whole
    more = list(make(asked, seed).propose(asked, count + 1))
    assert [responses[:count] for responses in more] == whole, "fewer are the beginning of more"


@pytest.mark.parametrize("make", [Random, Context])
@many
@given(asked=dialogues, first=st.integers(0, 8))
def test_a_job_taken_up_at_a_position_goes_on_as_it_would_have(
    make: Callable[..., NegativeSource], asked: list[Dialogue], first: int
) -> None:
    whole = list(make(asked, 1).propose(asked, 3))
    assert list(make(asked, 1, first=first).propose(asked[first:], 3)) == whole[first:]
