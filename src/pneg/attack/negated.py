"""negated: a positive with the polarity of one clause flipped, where something that was said makes that wrong.

A flipped opinion is often as good a response as the opinion. So a clause is flipped only where it then contradicts
the yes or no it explains, the reason that is given for it, what its speaker said before, or courtesy.
"""

import random
import re
from collections.abc import Iterator

from pneg.attack.english.courtesy import discourteous
from pneg.attack.english.language import NOT_ENGLISH, dialogue_is_english
from pneg.attack.english.negation import flipped
from pneg.attack.english.tokens import plain, sentences_of, tokens_of
from pneg.attack.rule import Candidates, LeftOut, Material, Rule, for_each
from pneg.attack.turns import own_turns
from pneg.dialogue import Dialogue

NAME = "negated"
NOTHING = LeftOut("no clause of a positive that would be wrong if it were negated")

SAID_BEFORE = 0.7
"""Share of a clause's content words that a statement must have which it repeats."""

_PARTICLE = re.compile(
    r"^(?P<lead>(?:(?:oh|well|hmm|ah)\b[\s,.!]*)?"
    r"(?:yes|yeah|yep|yup|sure|okay|ok|alright|no|nope|no problem|exactly|i agree|that's right|you're right)\b"
    r"(?:[,\s]*(?:sir|madam|ma'am|dear|please|thanks|thank you|i agree|sure))?\s*[,.!]+\s*)(?P<clause>.+)$",
    re.I | re.S,
)
_ASSENT = re.compile(r"(?:\w+[\s,.!]+)?(?:ok|okay|alright|sure)\b", re.I)
"""What says yes to anything: `Ok, I know` fits as well as `Ok, I don't know`, but `Ok, I won't do it` does not."""
_REASON = re.compile(
    r"^(?P<clause>[^,;:]+?)(?P<reason>,? (?:because|since|so) (?:i|we|he|she|it|they|my|there|the)\b.+)$", re.I | re.S
)
_NEGATED_QUESTION = re.compile(r"n't\b|\bnot\b|\bnever\b|\bmind\b", re.I)
_OPINION = frozenset("like love think want need prefer enjoy hate".split())
_STOP = frozenset(
    "a about am an and are at be been but can can't could did didn't do does doesn't don't for from get going got "
    "had has have i i'd i'll i'm i've in is isn't it it's just like lot me my no not of on one or our really so some "
    "that that's the them there they think this to too very want was we well were what will with won't would yes you "
    "your am not good great go love know time thing things much".split()
)


def rule(material: Material) -> Rule:
    """The rule; it needs no pool."""

    def candidates(dialogue: Dialogue, draw: random.Random) -> Candidates:
        if not dialogue_is_english(dialogue):
            return NOT_ENGLISH
        own = _OwnWords(dialogue)
        made = list(
            dict.fromkeys(text for positive in dialogue.positives for text in _negated(positive, dialogue, own))
        )
        draw.shuffle(made)
        return made or NOTHING

    return Rule(NAME, for_each(NAME, material.seed, candidates))


def _negated(positive: str, dialogue: Dialogue, own: "_OwnWords") -> Iterator[str]:
    """The positive with one clause flipped, each way in which that makes it wrong."""
    text = positive.replace("\u2019", "'")
    if not _NEGATED_QUESTION.search(dialogue.context[-1].replace("\u2019", "'")):
        yield from _after_particle(positive, text)
    sentences = sentences_of(positive)
    for place, sentence in enumerate(sentences):
        for changed in (_before_reason(sentence), discourteous(sentence), own.contradicted_by(sentence)):
            if changed is not None:
                yield " ".join((*sentences[:place], changed, *sentences[place + 1 :]))


def _after_particle(positive: str, text: str) -> Iterator[str]:
    found = _PARTICLE.match(text)
    if found is None:
        return
    lead, rest = positive[: found.end("lead")], positive[found.start("clause") :]
    sentences = sentences_of(rest)
    if _ASSENT.match(lead) and _negative(sentences[0]):
        return
    changed = flipped(sentences[0])
    if changed is not None and not re.search(r"\b(?:but|if|when)\b", sentences[0], re.I):
        yield lead + " ".join((changed, *sentences[1:]))


def _before_reason(sentence: str) -> str | None:
    found = _REASON.match(sentence)
    if found is None or _OPINION & {plain(token) for token in tokens_of(found["clause"])}:
        return None
    changed = flipped(found["clause"])
    return None if changed is None else changed + found["reason"]


class _OwnWords:
    """What the one who responds said before, or has in the persona, read when it is first asked for."""

    def __init__(self, dialogue: Dialogue) -> None:
        self._dialogue = dialogue
        self._statements: list[tuple[set[str], bool]] | None = None

    def contradicted_by(self, sentence: str) -> str | None:
        """The sentence flipped, where a statement says what it says; None elsewhere."""
        changed = flipped(sentence)
        said = set[str]() if changed is None else _content(sentence)
        if len(said) < 2:
            return None
        if self._statements is None:
            texts = (*own_turns(self._dialogue), *self._dialogue.persona)
            parts = [part for text in texts for part in sentences_of(text) if not part.endswith("?")]
            self._statements = [(_content(part), _negative(part)) for part in parts]
        negative = _negative(sentence)
        for words, other in self._statements:
            shared = len(said & words)
            if other == negative and shared >= 2 and shared >= SAID_BEFORE * len(said):
                return changed
        return None


def _content(text: str) -> set[str]:
    """Content words with their endings cut, as far as that is needed to know them again."""
    words = {plain(token) for token in tokens_of(text) if token[0].isalpha()}
    return {re.sub(r"(?:ing|ed|es|s)$", "", word) for word in words - _STOP if len(word) > 2}


def _negative(text: str) -> bool:
    return re.search(r"n['\u2019]t\b|\bnot\b|\bnever\b|\bno\b", text, re.I) is not None
