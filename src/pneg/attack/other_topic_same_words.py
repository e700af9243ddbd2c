"""other-topic-same-words: a human response that shares rare words with the context and comes from another topic.

The topic of a response is told without a model. BM25 proposes responses. Those are kept whose own dialogue, the
shared words left out, has next to no rare word in common with this one, and which say something of that topic
themselves: `When is the party?` is of another dialogue and fits every party, `The party won the election` does not.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from pneg.attack.rule import Candidates, LeftOut, Material, Rule, human_text
from pneg.attack.topics import Topics, stems_of
from pneg.dialogue import Dialogue
from pneg.negatives.bm25 import BM25

NAME = "other-topic-same-words"
PROPOSED = 60
"""Responses that BM25 proposes for a dialogue."""
FOREIGN = 2
"""Rare words that a response must have and the dialogue not."""
FAR = 0.05
"""Cosine of the rare words of two dialogues, up to which their topics are taken to be others."""
NO_WORD = LeftOut("no response of the pool shares a word with the context")
SAME_TOPIC = LeftOut("no response that shares a rare word is clearly of another topic")


def rule(material: Material) -> Rule:
    """The rule, with an index of the pool's responses and the topic of each."""
    source = BM25(material.pool)
    topics = Topics(material.pool)

    def stream(dialogues: Iterable[Dialogue], count: int) -> Iterator[Candidates]:
        read: deque[Dialogue] = deque()

        def remembered() -> Iterator[Dialogue]:
            for dialogue in dialogues:
                read.append(dialogue)
                yield dialogue

        for responses in source.propose(remembered(), PROPOSED):
            dialogue = read.popleft()
            yield (_far(topics, dialogue, responses) or SAME_TOPIC) if responses else NO_WORD

    return Rule(NAME, stream, human_text)


def _far(topics: Topics, dialogue: Dialogue, responses: Sequence[str]) -> list[str]:
    """The responses that share a rare word with the context and are of another topic, in their order."""
    context, topic = stems_of(" ".join(dialogue.context)), topics.topic(dialogue)
    chosen = []
    for text in responses:
        rare = topics.rare(text)
        shared = rare & context
        if shared and len(rare - topic.weights.keys()) >= FOREIGN and topics.nearness(topic, text, shared) < FAR:
            chosen.append(text)
    return chosen
