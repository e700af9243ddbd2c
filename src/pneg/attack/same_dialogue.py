"""same-dialogue: a turn that is said later in the same dialogue, or was said before what a selector reads."""

import random

from pneg.attack.rule import Candidates, LeftOut, Material, Rule, for_each, near_copy
from pneg.attack.turns import says_something
from pneg.dialogue import Dialogue
from pneg.negatives.other_turns import WholeDialogues

NAME = "same-dialogue"
NOT_FOUND = LeftOut("no dialogue of the pool goes on behind this context, which has no earlier turns either")
NO_OTHER = LeftOut("the dialogue has no other turn that says enough")


def rule(material: Material) -> Rule:
    """The rule, with a pool in which contexts are found again."""
    dialogues = WholeDialogues(material.pool)

    def candidates(dialogue: Dialogue, draw: random.Random) -> Candidates:
        others = dialogues.of(dialogue.context)
        turns = [turn for turn in (*others.later, *others.earlier) if says_something(turn)]
        if not turns:
            return NO_OTHER if others.continued or others.earlier else NOT_FOUND
        draw.shuffle(turns)
        return turns

    return Rule(NAME, for_each(NAME, material.seed, candidates), near_copy)
