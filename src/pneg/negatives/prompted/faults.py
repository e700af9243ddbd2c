"""Why a written response is refused: Appendix F of the paper, copies, and what is no text."""

import re
from collections.abc import Sequence
from functools import lru_cache

from pneg.dialogue import Dialogue, normalised
from pneg.negatives.base import Refusals
from pneg.negatives.prompted.parse import Parsed

REPETITION, UNDERSCORES, NUMBERING = "repetition", "underscores", "numbering"
EMPTY, TOO_LONG, COPY_OF_A_TURN, DUPLICATE = "empty", "too long", "copy of a turn", "duplicate"
NO_TEXT = "no text"
"""Half a surrogate pair, which JSON may hold and no file of UTF-8 can."""

MOST_WORDS = 60
"""The longest of DailyDialog++'s 5,140 human negatives (dev) has 44 words."""

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_BETWEEN = str.maketrans({chr(code): " " for code in range(128) if not chr(code).isalnum()})
"""What stands between words, in a text of ASCII without an apostrophe; quicker than the pattern."""
_HALF_A_PAIR = re.compile("[\ud800-\udfff]")
_UNDERSCORES = re.compile(r"_\s?_")
_TAG = re.compile(r"(?:^|\s)[A-D]\s?:\s|Dialogue context:")


class Faults:
    """Judges the responses written for one dialogue, in the order they come.

    Args:
        dialogue: the one they are for.
        shown: the responses of the demonstrations; copying one is a duplicate.
    """

    def __init__(self, dialogue: Dialogue, shown: Sequence[str] = ()) -> None:
        self._refusals = Refusals.of(dialogue)
        self._turns = frozenset(normalised(turn) for turn in dialogue.context)
        self._shown = frozenset(map(_form, shown))

    def of(self, written: Parsed) -> str | None:
        """Why the response must be written again; None, and it counts as taken, when it is good."""
        if not written.text.isascii() and _HALF_A_PAIR.search(written.text):
            return NO_TEXT
        key, words = normalised(written.text), _words(written.text)
        if written.cut or len(words) > MOST_WORDS:
            return TOO_LONG
        if "_" in written.text and _UNDERSCORES.search(written.text):
            return UNDERSCORES
        if not words:
            return EMPTY
        if not written.in_order or (":" in written.text and _TAG.search(written.text)):
            return NUMBERING
        if repeats(words):
            return REPETITION
        if key in self._turns:
            return COPY_OF_A_TURN
        if key in self._shown:
            return DUPLICATE
        return self._refusals.reason_of(key)


_form = lru_cache(maxsize=8192)(normalised)
"""Of the responses of demonstrations, which come again and again."""


def _words(text: str) -> list[str]:
    if text.isascii():
        lower = text.lower()
        return _WORD.findall(lower) if "'" in lower else lower.translate(_BETWEEN).split()
    return [word.casefold() for word in _WORD.findall(text)]


def repeats(words: Sequence[str]) -> bool:
    """Whether a word stands four times in a row, or a run of 2 to 8 words three times in a row or 4+ words twice."""
    again = len(words) - len(set(words))
    for length in range(1, 9):
        often = 4 if length == 1 else 3 if length < 4 else 2
        if again < length * (often - 1):
            continue  # so many words would stand there for at least the second time
        same = 0
        for place in range(len(words) - length):
            same = same + 1 if words[place] == words[place + length] else 0
            if same >= length * (often - 1):
                return True
    return False
