"""repeated-turn: the one who responds says again what they said before, slightly reworded."""

import random
import re

from pneg.attack.english.language import NOT_ENGLISH, dialogue_is_english
from pneg.attack.english.tokens import sentences_of
from pneg.attack.rule import Candidates, LeftOut, Material, Rule, for_each, near_copy
from pneg.attack.turns import asks_again, own_turns, says_something
from pneg.dialogue import Dialogue

NAME = "repeated-turn"
ASKED = LeftOut("the last turn asks to say something again")
NO_OWN = LeftOut("the one who responds has said nothing before")
SHORT = LeftOut("no own turn that says enough to be wrong")

_LONG = {
    "i'm": "i am", "you're": "you are", "we're": "we are", "they're": "they are", "i've": "i have", "i'll": "i will",
    "you'll": "you will", "it's": "it is", "that's": "that is", "isn't": "is not", "don't": "do not",
    "can't": "cannot", "doesn't": "does not", "didn't": "did not", "won't": "will not",
}  # fmt: skip
_OTHERWISE = _LONG | {long: short for short, long in _LONG.items()}
_CONTRACTION = re.compile(rf"(?<![\w'])(?:{'|'.join(map(re.escape, _OTHERWISE))})(?![\w'])(?!\s*[.!?,]?$)", re.I)
"""A contraction or what it stands for, not at the end, where `Yes, I'm.` would be wrong."""
_LEAD = re.compile(r"^(?:well|oh|yes|yeah|no|okay|ok|so|and|but|hmm|ah|hey|hi|hello)\b[\s,.!]+(?=\w)", re.I)


def rule(material: Material) -> Rule:
    """The rule; a longer turn is said again in part, one or two words are put otherwise."""

    def candidates(dialogue: Dialogue, draw: random.Random) -> Candidates:
        own = own_turns(dialogue)
        if not own:
            return NO_OWN
        if asks_again(dialogue):
            return ASKED
        if not dialogue_is_english(dialogue):
            return NOT_ENGLISH
        made = [text for turn in own if says_something(text := reworded(turn, draw))]
        return made or SHORT

    return Rule(NAME, for_each(NAME, material.seed, candidates), near_copy)


def reworded(turn: str, draw: random.Random) -> str:
    """A turn said again: its fullest sentence, without what led it in, a contraction opened or closed."""
    sentences = [sentence for sentence in sentences_of(turn) if says_something(sentence)]
    text = draw.choice(sentences) if sentences else turn
    lead = _LEAD.match(text)
    if lead:
        text = _with_first_of(text, text[lead.end() :])
    return _CONTRACTION.sub(_otherwise, text.replace("\u2019", "'"), count=1)


def _otherwise(found: re.Match[str]) -> str:
    word = _OTHERWISE[found[0].lower()]
    if found[0].startswith("I") and word.startswith("i") and word[1:2] in (" ", "'"):
        return "I" + word[1:]
    return _with_first_of(found[0], word)


def _with_first_of(model: str, text: str) -> str:
    return text[0].upper() + text[1:] if model[0].isupper() else text
