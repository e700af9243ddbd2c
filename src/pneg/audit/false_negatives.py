"""Negatives that may fit: a reference scores them above every positive of their context."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pneg.audit.queries import Queries
from pneg.audit.reading import Score, Scored, contexts_read
from pneg.files import replacing

HISTORY = 4
"""Turns of a context that an encoder reads: what selectors read by default."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A negative that a reference scores above every positive of its context.

    Attributes:
        id: the dialogue's.
        source: the source of the negative.
        context: the turns.
        positive: the positive with the highest score.
        negative: the negative.
        margin: its score less the positive's.
    """

    id: str
    source: str
    context: tuple[str, ...]
    positive: str
    negative: str
    margin: float

    def as_json(self) -> dict[str, Any]:
        """The negative with what it is to be read beside."""
        return {
            "id": self.id,
            "source": self.source,
            "margin": self.margin,
            "context": list(self.context),
            "positive": self.positive,
            "negative": self.negative,
        }


def suspects(queries: Queries, scored: Scored, history: int = HISTORY) -> tuple[Suspect, ...]:
    """The negatives that a reference scores above every positive of their context, the widest margin first.

    Args:
        queries: the source's.
        scored: the reference's scores.
        history: turns it reads.
    """
    positives, negatives = scored.of(queries, contexts_read(queries.dialogues, history))
    best = np.nanargmax(positives, axis=1)
    margins = negatives - np.take_along_axis(positives, best[:, None], 1)
    rows, columns = np.nonzero(margins > 0)
    order = np.argsort(-margins[rows, columns], kind="stable")
    return tuple(
        Suspect(
            id=queries.dialogues[row].id,
            source=queries.source,
            context=queries.dialogues[row].context,
            positive=queries.texts[queries.positives[row, best[row]]],
            negative=queries.texts[queries.negatives[row, column]],
            margin=float(margins[row, column]),
        )
        for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True)
    )


def similarity(encoder: str) -> Score:
    """The cosine similarity of the joined turns and the response, by an untrained encoder.

    Args:
        encoder: a name or folder, as in `minilm-l6`.

    Raises:
        ModelError: when the encoder cannot be found or loaded.
        MissingExtra: without `sentence-transformers`.
    """
    from pneg.audit.profile import Untrained
    from pneg.negatives.embeddings import Embeddings

    return partial(Untrained(Embeddings(encoder)).score, whole=True)


def write(path: Path, every: Sequence[Suspect]) -> None:
    """Write suspects as JSON lines to a file that appears whole or not at all."""
    with replacing(path) as stream:
        for suspect in every:
            stream.write(json.dumps(suspect.as_json(), ensure_ascii=False).encode() + b"\n")
