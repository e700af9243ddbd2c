"""Which utterances are corrupted for a context, and in what order."""

from collections.abc import Iterable

from pneg.dialogue import Dialogue, normalised
from pneg.negatives.words import content_words, words

MOST = 20
FEWEST_CONTENT_WORDS = 2
RETRIEVED_LONGER_THAN = 7
"""Words."""


def utterances(dialogue: Dialogue, retrieved: Iterable[str]) -> list[str]:
    """The positives, every second turn counting back from the last, what was retrieved; at most 20, none twice.

    Those with fewer than two content words come last.
    """
    distinct: dict[str, str] = {}
    for text in (*dialogue.positives, *dialogue.context[::-2], *retrieved):
        distinct.setdefault(normalised(text), text)
    poor_last = sorted(distinct.values(), key=lambda text: len(content_words(text)) < FEWEST_CONTENT_WORDS)
    return poor_last[:MOST]


def long_enough(response: str) -> bool:
    """Whether a response that is retrieved leaves something to fill."""
    return len(words(response)) > RETRIEVED_LONGER_THAN
