"""A text as tokens that join to the same text again, and the spelling of what is put into it."""

import re

_TOKEN = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*|\s+|[^\w\s]|_+")
_SMALL_I = re.compile(r"(?<![\w'\u2019])i(?![\w-])")
_SENTENCE = re.compile(r"(?<=[.!?\u2026])\s+")


def tokens_of(text: str) -> list[str]:
    """Words with their contractions, runs of space, and marks, one each; joined they are the text."""
    return _TOKEN.findall(text)


def plain(token: str) -> str:
    """A token as it is looked up: lower case, a straight apostrophe."""
    return token.lower().replace("\u2019", "'")


def sentences_of(text: str) -> list[str]:
    """The sentences of a text; joined with single spaces they are the text again, runs of space apart.

    A mark that stands alone, as in text whose marks have a space before them, ends the sentence it follows.
    """
    found: list[str] = []
    for part in _SENTENCE.split(text.strip()):
        if found and not any(character.isalnum() for character in part):
            found[-1] += " " + part
        else:
            found.append(part)
    return found


def like(model: str, word: str) -> str:
    """A word with the first letter's case and the apostrophe of another one, in whose place it stands."""
    if "\u2019" in model:
        word = word.replace("'", "\u2019")
    return word[0].upper() + word[1:] if model[:1].isupper() and not word.startswith(("I'", "I\u2019")) else word


def capital_i(text: str) -> bool:
    """Whether a text writes `I` large; PersonaChat, for one, has no capitals."""
    return text != text.lower() and not _SMALL_I.search(text)
