"""Keyphrases of a text, best first, without anything fetched from the network."""

import re
from collections.abc import Callable
from typing import Any

from pneg.errors import needs
from pneg.negatives.words import content_words, sentences, stop_words

_TOKEN = re.compile(r"([^\W_]+(?:['\u2019][^\W_]+)*)|[^\w\s]")
LONGEST = 3
"""Words of a phrase that YAKE finds."""

Extract = Callable[[str, int], list[str]]
"""Gives the keyphrases of a text, at most so many, best first."""


def _tokens(sentence: str) -> list[str]:
    """Words, and a full stop for each punctuation mark: RAKE knows those of ASCII only."""
    return [(token[1] or ".").replace("\u2019", "'") for token in _TOKEN.finditer(sentence)]


def rake() -> Extract:
    """RAKE (Rose et al. 2010): stretches between stop words and punctuation, ranked by degree over frequency."""
    with needs("generated"):
        from rake_nltk import Rake

    extractor: Any = Rake(
        stopwords=set(stop_words()),
        include_repeated_phrases=False,
        sentence_tokenizer=lambda text: [text[start:end] for start, end in sentences(text)],
        word_tokenizer=_tokens,
    )

    def extract(text: str, most: int) -> list[str]:
        extractor.extract_keywords_from_text(text)
        phrases: list[str] = extractor.get_ranked_phrases()
        return [phrase for phrase in phrases if any(map(str.isalpha, phrase))][:most]

    return extract


def yake() -> Extract:
    """YAKE (Campos et al. 2020): phrases of at most three words by case, place and spread."""
    with needs("generated"):
        import yake as package

    def extract(text: str, most: int) -> list[str]:
        extractor = package.KeywordExtractor(lan="en", n=LONGEST, top=most, stopwords=set(stop_words()))
        return [phrase.lower() for phrase, _ in extractor.extract_keywords(text)]

    return extract


EXTRACTORS: dict[str, Callable[[], Extract]] = {"rake": rake, "yake": yake}


def keywords(text: str, most: int, extract: Extract) -> list[str]:
    """The keyphrases of a text; its content words where it has none."""
    return extract(text, most) or content_words(text)[:most]
