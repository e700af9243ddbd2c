"""Which filled responses are taken: those that say something new and are unlike each other."""

from collections.abc import Iterable, Sequence

from pneg.negatives.words import content_words, words

FEWEST_NEW = 3
"""Content words that no single positive or turn may share with the response."""
LIMITS = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Word overlap with those chosen stays below this, one limit a round."""


def new_content_words(response: str, others: Iterable[str]) -> int:
    """The fewest content words that the response has and another text has not, over all the others."""
    own = set(content_words(response))
    return min((len(own.difference(words(other))) for other in others), default=len(own))


def overlap(words_of: frozenset[str], chosen: frozenset[str]) -> float:
    """Words that a response shares with one that was chosen, over twice the latter's words and one."""
    return len(words_of & chosen) / (2 * len(chosen) + 1)


def diverse(responses: Sequence[str], most: int, limits: Sequence[float] = LIMITS) -> list[str]:
    """Choose greedily, in the order given, again with each limit, those that overlap little with the chosen ones.

    What the first limit lets through does not depend on the responses behind it.
    """
    sets = [frozenset(words(response)) for response in responses]
    chosen: dict[int, None] = {}
    for limit in limits:
        for number, own in enumerate(sets):
            if len(chosen) == most:
                return [responses[place] for place in chosen]
            if number not in chosen and all(overlap(own, sets[place]) < limit for place in chosen):
                chosen[number] = None
    return [responses[place] for place in chosen]
