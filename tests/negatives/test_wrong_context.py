"""Wrong contexts: never the dialogue's own; scripts: the last turns with tags."""

from collections import Counter
from random import Random

import pytest

from pneg import Dialogue
from pneg.errors import DataError
from pneg.negatives.wrong_context import WrongContexts, script

POOL = [Dialogue(str(n), (f"turn {n % 5}",), ("x",)) for n in range(20)]


def test_every_other_context_is_as_likely_and_the_own_one_never_drawn() -> None:
    contexts, generator = WrongContexts(POOL), Random(0)
    drawn = Counter(contexts.draw(POOL[0], generator) for _ in range(4000))
    assert set(drawn) == {(f"turn {n}",) for n in range(1, 5)}
    assert sum((seen - 1000) ** 2 / 1000 for seen in drawn.values()) < 16.27


def test_a_corpus_without_another_context_is_refused() -> None:
    with pytest.raises(DataError, match="no other context to write to; give a larger one"):
        WrongContexts(POOL[:1]).draw(POOL[0], Random(0))


def test_a_script_has_the_last_turns_and_the_tag_of_who_responds() -> None:
    assert script(("one", "two", "three\nlines"), 2) == "A: two\nB: three lines\nA:"
    assert script(("one",), 4) == "A: one\nB:"
