"""The sources that a corpus alone allows, by name: what `pneg negatives all` goes through, in this order."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from pneg.dialogue import Dialogue
from pneg.negatives.base import NegativeSource
from pneg.negatives.bm25 import BM25
from pneg.negatives.context import Context
from pneg.negatives.human import Human
from pneg.negatives.random import Random
from pneg.negatives.semi_hard import SemiHard


@dataclass(frozen=True, slots=True)
class Listed:
    """A source with its defaults.

    Attributes:
        make: the source, of the corpus that it draws from and a seed.
        human: whether it needs human negatives.
    """

    make: Callable[[Iterable[Dialogue], int], NegativeSource]
    human: bool = False


CATALOGUE: Mapping[str, Listed] = {
    "human": Listed(lambda pool, seed: Human(), human=True),
    "random": Listed(Random),
    "context": Listed(Context),
    "bm25": Listed(lambda pool, seed: BM25(pool)),
    "semi-hard": Listed(lambda pool, seed: SemiHard(pool)),
}


def allowed(dialogues: Iterable[Dialogue]) -> list[str]:
    """The names of the sources that these dialogues allow: `human` where any has human negatives, and the others."""
    human = any(dialogue.negatives.get("human") for dialogue in dialogues)
    return [name for name, listed in CATALOGUE.items() if human or not listed.human]
