"""chitchat (the Chit Chat Challenge of BYU, MIT licence): 7,168 human conversations, as its `dataset.json`."""

import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from pneg.dialogue import Dialogue, OnBad
from pneg.errors import DataError

TURNS = (2, 5)
"""A window's context has this many turns, from and to."""
WORDS = (3, 25)
"""A positive has this many words, from and to: neither a nod nor a letter."""
TURN_WORDS = 30
"""No turn of a context has more."""


class _Message(msgspec.Struct):
    text: str


class _Conversation(msgspec.Struct):
    messages: list[list[_Message]]


def recognises(path: Path) -> bool:
    """Whether the file is chitchat's: one JSON object of conversations by id."""
    with path.open("rb") as stream:
        return b'{"messages": [[' in stream.read(200)


def read(path: Path, on_bad: OnBad | None = None) -> Iterator[Dialogue]:
    """Read one dialogue a conversation: a window of 2 to 5 turns somewhere in it, and the turn behind it.

    What one person writes in a row is one turn. The window is chosen by the conversation's id alone. A
    conversation is left out when it has no window whose turns have at most 30 words and whose positive has 3 to 25.
    """
    try:
        conversations = msgspec.json.decode(path.read_bytes(), type=dict[str, _Conversation])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(str(error), "expected the dataset.json of chitchat-dataset", file=path) from error
    for name, conversation in conversations.items():
        turns = [" ".join(" ".join(message.text for message in turn).split()) for turn in conversation.messages]
        turns = [turn for turn in turns if turn]
        if (window := _window(name, turns)) is not None:
            start, end = window
            yield Dialogue(f"chitchat-{name}", tuple(turns[start:end]), (turns[end],))


def _window(name: str, turns: list[str]) -> tuple[int, int] | None:
    fewest, most = TURNS
    number = zlib.crc32(name.encode())
    length = fewest + number % (most - fewest + 1)
    starts = [
        start
        for start in range(len(turns) - length)
        if WORDS[0] <= len(turns[start + length].split()) <= WORDS[1]
        and all(len(turn.split()) <= TURN_WORDS for turn in turns[start : start + length])
    ]
    if not starts:
        return None
    start = starts[number // 7 % len(starts)]
    return start, start + length
