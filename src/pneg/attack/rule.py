"""What a rule is, and what all rules share."""

import random
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pneg.dialogue import Dialogue
from pneg.negatives.base import Refusals, choose, draws

NO_POSITIVE = "no positive"
NOTHING_LEFT = "nothing left that is no positive or near-copy of one"
NEAR_COPY = "near-copy of a positive"
COPIED = "copy of a turn"
SAME = 0.6
"""Share of the words of two texts together that both have, from which on one is a near-copy of the other."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A dialogue that a rule cannot be applied to.

    Attributes:
        reason: why, in a few words that are the same for every dialogue of the kind.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Material:
    """What rules are made of.

    Attributes:
        pool: dialogues that responses and turns are taken from.
        seed: the same seed gives the same negatives to the dialogue of the same id.
        encoder: name or folder of the encoder that `retrieved-dense` searches with.
    """

    pool: Sequence[Dialogue]
    seed: int = 0
    encoder: str = "minilm-l6"


Candidates = Iterable[str] | LeftOut
Each = Callable[[Dialogue, random.Random], Candidates]
"""Candidates for one dialogue, best first; random numbers are that dialogue's own."""
Stream = Callable[[Iterable[Dialogue], int], Iterator[Candidates]]
"""Candidates for each dialogue, lazily and in order, more than the count where some may be refused."""


class Rule:
    """A rule as a source of negatives: named, seeded, never a positive, no repeats.

    Args:
        name: of the rule, and so of the set it makes.
        stream: its candidates.
        refuse: gives a reason for a candidate that must not be taken, or None.

    Attributes:
        counts: what was refused or is missing, by reason; `too few` counts missing negatives, as in every source.
        left_out: dialogues that got no negative, by reason.
    """

    def __init__(
        self, name: str, stream: Stream, refuse: Callable[[Dialogue, str], str | None] = lambda dialogue, text: None
    ) -> None:
        self.name, self._stream, self._refuse = name, stream, refuse
        self.counts: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()

    def propose(self, dialogues: Iterable[Dialogue], count: int) -> Iterator[tuple[str, ...]]:
        """Give at most `count` negatives for each dialogue; none where the rule cannot be applied."""
        read: deque[Dialogue] = deque()

        def remembered() -> Iterator[Dialogue]:
            for dialogue in dialogues:
                read.append(dialogue)
                yield dialogue

        for candidates in self._stream(remembered(), count):
            dialogue = read.popleft()
            if not dialogue.positives:
                candidates = LeftOut(NO_POSITIVE)
            given = () if isinstance(candidates, LeftOut) else self._allowed(dialogue, candidates)
            chosen = choose(given, count, Refusals.of(dialogue), self.counts)
            if not chosen:
                self.left_out[candidates.reason if isinstance(candidates, LeftOut) else NOTHING_LEFT] += 1
            yield chosen

    def _allowed(self, dialogue: Dialogue, candidates: Iterable[str]) -> Iterator[str]:
        for text in candidates:
            reason = self._refuse(dialogue, text)
            if reason is None:
                yield text
            else:
                self.counts[reason] += 1


def for_each(name: str, seed: int, candidates: Each) -> Stream:
    """The stream of a rule that looks at one dialogue at a time."""

    def stream(dialogues: Iterable[Dialogue], count: int) -> Iterator[Candidates]:
        for dialogue in dialogues:
            yield candidates(dialogue, random_of(seed, name, dialogue))

    return stream


def random_of(seed: int, name: str, dialogue: Dialogue) -> random.Random:
    """Random numbers of a dialogue, told by its id: the same in any file, batch and order."""
    return draws(seed, f"attack/{name}/{dialogue.id}", 0)


@lru_cache(maxsize=4096)
def word_set(text: str) -> frozenset[str]:
    """The distinct words of a text, without case and punctuation."""
    return frozenset(_WORD.findall(text.casefold()))


def human_text(dialogue: Dialogue, text: str) -> str | None:
    """Why a text of people must not be a negative: it nearly is a positive, or stands in the context."""
    words = word_set(text)
    if any(word_set(turn) == words for turn in dialogue.context):
        return COPIED
    return near_copy(dialogue, text)


def near_copy(dialogue: Dialogue, text: str) -> str | None:
    """Why a text is too much like one of the dialogue's positives, or None."""
    words = word_set(text)
    for positive in dialogue.positives:
        others = word_set(positive)
        if len(words & others) >= SAME * len(words | others):
            return NEAR_COPY
    return None
