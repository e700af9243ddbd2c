"""What all sources share: one key of their own, no positive, no repeat, order, laziness."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar

import pytest
from embedding import Angles

from pneg import Dialogue
from pneg.dialogue import normalised
from pneg.negatives import BM25, Context, Human, NegativeSource, Random, SemiHard, add
from pneg.negatives.base import Refusals, draws

NOISY = [
    Dialogue(
        f"d{n}",
        (f"turn {n % 3}", "Yes.", f"fine {n % 4}"),
        (f"fine {n % 4}!", "YES", f"answer {n}"),
        {"human": ("yes", f"Human {n}.", f"human  {n}", f"other {n}"), "key-sem": (f"kept {n}",)},
        (f"persona {n}",),
    )
    for n in range(30)
]
Make = Callable[[Iterable[Dialogue], int], NegativeSource]
LAZY: dict[str, Make] = {
    "random": Random,
    "context": Context,
    "human": lambda pool, seed: Human(),
}
SOURCES: dict[str, Make] = {
    **LAZY,
    "bm25": lambda pool, seed: BM25(pool),
    "semi-hard": lambda pool, seed: SemiHard(pool, embeddings=Angles(7)),
    "semi-hard, all positives": lambda pool, seed: SemiHard(pool, positive="all", embeddings=Angles(7)),
    "semi-hard, relative": lambda pool, seed: SemiHard(pool, relative_margin=0.05, embeddings=Angles(7)),
}
every_source = pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES.keys())
lazy_source = pytest.mark.parametrize("make", LAZY.values(), ids=LAZY.keys())
drawn_source = pytest.mark.parametrize("make", [Random, Context])


@every_source
def test_no_response_is_a_positive_or_written_twice_as_normalised(make: Make) -> None:
    for dialogue, responses in zip(NOISY, make(NOISY, 0).propose(NOISY, 4), strict=True):
        compared = [normalised(text) for text in responses]
        assert len(set(compared)) == len(compared) > 0
        assert not set(compared) & {normalised(text) for text in dialogue.positives}


@every_source
def test_only_the_sources_own_key_is_touched_and_order_is_kept(make: Make) -> None:
    source = make(NOISY, 0)
    added = list(add(source, NOISY, 2))
    assert [dialogue.id for dialogue in added] == [dialogue.id for dialogue in NOISY]
    for before, after in zip(NOISY, added, strict=True):
        assert len(after.negatives[source.name]) == 2
        others = {name: texts for name, texts in before.negatives.items() if name != source.name}
        assert {name: texts for name, texts in after.negatives.items() if name != source.name} == others
        assert (after.context, after.positives, after.persona) == (
            before.context,
            before.positives,
            before.persona,
        )
    assert "random" not in NOISY[0].negatives, "what was given is left as it was"


@lazy_source
def test_a_dialogue_is_given_back_before_the_next_is_asked_for(make: Make) -> None:
    asked = 0

    def counted() -> Iterator[Dialogue]:
        nonlocal asked
        for dialogue in NOISY:
            asked += 1
            yield dialogue

    added = add(make(NOISY, 0), counted(), 2)
    assert [next(added).id for _ in range(3)] == ["d0", "d1", "d2"]
    assert asked == 3


@drawn_source
def test_the_same_seed_gives_the_same_whatever_comes_after_and_another_seed_other_responses(
    make: Make,
) -> None:
    whole = list(make(NOISY, 1).propose(NOISY, 5))
    assert list(make(NOISY, 1).propose(NOISY, 5)) == whole
    assert list(make(NOISY, 1).propose(NOISY[:7], 5)) == whole[:7]
    assert list(make(NOISY, 2).propose(NOISY, 5)) != whole


@drawn_source
def test_asking_for_fewer_gives_the_beginning_of_what_more_would_be(make: Make) -> None:
    more = make(NOISY, 0).propose(NOISY, 5)
    fewer = make(NOISY, 0).propose(NOISY, 3)
    assert [responses[:3] for responses in more] == list(fewer)


@drawn_source
def test_numbers_are_drawn_anew_from_the_1024th_dialogue_on(make: Callable[..., NegativeSource]) -> None:
    """Of 5,000 responses and 50 turns no ten dialogues in a row get the same by chance."""
    pool = [Dialogue(str(n), ("x",), (f"response {n}",)) for n in range(5000)]
    asked = [Dialogue("a", tuple(f"turn {n}" for n in range(50)), ("fits",))] * 1034
    whole = list(make(pool, 0).propose(asked, 2))
    assert list(make(pool, 0, first=1024).propose(asked[1024:], 2)) == whole[1024:]
    assert all(
        [responses[place] for responses in whole[1024:]] != [responses[place] for responses in whole[:10]]
        for place in (0, 1)
    )


def test_refusals_say_why() -> None:
    refusals = Refusals.of(Dialogue("a", ("x",), ("Fine.",)))
    assert [refusals.reason(text) for text in ("fine", "Bad!", "bad", "good")] == [
        "copy of a positive",
        None,
        "duplicate",
        None,
    ]


def test_random_numbers_differ_by_seed_source_and_position() -> None:
    keys = [(seed, name, position) for seed in (0, 1) for name in ("a", "b") for position in (0, 1, 11)]
    assert len({draws(*key).random() for key in keys}) == len(keys)
    assert draws(0, "a", 1).random() == draws(0, "a", 1).random()


def test_a_source_may_read_ahead_and_each_gets_its_own() -> None:
    class Ahead:
        name = "ahead"
        counts: ClassVar[Counter[str]] = Counter()

        def propose(self, dialogues: Iterable[Dialogue], count: int) -> Iterator[tuple[str, ...]]:
            for dialogue in list(dialogues):
                yield (f"for {dialogue.id}",) * count

    added = add(Ahead(), NOISY[:3], 1)
    assert [(found.id, found.negatives["ahead"]) for found in added] == [
        ("d0", ("for d0",)),
        ("d1", ("for d1",)),
        ("d2", ("for d2",)),
    ]
