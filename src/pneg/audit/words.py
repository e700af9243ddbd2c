"""The words of a response as the audit counts them, in scripts with spaces between words and without."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from typing import Any

from pneg.errors import needs
from pneg.negatives.words import stop_words

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Thai, Lao, Burmese, Khmer, Japanese and Chinese: no spaces between words, so that each character counts as one."""
WORD = rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+(?:['\u2019][^\W_{_UNSPACED}]+)*"
MARK = r"[^\w\s]|_"
"""What is neither a word nor space: punctuation and emoji tell a style, too."""

_words = re.compile(WORD).findall
_unspaced = re.compile(f"[{_UNSPACED}]").search


def words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation; `don't` is one, and so is a Chinese character."""
    return _words(text.lower().replace("\u2019", "'"))


def is_unspaced(text: str) -> bool:
    """Whether a text has characters of a script that puts no spaces between words."""
    return not text.isascii() and _unspaced(text) is not None


def content_stems(text: str) -> frozenset[str]:
    """The distinct stems of the words that carry content: no English stop words, no single Latin letters."""
    content = {word for word in words(text) if word not in stop_words() and (len(word) > 1 or not word.isascii())}
    return frozenset(_stem(word) for word in content)


@lru_cache(maxsize=1 << 16)
def _stem(word: str) -> str:
    return str(_stemmer().stemWord(word))


@cache
def _stemmer() -> Any:
    with needs("audit"):
        import Stemmer

    return Stemmer.Stemmer("english")


@lru_cache(maxsize=1 << 14)
def _script(letter: str) -> str:
    name = unicodedata.name(letter, "OTHER").partition(" ")[0]
    return {"CJK": "Chinese", "HIRAGANA": "Japanese", "KATAKANA": "Japanese", "HANGUL": "Korean"}.get(
        name, name.capitalize()
    )


def scripts(texts: Iterable[str]) -> Mapping[str, float]:
    """The share of the texts in each script, by the script of most of a text's letters; the most frequent first."""
    counts: Counter[str] = Counter()
    for text in texts:
        letters = Counter(["Latin"] if text.isascii() else map(_script, filter(str.isalpha, text)))
        if letters:
            counts[letters.most_common(1)[0][0]] += 1
    total = sum(counts.values())
    return {name: count / total for name, count in counts.most_common()}
