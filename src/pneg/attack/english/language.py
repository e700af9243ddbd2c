"""Whether texts are English, told by their most frequent words."""

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import chain, islice

from pneg.attack.rule import LeftOut
from pneg.dialogue import Dialogue

NOT_ENGLISH = LeftOut("not English")
SHARE = 0.2
"""Least share of frequent words; in English dialogues nearly half of all words are."""
READ = 80
"""Words that are looked at, counted from the beginning."""

FREQUENT = frozenset(
    "the and you i it that to have are my your what this with for not but yes how they at be can would like good "
    "thank thanks know there think go it's i'm don't do of is when where who why all some any from our we she his "
    "her if as been were did does could should get really just please sorry too here which want need out up let "
    "or two fine came went okay well hello see make much many take work time about you're that's i've i'll "
    "can't".split()
)
"""Frequent English words that German, French, Spanish, Italian and Dutch do not have, or seldom."""

_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")


def is_english(texts: Iterable[str]) -> bool:
    """Whether frequent English words make up enough of these texts; texts without any word are not English."""
    found = chain.from_iterable(_WORD.findall(text.lower().replace("\u2019", "'")) for text in texts)
    words = list(islice(found, READ))
    return sum(word in FREQUENT for word in words) > SHARE * len(words)


def dialogue_is_english(dialogue: Dialogue) -> bool:
    """Whether a dialogue is English: its positives and the end of its context, as far as `READ` words go."""
    return _is_english(dialogue.positives, dialogue.context)


@lru_cache(maxsize=4096)
def _is_english(positives: tuple[str, ...], context: tuple[str, ...]) -> bool:
    """The same for each rule that asks; positives are read first, because they are what is rewritten."""
    return is_english((*positives, *reversed(context)))
