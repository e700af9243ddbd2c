"""What the sources with a fitted model share: how long a fit is, and in what order contexts are worked on."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from pneg.negatives.written import Device, in_order


def test_a_processors_short_fit_takes_a_learning_rate_of_its_own() -> None:
    small, large = Device("cpu", "float32"), Device("cuda", "bfloat16")
    assert small.fit(5e-5).learning_rate == 2e-4
    assert large.fit(5e-5).learning_rate == 5e-5
    assert (
        small.fit(5e-5, learning_rate=1e-3).learning_rate == large.fit(5e-5, learning_rate=1e-3).learning_rate == 1e-3
    )
    assert (small.fit(5e-5).examples, small.fit(5e-5, examples=0).examples) == (640, 0)


@dataclass
class Steps:
    """Work that takes so many steps."""

    name: str
    left: int


def worked(lengths: Sequence[int], ahead: int) -> tuple[list[str], list[str]]:
    """What was given, and what was advanced, each time."""
    advanced: list[str] = []

    def advance(works: list[Steps]) -> None:
        advanced.append("".join(work.name for work in works))
        for work in works:
            work.left -= 1

    given = in_order(
        zip("abcdefgh", lengths, strict=False),
        lambda some: [Steps(*item) for item in some],
        lambda work: work.left == 0,
        advance,
        ahead,
    )
    return [work.name for work in given], advanced


def test_new_ones_are_begun_when_half_are_done_and_each_leaves_in_order() -> None:
    """One first, then two, then four: d to g beside b, when c is done, and h beside d, when the others are."""
    assert worked([1, 2, 1, 3, 1, 1, 1, 1], 4) == (list("abcdefgh"), ["a", "bc", "bdefg", "dh", "d"])


def test_while_many_wait_for_one_no_new_ones_are_begun() -> None:
    """a holds up b and c: d and e are begun once it is done."""
    assert worked([4, 1, 1, 1, 1, 1, 1, 1], 2) == (list("abcdefgh"), ["a", "abc", "a", "a", "de", "fg", "h"])


@pytest.mark.parametrize("ahead", [1, 2, 3, 100])
def test_nothing_to_do_takes_no_step(ahead: int) -> None:
    assert worked([0, 0, 0], ahead) == (["a", "b", "c"], [])
    assert worked([], ahead) == ([], [])


def test_one_is_given_before_those_behind_it_are_done() -> None:
    works = in_order(
        [1, 3], lambda some: [Steps(str(left), left) for left in some], lambda work: work.left <= 0, _one_step, 2
    )
    assert next(works).name == "1"
    assert next(works).left == 0


def _one_step(works: list[Steps]) -> None:
    for work in works:
        work.left -= 1
