"""From a completion to numbered responses."""

import re
from dataclasses import dataclass
from functools import lru_cache

_NUMBERED = re.compile(r"\s*(\d{1,2})\s?[.)](?!\d)\s*(.*)")
_QUOTES = ('"', "\u201c\u201d", "'")
_OPENING = frozenset(marks[0] for marks in _QUOTES)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A response as it was written.

    Attributes:
        text: without its number and the quotation marks around it.
        in_order: whether it stood behind the number it should.
        cut: whether the completion ended in its midst.
    """

    text: str
    in_order: bool = True
    cut: bool = False


def parse(completion: str, first: int, cut: bool) -> list[Parsed]:
    """Split a completion into responses, one a line.

    Args:
        completion: what was written behind the number `first`.
        first: the number that the prompt ended with.
        cut: whether the completion ended for want of tokens.

    Returns:
        One entry for each line that holds text, good or bad, in order.
    """
    parsed: list[Parsed] = []
    expected = first
    lines = [line for line in f"{first}.{completion}".splitlines() if line.strip()]
    for line in lines:
        match = _NUMBERED.fullmatch(line)
        number, text = (int(match[1]), match[2]) if match else (-1, line)
        following = f"{expected + 1}" in text and _standing(expected + 1).search(text)
        in_order = number == expected and not following
        parsed.append(Parsed(_unquoted(text), in_order))
        if match:
            expected = number + 1
    if cut and parsed:
        parsed[-1] = Parsed(parsed[-1].text, parsed[-1].in_order, cut=True)
    return parsed


@lru_cache
def _standing(number: int) -> re.Pattern[str]:
    """A number as it stands in front of a response."""
    return re.compile(rf"\s{number}[.)]\s")


def _unquoted(text: str) -> str:
    text = text.strip()
    if text[:1] not in _OPENING:
        return text
    for marks in _QUOTES:
        inner = text[1:-1]
        if len(text) > 2 and text[0] == marks[0] and text[-1] == marks[-1] and marks[0] not in inner:
            return inner.strip()
    return text
