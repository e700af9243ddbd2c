"""The queries of a source of negatives, as arrays: each positive of a context against its first five negatives."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pneg.dialogue import Dialogue
from pneg.selector.candidates import EACH

Numbers = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]

NONE = -1
"""Stands in an array of numbers where a context has fewer texts than the others."""


class Texts:
    """Distinct texts with a number each, so that whatever depends on a text alone is computed once."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        """The number of a text, a new one when it has none yet."""
        number = self._numbers.setdefault(text, len(self.all))
        if number == len(self.all):
            self.all.append(text)
        return number


@dataclass(frozen=True, slots=True)
class Queries:
    """The queries of one source.

    Attributes:
        source: the source of negatives.
        texts: what the numbers stand for; shared by all sources of a file.
        dialogues: those with a positive and a negative of this source.
        groups: a number for each dialogue, equal where contexts are equal, shape (contexts,).
        positives: numbers of texts, `NONE` where there are fewer, shape (contexts, most positives).
        negatives: the same of the first five negatives, shape (contexts, most negatives).
        skipped: dialogues of the file without a positive or without a negative of this source.
    """

    source: str
    texts: Sequence[str]
    dialogues: tuple[Dialogue, ...]
    groups: Numbers
    positives: Numbers
    negatives: Numbers
    skipped: int

    @classmethod
    def of(cls, dialogues: Iterable[Dialogue], source: str, texts: Texts) -> "Queries":
        """The queries of the dialogues that have a positive and a negative of this source."""
        every = list(dialogues)
        taken = tuple(dialogue for dialogue in every if dialogue.positives and dialogue.negatives.get(source))
        groups: dict[tuple[str, ...], int] = {}
        return cls(
            source=source,
            texts=texts.all,
            dialogues=taken,
            groups=np.array([groups.setdefault(dialogue.context, len(groups)) for dialogue in taken], np.int64),
            positives=_numbered([dialogue.positives for dialogue in taken], texts),
            negatives=_numbered([dialogue.negatives[source][:EACH] for dialogue in taken], texts),
            skipped=len(every) - len(taken),
        )

    @property
    def chance(self) -> float:
        """R@1 of a guess, averaged over the queries."""
        per_context = 1.0 / (1.0 + (self.negatives != NONE).sum(1))
        sizes = (self.positives != NONE).sum(1)
        return float((per_context * sizes).sum() / max(1, sizes.sum()))

    def of_texts(self, values: Values) -> tuple[Values, Values]:
        """Values of texts, shape (texts,), in the places of the positives and of the negatives; NaN where is none."""
        padded = np.append(values, np.nan)
        return padded[self.positives], padded[self.negatives]

    def positive_texts(self) -> list[str]:
        """Every positive of every context, repeats included."""
        return [self.texts[number] for number in self.positives[self.positives != NONE].tolist()]

    def negative_texts(self) -> list[str]:
        """Every negative that is ranked against, repeats included."""
        return [self.texts[number] for number in self.negatives[self.negatives != NONE].tolist()]


def _numbered(rows: Sequence[Sequence[str]], texts: Texts) -> Numbers:
    numbers = np.full((len(rows), max(map(len, rows), default=0)), NONE, np.int64)
    for place, row in enumerate(rows):
        numbers[place, : len(row)] = [texts.number(text) for text in row]
    return numbers


def sources_of(dialogues: Iterable[Dialogue]) -> Mapping[str, int]:
    """How many dialogues have negatives of each source, in the order in which the sources occur."""
    counts: dict[str, int] = {}
    for dialogue in dialogues:
        for name, texts in dialogue.negatives.items():
            counts[name] = counts.get(name, 0) + bool(texts)
    return {name: count for name, count in counts.items() if count}
