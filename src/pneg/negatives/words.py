"""The words of a text, and which of them carry content."""

import re
from functools import cache

from pneg.errors import needs

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_SENTENCE = re.compile(r"(?<=[.!?\u2026])\s+")


def words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation; `don't` is one."""
    return [found.lower().replace("\u2019", "'") for found in _WORD.findall(text)]


@cache
def stop_words() -> frozenset[str]:
    """English words that carry no content: NLTK's 179, which come with `bm25s`."""
    with needs("generated"):
        from bm25s.stopwords import STOPWORDS_EN_PLUS

    return frozenset(STOPWORDS_EN_PLUS)


def content_words(text: str) -> list[str]:
    """The distinct words of a text that are no stop words, no numbers and longer than one letter; in order."""
    found = (word for word in words(text) if len(word) > 1 and not word.isdigit())
    return list(dict.fromkeys(word for word in found if word not in stop_words()))


def sentences(text: str) -> list[tuple[int, int]]:
    """Where each sentence of a text begins and ends, the space between them left out."""
    found, start = [], 0
    for gap in _SENTENCE.finditer(text):
        found.append((start, gap.start()))
        start = gap.end()
    return [*found, (start, len(text))] if start < len(text) else found
