"""Human negatives: the corpus's own, in order."""

from pneg import Dialogue
from pneg.negatives import Human, add

GIVEN = Dialogue("a", ("x",), ("Fine.",), {"human": ("one", "FINE", "One.", "two", "three"), "random": ("r",)})


def test_the_first_are_taken_in_order_less_copies_and_repeats() -> None:
    source = Human()
    assert list(source.propose([GIVEN], 2)) == [("one", "two")]
    assert source.counts == {"copy of a positive": 1, "duplicate": 1}


def test_what_a_corpus_lacks_is_counted() -> None:
    source = Human()
    assert list(source.propose([GIVEN, Dialogue("b", ("x",), ())], 5)) == [("one", "two", "three"), ()]
    assert source.counts["too few"] == 2 + 5


def test_only_the_own_key_is_replaced() -> None:
    [found] = add(Human(), [GIVEN], 1)
    assert found.negatives == {"human": ("one",), "random": ("r",)}
