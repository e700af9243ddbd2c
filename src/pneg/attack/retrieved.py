"""retrieved: the human responses that BM25 ranks first for the context, as a deployed selector gets them.

Left out is what answers a dialogue on the same matter, because it often is an answer to this one too.
"""

from collections.abc import Iterable, Iterator

from pneg.attack.rule import Candidates, LeftOut, Material, Rule
from pneg.attack.topics import Topics, refuse_same_matter
from pneg.dialogue import Dialogue
from pneg.negatives.bm25 import BM25

NAME = "retrieved"
SPARE = 15
"""Responses retrieved beyond the count, for those that are refused."""
NO_WORD = LeftOut("no response of the pool shares a word with the context")


def rule(material: Material) -> Rule:
    """The rule, with an index of the pool's responses."""
    source = BM25(material.pool)

    def stream(dialogues: Iterable[Dialogue], count: int) -> Iterator[Candidates]:
        for responses in source.propose(dialogues, count + SPARE):
            yield responses or NO_WORD

    return Rule(NAME, stream, refuse_same_matter(Topics(material.pool)))
