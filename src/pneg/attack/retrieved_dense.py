"""retrieved-dense: the human responses whose embedding is nearest to that of the context.

As in `retrieved`, what answers a dialogue on the same matter is left out.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np

from pneg.attack.rule import Candidates, LeftOut, Material, Rule
from pneg.attack.topics import Topics, refuse_same_matter
from pneg.dialogue import Dialogue
from pneg.negatives.embeddings import Embeddings
from pneg.negatives.nearest import nearest
from pneg.negatives.other_turns import SHOWN

NAME = "retrieved-dense"
BLOCK = 1024
"""Dialogues read at a time."""
SPARE = 45
"""Responses searched beyond the count and the positives, for those that are refused."""
EMPTY = LeftOut("the pool has no responses")


def rule(material: Material, embeddings: Embeddings | None = None) -> Rule:
    """The rule; the pool's responses are embedded once and kept in the cache.

    Args:
        material: its encoder is loaded unless embeddings are given.
        embeddings: of texts.

    Raises:
        ModelError: when the encoder cannot be found.
        MissingExtra: without `sentence-transformers`.
    """
    embeddings = embeddings or Embeddings(material.encoder)
    responses = list(dict.fromkeys(text for dialogue in material.pool for text in dialogue.positives))
    vectors = embeddings.of(responses)

    def stream(dialogues: Iterable[Dialogue], count: int) -> Iterator[Candidates]:
        remaining = iter(dialogues)
        while block := list(islice(remaining, BLOCK)):
            if not responses:
                yield from [EMPTY] * len(block)
                continue
            queries = embeddings.of([" ".join(dialogue.context[-SHOWN:]) for dialogue in block])
            depth = count + SPARE + max(len(dialogue.positives) for dialogue in block)
            everything = np.full(len(block), 2.0, np.float32)
            for ranked in nearest(queries, vectors, everything, depth, embeddings.device):
                yield [responses[number] for number in ranked.numbers]

    return Rule(NAME, stream, refuse_same_matter(Topics(material.pool)))
