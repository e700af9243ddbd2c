"""Which spans of a response are masked: a sentence, a word, or some words in a row (Donahue et al. 2020)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random as Generator

from pneg.negatives.words import sentences

_UNIT = re.compile(r"\w+(?:['\u2019]\w+)*|[^\w\s]")
TRIES = 4
"""Draws for each masked version wanted: some mask nothing, and short texts soon repeat themselves."""

Span = tuple[int, int]
"""Where in the text a masked stretch begins and ends."""


@dataclass(frozen=True, slots=True)
class Masking:
    """How likely each unit is masked; what is masked as a whole is not looked into.

    Attributes:
        whole: the response.
        sentence: each sentence.
        word: each word or punctuation mark.
        ngram: a masked word takes those behind it along.
        longest: words masked then, uniformly from 1; they end with the sentence.
    """

    whole: float
    sentence: float
    word: float
    ngram: float
    longest: int = 8


TRAINING = Masking(whole=0.15, sentence=0.15, word=0.15, ngram=0.8)
GENERATION = Masking(whole=0.0, sentence=0.25, word=0.25, ngram=0.5)


def spans(text: str, masking: Masking, generator: Generator) -> tuple[Span, ...]:
    """Draw what is masked, in the order of the text."""
    if generator.random() < masking.whole:
        return ((0, len(text)),)
    found: list[Span] = []
    for start, end in sentences(text):
        if generator.random() < masking.sentence:
            found.append((start, end))
        else:
            found += _in_sentence(text, start, end, masking, generator)
    return tuple(found)


def _in_sentence(text: str, start: int, end: int, masking: Masking, generator: Generator) -> list[Span]:
    units = [unit.span() for unit in _UNIT.finditer(text, start, end)]
    found, place = [], 0
    while place < len(units):
        if generator.random() < masking.word:
            several = generator.random() < masking.ngram
            last = min(place + (generator.randint(1, masking.longest) if several else 1), len(units)) - 1
            found.append((units[place][0], units[last][1]))
            place = last + 1
        else:
            place += 1
    return found


def versions(
    text: str, masking: Masking, generator: Generator, most: int, pure: bool = True
) -> list[tuple[Span, ...]]:
    """Draw different masked versions of a text.

    Args:
        text: the response.
        masking: how likely what is masked.
        generator: of random numbers.
        most: versions wanted; a short text has fewer.
        pure: whether one may be nothing but blanks.
    """
    found: dict[tuple[Span, ...], None] = {}
    for _ in range(most * TRIES):
        if len(found) == most:
            break
        drawn = spans(text, masking, generator)
        if drawn and (pure or any(_UNIT.search(text, *gap) for gap in _left(text, drawn))):
            found[drawn] = None
    return list(found)


def _left(text: str, masked: Sequence[Span]) -> list[Span]:
    ends = [0, *(end for _, end in masked)]
    starts = [*(start for start, _ in masked), len(text)]
    return list(zip(ends, starts, strict=True))


def kept(text: str, masked: Sequence[Span]) -> list[str]:
    """What is before, between and behind the masked stretches, one more than there are."""
    return [text[start:end] for start, end in _left(text, masked)]


def replaced(text: str, masked: Sequence[Span], by: Sequence[str]) -> str:
    """The text with other words in the place of what is masked."""
    pieces = kept(text, masked)
    return pieces[0] + "".join(word + piece for word, piece in zip(by, pieces[1:], strict=True))
