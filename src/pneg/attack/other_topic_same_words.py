"""other-topic-same-words: a human response that shares rare words with the context and comes from another topic.

The topic of a response is told without a model. BM25 proposes responses. Those are kept whose own dialogue, the shared
words left out, has next to no rare word in common with this one, and which say something of that topic themselves: `When
is the party?` is of another dialogue and fits every party, `The party won the election` does not.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from math import log

from pneg.attack.rule import Candidates, LeftOut, Material, Rule, human_text
from pneg.dialogue import Dialogue
from pneg.negatives.bm25 import BM25

NAME = "other-topic-same-words"
PROPOSED = 60
"""Responses that BM25 proposes for a dialogue."""
FOREIGN = 2
"""Rare words that a response must have and the context not."""
RARE = 0.02
"""Words in a larger share of the pool's dialogues tell no topic; in a small pool, words in more than `AT_LEAST`."""
AT_LEAST = 10
NEAR = 0.05
"""Cosine of two contexts' rare words, from which on their topics are taken to be the same."""
FEW = LeftOut("fewer than two topics in the pool, so none is another")
NO_WORD = LeftOut("no response of the pool shares a word with the context")
SAME_TOPIC = LeftOut("no response that shares a rare word is clearly of another topic")

_WORD = re.compile(r"[^\W\d_]{3,}")


def rule(material: Material) -> Rule:
    """The rule, with an index of the pool's responses and the topic of each."""
    source = BM25(material.pool)
    topics = _Topics(material.pool)

    def stream(dialogues: Iterable[Dialogue], count: int) -> Iterator[Candidates]:
        asked: list[Dialogue] = []

        def remembered() -> Iterator[Dialogue]:
            for dialogue in dialogues:
                asked.append(dialogue)
                yield dialogue

        for place, responses in enumerate(source.propose(remembered(), PROPOSED)):
            dialogue = asked[place]
            asked[place] = _DONE
            yield topics.far(dialogue, responses) if responses else NO_WORD

    return Rule(NAME, stream, human_text)


_DONE = Dialogue("", (".",), ())


class _Topics:
    """The rare words of each dialogue of a pool, weighted, and the dialogues that each response stands in."""

    def __init__(self, pool: Sequence[Dialogue]) -> None:
        texts = [_stems(" ".join((*dialogue.context, *dialogue.positives))) for dialogue in pool]
        frequencies = Counter(stem for stems in texts for stem in stems)
        most = max(AT_LEAST, RARE * len(pool))
        self._weights = {
            stem: log(1 + len(pool) / count) for stem, count in frequencies.items() if count <= most
        }
        self._of = [self._rare(stems) for stems in texts]
        self._stems: dict[str, set[str]] = {}
        self._dialogues: dict[str, list[int]] = {}
        for number, dialogue in enumerate(pool):
            for text in dialogue.positives:
                self._dialogues.setdefault(text, []).append(number)

    def _rare(self, stems: Iterable[str]) -> dict[str, float]:
        return {stem: self._weights[stem] for stem in stems if stem in self._weights}

    def _stems_of(self, text: str) -> set[str]:
        if text not in self._stems:
            self._stems[text] = _stems(text)
        return self._stems[text]

    def far(self, dialogue: Dialogue, responses: Sequence[str]) -> Candidates:
        """The responses that share a rare word with the context and whose own dialogues are of another topic.

        Args:
            dialogue: the one to find negatives for.
            responses: what shares any word, best first.
        """
        context = self._rare(_stems(" ".join(dialogue.context)))
        topic = context | self._rare(_stems(" ".join(dialogue.positives)))
        length = _length(topic)
        chosen: list[str] = []
        for text in responses:
            stems = self._stems_of(text)
            shared = stems & context.keys()
            foreign = {stem for stem in stems - topic.keys() if stem in self._weights}
            if shared and len(foreign) >= FOREIGN and all(
                _cosine(topic, length, self._of[number], shared) < NEAR for number in self._dialogues[text]
            ):
                chosen.append(text)
        return chosen or SAME_TOPIC


def _cosine(one: dict[str, float], length: float, other: dict[str, float], without: set[str]) -> float:
    """The cosine of two weighted sets of words, some words left out of the product."""
    product = sum(one[stem] * weight for stem, weight in other.items() if stem in one and stem not in without)
    return product / (length * _length(other)) if product else 0.0


def _length(of: dict[str, float]) -> float:
    return sum(weight * weight for weight in of.values()) ** 0.5


def _stems(text: str) -> set[str]:
    """The distinct words of a text with a plural or a past cut off, so that `dogs` is the word `dog`."""
    return {re.sub(r"(?<=\w{3})(?:ing|ed|es|s)$", "", word) for word in _WORD.findall(text.lower())}
