"""wrong-speaker: what one of the two says, with first and second person swapped, so that the other one says it."""

import random
import re

from pneg.attack.english.language import NOT_ENGLISH, dialogue_is_english
from pneg.attack.english.persons import swapped_persons
from pneg.attack.rule import Candidates, LeftOut, Material, Rule, for_each
from pneg.attack.turns import own_turns
from pneg.dialogue import Dialogue

NAME = "wrong-speaker"
NO_PERSON = LeftOut("no first or second person in a positive or an own turn")
_EITHER_WAY = re.compile(
    r"\b(?:can|could|may|shall|should|let|would) (?:i|you|me) (?:please )?"
    r"(?:help|meet|talk|join|call|speak|know|ask|get|have|see|try|find|take|go|pay|do)\b|"
    r"\b(?:i|you)(?:'ll| will| can| could) (?:help|call|meet|join|see)\b|\blike (?:me|you)\b|"
    r"\bhow (?:are|about) you\b|\b(?:how much|what) (?:is|are|was) (?:my|your)\b|\bhere (?:is|are) (?:my|your)\b",
    re.I,
)
"""What either of the two may say."""


def rule(material: Material) -> Rule:
    """The rule; positives first, then earlier statements of the one who responds."""

    def candidates(dialogue: Dialogue, draw: random.Random) -> Candidates:
        if not dialogue_is_english(dialogue):
            return NOT_ENGLISH
        positives, own = list(dialogue.positives), [turn for turn in own_turns(dialogue) if "?" not in turn]
        draw.shuffle(positives)
        draw.shuffle(own)
        texts = [text for text in (*positives, *own) if not _EITHER_WAY.search(text.replace("\u2019", "'"))]
        made = [changed for text in texts if (changed := swapped_persons(text)) is not None]
        return made or NO_PERSON

    return Rule(NAME, for_each(NAME, material.seed, candidates))
