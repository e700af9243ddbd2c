"""The sources that a corpus alone allows, by name: what `pneg negatives all` goes through, in this order."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from pneg.dialogue import Dialogue
from pneg.negatives.base import NegativeSource
from pneg.negatives.bm25 import BM25
from pneg.negatives.context import Context
from pneg.negatives.human import Human
from pneg.negatives.key_sem import KeySem
from pneg.negatives.mask_and_fill import MaskAndFill
from pneg.negatives.random import Random
from pneg.negatives.semi_hard import SemiHard


@dataclass(frozen=True, slots=True)
class Listed:
    """A source with its defaults.

    Attributes:
        make: the source, of the corpus that it draws from and a seed.
        human: whether it needs human negatives.
        fitted: what the language model is called that it fits to the corpus first; empty where it fits none.
    """

    make: Callable[[Iterable[Dialogue], int], NegativeSource]
    human: bool = False
    fitted: str = ""


CATALOGUE: Mapping[str, Listed] = {
    "human": Listed(lambda pool, seed: Human(), human=True),
    "random": Listed(Random),
    "context": Listed(Context),
    "bm25": Listed(lambda pool, seed: BM25(pool)),
    "semi-hard": Listed(lambda pool, seed: SemiHard(pool)),
    "mask-and-fill": Listed(lambda pool, seed: MaskAndFill(pool, seed=seed), fitted="infilling"),
    "key-sem": Listed(lambda pool, seed: KeySem(pool, seed=seed), fitted="keyword"),
}


def allowed(dialogues: Iterable[Dialogue]) -> list[str]:
    """The names of the sources that these dialogues allow.

    `human` is among them where any has human negatives, those that write to another context where there is one.
    """
    human, contexts = False, set[tuple[str, ...]]()
    for dialogue in dialogues:
        human = human or bool(dialogue.negatives.get("human"))
        if len(contexts) < 2:
            contexts.add(dialogue.context)
    return [
        name
        for name, listed in CATALOGUE.items()
        if (human or not listed.human) and (len(contexts) > 1 or not listed.fitted)
    ]
