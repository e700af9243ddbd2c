"""What rules ask of turns: who said them, whether they say something, whether they may be said again."""

import re

from pneg.dialogue import Dialogue

LEAST = 2
"""Content words that a turn must have: `Really?` and `Yes, of course.` fit nearly anywhere."""

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_LIGHT = frozenset(
    "a about again ah all alright also am an and any are aren't as at be been but bye by can can't come could course "
    "dear did didn't do does doesn't don't else ever exactly fine for from get go good goodbye great ha had has have "
    "he hello her here hey hi him his hmm how i i'd i'll i'm i've idea if in indeed interesting is isn't it it's its "
    "just know let let's like lol look lot love mad madam make many may maybe me mean meet miss mr mrs much must my "
    "name never nice no not now of oh ok okay on one or our out please pleasure problem quite really right sir see "
    "she should so some sorry sounds sure thank thanks that that's the them then there there's these they thing "
    "things think this those to today too true u uh um up us very want was way we welcome well were what what's when "
    "where which who why will with won't worry would wow yeah yes yet you you'd you'll you're your yours".split()
)
_ASKS_AGAIN = re.compile(
    r"\b(?:pardon|say (?:that|it) again|repeat|come again|what did you (?:just )?say|what was that"
    r"|didn't (?:hear|catch)|don't (?:understand|follow)|what do you mean|excuse me\s*\?|sorry\s*\?|what\s*\?$)",
    re.I,
)


def says_something(turn: str, least: int = LEAST) -> bool:
    """Whether a turn has enough content words that it cannot fit anywhere."""
    words = {word.lower().replace("\u2019", "'") for word in _WORD.findall(turn)}
    return len(words - _LIGHT) >= least


def asks_again(dialogue: Dialogue) -> bool:
    """Whether the last turn asks for something to be said again, so that a repetition is an answer."""
    return _ASKS_AGAIN.search(dialogue.context[-1].replace("\u2019", "'")) is not None


def own_turns(dialogue: Dialogue) -> list[str]:
    """What the one who responds said before, the latest first; the speakers are taken to alternate."""
    return list(dialogue.context[-2::-2])
