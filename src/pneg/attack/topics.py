"""The topics of dialogues, told by their rare words: whether a response comes from a dialogue on the same matter."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache
from math import log

from pneg.attack.rule import human_text
from pneg.dialogue import Dialogue

RARE = 0.02
"""Words in a larger share of the pool's dialogues tell no topic; in a small pool, words in more than `AT_LEAST`."""
AT_LEAST = 10
SAME_MATTER = 0.25
"""Cosine of the rare words of two dialogues, from which on a response of one may well fit the other."""
SAME = "from a dialogue on the same matter"

_WORD = re.compile(r"[^\W\d_]{3,}")
_ENDING = re.compile(r"(?<=\w{3})(?:ing|ed|es|s)$")


class Topics:
    """The rare words of each dialogue of a pool, weighted, and the dialogues that each response stands in.

    Args:
        pool: dialogues with their responses.
    """

    def __init__(self, pool: Sequence[Dialogue]) -> None:
        stems = list(map(_stems_in, pool))
        frequencies = Counter(stem for each in stems for stem in each)
        most = max(AT_LEAST, RARE * len(pool))
        self._weights = {stem: log(1 + len(pool) / n) for stem, n in frequencies.items() if n <= most}
        self._topics = [self._weighed(each) for each in stems]
        self._responses: dict[str, frozenset[str]] = {}
        self._dialogues: dict[str, list[int]] = {}
        for number, dialogue in enumerate(pool):
            for text in dialogue.positives:
                self._dialogues.setdefault(text, []).append(number)

    def topic(self, dialogue: Dialogue) -> "Topic":
        """The topic of a dialogue, whether or not the pool holds it."""
        return self._weighed(_stems_in(dialogue))

    def rare(self, text: str) -> frozenset[str]:
        """The rare words of a response, as stems."""
        if text not in self._responses:
            self._responses[text] = frozenset(stem for stem in stems_of(text) if stem in self._weights)
        return self._responses[text]

    def nearness(self, topic: "Topic", response: str, without: Collection[str] = ()) -> float:
        """The highest cosine between a topic and those of the dialogues that a response of the pool stands in.

        Args:
            topic: of the dialogue that the response may be given to.
            response: a positive of the pool.
            without: stems that do not count.
        """
        return max((topic.cosine(self._topics[n], without) for n in self._dialogues.get(response, ())), default=0.0)

    def _weighed(self, stems: Iterable[str]) -> "Topic":
        return Topic({stem: self._weights[stem] for stem in stems if stem in self._weights})


class Topic:
    """Rare words with their weights."""

    __slots__ = ("length", "weights")

    def __init__(self, weights: dict[str, float]) -> None:
        self.weights = weights
        self.length = sum(weight * weight for weight in weights.values()) ** 0.5

    def cosine(self, other: "Topic", without: Collection[str] = ()) -> float:
        """The cosine with another topic, some stems left out of the product."""
        shared = self.weights.keys() & other.weights.keys()
        product = sum(self.weights[stem] * other.weights[stem] for stem in shared if stem not in without)
        return product / (self.length * other.length) if product else 0.0


def _stems_in(dialogue: Dialogue) -> set[str]:
    return stems_of(" ".join((*dialogue.context, *dialogue.positives)))


def stems_of(text: str) -> set[str]:
    """The distinct words of a text with a plural or a past cut off, so that `dogs` is the word `dog`."""
    return set(map(_stem, _WORD.findall(text.lower())))


@lru_cache(maxsize=1 << 16)
def _stem(word: str) -> str:
    return _ENDING.sub("", word)


def refuse_same_matter(topics: Topics) -> Callable[[Dialogue, str], str | None]:
    """A refusal of near-copies and copied turns, and of what answers a dialogue on the same matter: it likely fits.

    Args:
        topics: of the pool that the responses come from.
    """

    # the candidates of a dialogue come one after the other, so its topic is told once
    @lru_cache(maxsize=1)
    def topic(dialogue: Dialogue) -> Topic:
        return topics.topic(dialogue)

    def refuse(dialogue: Dialogue, text: str) -> str | None:
        reason = human_text(dialogue, text)
        if reason is None and topics.nearness(topic(dialogue), text) >= SAME_MATTER:
            return SAME
        return reason

    return refuse
