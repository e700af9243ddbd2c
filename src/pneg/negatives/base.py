"""What a source of negatives is, and what all sources share."""

import random
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from pneg.dialogue import Dialogue, normalised

COPY = "copy of a positive"
"""The reason counted for a response that is one of the dialogue's own positives."""
TOO_FEW = "too few"
"""The reason counted, once for each response that is missing, when a source cannot reach the count."""


class NegativeSource(Protocol):
    """What writes, draws or finds negatives."""

    @property
    def name(self) -> str:
        """The key in `Dialogue.negatives`."""
        ...

    @property
    def counts(self) -> Counter[str]:
        """What was refused or is missing, by reason."""
        ...

    def propose(self, dialogues: Iterable[Dialogue], count: int) -> Iterator[tuple[str, ...]]:
        """Give at most `count` responses for each dialogue, lazily and in order.

        Never one of the dialogue's positives and no response twice, as `pneg.dialogue.normalised` sees them.
        """
        ...


def add(source: NegativeSource, dialogues: Iterable[Dialogue], count: int = 5) -> Iterator[Dialogue]:
    """The dialogues with the source's negatives under its name, all other keys as they were."""
    read: deque[Dialogue] = deque()

    def remembered() -> Iterator[Dialogue]:
        for dialogue in dialogues:
            read.append(dialogue)
            yield dialogue

    for responses in source.propose(remembered(), count):
        dialogue = read.popleft()
        yield replace(dialogue, negatives={**dialogue.negatives, source.name: responses})


@dataclass(frozen=True, slots=True)
class Adding:
    """A source as the work of a job that can be stopped: dialogues from a position on get its negatives.

    Args:
        source: what adds them.
        count: responses a dialogue.
    """

    source: NegativeSource
    count: int = 5

    @property
    def counts(self) -> Counter[str]:
        """What the source refused or could not find, by reason."""
        return self.source.counts

    def __call__(self, dialogues: Iterable[Dialogue], first: int) -> Iterator[Dialogue]:
        """The dialogues with the source's negatives; the first of them is at this position of the input."""
        if hasattr(self.source, "first"):  # what is random or is written depends on the position
            self.source.first = first
        return add(self.source, dialogues, self.count)


@dataclass(slots=True)
class Refusals:
    """Chooses responses for one dialogue: no positive of it, none twice.

    Args:
        dialogue: the one the responses are for.
    """

    dialogue: Dialogue
    positives: frozenset[str]
    taken: set[str]

    @classmethod
    def of(cls, dialogue: Dialogue) -> "Refusals":
        """For a dialogue that has no responses of this source yet."""
        return cls(dialogue, frozenset(map(normalised, dialogue.positives)), set())

    def reason(self, response: str) -> str | None:
        """Why a response must not be taken; None, and it counts as taken, when it may."""
        return self.reason_of(normalised(response))

    def reason_of(self, key: str) -> str | None:
        """The same for the normalised form of a response."""
        if key in self.positives:
            return COPY
        if key in self.taken:
            return "duplicate"
        self.taken.add(key)
        return None


def choose(candidates: Iterable[str], count: int, refusals: Refusals, counts: Counter[str]) -> tuple[str, ...]:
    """The first `count` candidates that `refusals` lets through; what it refuses, and what is missing, is counted."""
    chosen: list[str] = []
    for response in candidates if count else ():
        reason = refusals.reason(response)
        if reason is None:
            chosen.append(response)
            if len(chosen) == count:
                break
        else:
            counts[reason] += 1
    if len(chosen) < count:
        counts[TOO_FEW] += count - len(chosen)
    return tuple(chosen)


def draws(seed: int, name: str, position: int) -> random.Random:
    """Random numbers for the dialogue at a position: the same whatever was drawn for others."""
    return random.Random(f"{seed}/{name}/{position}")
