"""swapped-entity: a positive in which a name, number or day that the dialogue settles is another one.

The entity must be named by the context or the persona, and is swapped for something that neither these nor the
positive name. That alone still fits too often: `I have exams on Thursday` answers `Do you play on Wednesday?` too. So
an open choice is left alone, a number must count the same in both places, and what is no name must be referred to as
something known. Behind the positives come statements that the one who responds made before, with a name or number
swapped: said again in that way they contradict their speaker.
"""

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pneg.attack.english.entities import COUNTS, NAMES, Entity, entities_of, key_of, others_of
from pneg.attack.english.language import NOT_ENGLISH, dialogue_is_english
from pneg.attack.english.tokens import sentences_of
from pneg.attack.rule import Candidates, LeftOut, Material, Rule, for_each
from pneg.attack.turns import own_turns
from pneg.dialogue import Dialogue

NAME = "swapped-entity"
NOTHING = LeftOut("no name, number or day in a positive or an own turn")
NOT_SETTLED = LeftOut("the context does not settle a name, number or day of a positive")

_OPEN = re.compile(r"\b(?:or|either|which)\b", re.I)
_ARTICLE = re.compile(r"\b(a|an)\s+$", re.I)
_KNOWN = frozenset("this that the these those your my our his her in for on at same why".split())
"""Words that refer to something known."""
_NOT_COUNTED = frozenset(("", "of", "and", "to", "is", "for", "in", "or", "more", "ones"))
"""What stands behind a number that counts nothing that is named."""


def rule(material: Material) -> Rule:
    """The rule; it needs no pool."""

    def candidates(dialogue: Dialogue, draw: random.Random) -> Candidates:
        if not dialogue_is_english(dialogue):
            return NOT_ENGLISH
        settled = _Settled.by(dialogue)
        made = [text for positive in dialogue.positives for text in _swapped(positive, settled.settle, settled, draw)]
        draw.shuffle(made)
        said = [part for turn in own_turns(dialogue) for part in sentences_of(turn) if not part.endswith("?")]
        again = [text for part in said for text in _swapped(part, _is_exact, settled, draw)]
        if made or again:
            return made + again
        return NOT_SETTLED if any(_has_entity(positive) for positive in dialogue.positives) else NOTHING

    return Rule(NAME, for_each(NAME, material.seed, candidates))


@dataclass(frozen=True, slots=True)
class _Settled:
    """What a dialogue names.

    Attributes:
        context: entities of the turns.
        last: keys of the last two turns.
        persona: entities of the persona.
        open: keys that stand in a choice, or in a question that is not answered yet and may be answered otherwise.
    """

    context: Sequence[Entity]
    last: frozenset[str]
    persona: Sequence[Entity]
    open: frozenset[str]

    @classmethod
    def by(cls, dialogue: Dialogue) -> "_Settled":
        """What the context and the persona of a dialogue name."""
        by_turn = [list(entities_of(turn)) for turn in dialogue.context]
        choices = {
            entity.key
            for turn, entities in zip(dialogue.context, by_turn, strict=True)
            for entity in entities
            if _OPEN.search(turn)
        }
        if "?" in dialogue.context[-1]:
            proposed = COUNTS | {"day", "month", "part of the day"}
            choices |= {entity.key for entity in by_turn[-1] if entity.kind in proposed}
        return cls(
            [entity for entities in by_turn for entity in entities],
            frozenset(entity.key for entities in by_turn[-2:] for entity in entities),
            [entity for sentence in dialogue.persona for entity in entities_of(sentence)],
            frozenset(choices),
        )

    def settle(self, entity: Entity) -> bool:
        """Whether another one in this entity's place would be wrong."""
        if entity.key in self.open:
            return False
        there = [other for other in (*self.context, *self.persona) if other.key == entity.key]
        if entity.kind in COUNTS:
            return any(_counts_the_same(entity, other) for other in there)
        if entity.kind in NAMES:
            return bool(there)
        return entity.key in self.last and entity.before in _KNOWN

    def names(self, text: str) -> bool:
        """Whether something is named anywhere."""
        return any(entity.key == key_of(text) for entity in (*self.context, *self.persona))


def _counts_the_same(one: Entity, other: Entity) -> bool:
    if one.text[0] in "$\u00a3\u20ac":
        return one.text == other.text
    return one.behind == other.behind and one.behind not in _NOT_COUNTED


def _is_exact(entity: Entity) -> bool:
    """Whether a statement is another one as soon as this entity is: a name, or a number of something."""
    return entity.kind in NAMES or (entity.kind in COUNTS and entity.behind not in _NOT_COUNTED)


def _has_entity(text: str) -> bool:
    return next(entities_of(text), None) is not None


def _swapped(text: str, wrong: Callable[[Entity], bool], settled: _Settled, draw: random.Random) -> Iterator[str]:
    """The text with each entity that would be wrong as another one swapped, wherever it stands."""
    entities = list(entities_of(text))
    own = {entity.key for entity in entities}
    for key in dict.fromkeys(entity.key for entity in entities):
        places = [entity for entity in entities if entity.key == key]
        if not any(map(wrong, places)):
            continue
        others = [
            other
            for other in others_of(places[0], draw.random())
            if not settled.names(other) and key_of(other) not in own
        ]
        if others:
            yield _replaced(text, places, draw.choice(others))


def _replaced(text: str, places: Sequence[Entity], other: str) -> str:
    """The text with another entity at these places, and the article before it as it must be."""
    for entity in reversed(places):
        before = text[: entity.start]
        article = _ARTICLE.search(before)
        if article is not None:
            right = "an" if other[0].lower() in "aeiou" or other.startswith(("8", "11", "18")) else "a"
            right = right.capitalize() if article[1][0].isupper() else right
            before = before[: article.start(1)] + right + before[article.end(1) :]
        new = other[0].upper() + other[1:] if entity.text[0].isupper() else other.lower()
        text = before + new + text[entity.end :]
    return text
