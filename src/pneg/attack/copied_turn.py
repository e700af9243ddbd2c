"""copied-turn: a turn of the context, word for word."""

import random

from pneg.attack.rule import Candidates, LeftOut, Material, Rule, for_each, near_copy
from pneg.attack.turns import asks_again, says_something
from pneg.dialogue import Dialogue
from pneg.negatives.other_turns import SHOWN

NAME = "copied-turn"
ASKED = LeftOut("the last turn asks to say something again")
SHORT = LeftOut("no turn that says enough to be wrong")


def rule(material: Material) -> Rule:
    """The rule; it takes the turns that a selector reads, in an order drawn by seed."""

    def candidates(dialogue: Dialogue, draw: random.Random) -> Candidates:
        if asks_again(dialogue):
            return ASKED
        turns = [turn for turn in dialogue.context[-SHOWN:] if says_something(turn)]
        draw.shuffle(turns)
        return turns or SHORT

    return Rule(NAME, for_each(NAME, material.seed, candidates), near_copy)
