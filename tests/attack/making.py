"""What a rule makes of dialogues written for a test."""

import re
from collections.abc import Sequence

from pneg import Dialogue
from pneg.attack.catalogue import make
from pneg.attack.rule import Material, Rule

FILLER = [
    Dialogue(f"filler-{n}", (f"Where is the {word} kept?",), (f"The {word} is kept in the cellar.",))
    for n, word in enumerate("ladder lantern barrel anchor hammer trumpet".split())
]
"""Dialogues of other matters, for a pool."""


def dialogue(context: str, *positives: str, persona: Sequence[str] = (), id: str = "d") -> Dialogue:
    """A dialogue whose turns have a bar between them."""
    return Dialogue(id, tuple(re.split(r"\s*\|\s*", context)), positives, {}, tuple(persona))


def applied(
    name: str, *dialogues: Dialogue, pool: Sequence[Dialogue] | None = None, count: int = 5, seed: int = 0
) -> tuple[Rule, list[tuple[str, ...]]]:
    """The rule and the negatives it makes, by default with the dialogues as their own pool."""
    rule = make(name, Material(dialogues if pool is None else pool, seed))
    return rule, list(rule.propose(dialogues, count))


def made(name: str, context: str, *positives: str, persona: Sequence[str] = ()) -> set[str]:
    """The negatives that a rule without a pool makes of one dialogue."""
    _, [texts] = applied(name, dialogue(context, *positives, persona=persona), count=20)
    return set(texts)


def reason(name: str, context: str, *positives: str) -> str:
    """Why a rule leaves a dialogue out."""
    rule, [texts] = applied(name, dialogue(context, *positives))
    assert texts == ()
    [(why, n)] = rule.left_out.items()
    assert n == 1
    return why
