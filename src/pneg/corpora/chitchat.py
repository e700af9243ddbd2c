"""chitchat (the Chit Chat Challenge of BYU, MIT licence): 7,168 human conversations, as its `dataset.json`."""

import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from pneg.dialogue import Dialogue, OnBad, decoded
from pneg.errors import DataError
from pneg.files import opened

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


_conversations = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_conversation = msgspec.json.Decoder(_Conversation).decode
SEEN = 200
"""Bytes at the beginning of a file by which it is recognised."""


def recognises(first: bytes) -> bool:
    """Whether a file that begins with these bytes is chitchat's: one JSON object of conversations by id."""
    return first.startswith(b"{") and b'{"messages": [[' in first


def read(path: Path, on_bad: OnBad | None = None) -> Iterator[Dialogue]:
    """Read one dialogue a conversation: a window of 2 to 5 turns somewhere in it, and the turn behind it.

    What one person writes in a row is one turn. The window is chosen by the conversation's id alone. A
    conversation is left out when it has no window whose turns have at most 30 words and whose positive has 3 to 25.
    """
    expected = "expected the dataset.json of chitchat-dataset"
    try:
        with opened(path) as stream:
            conversations = decoded(_conversations, stream.read(), expected)
    except DataError as error:
        raise DataError(error.found, error.expected, file=path) from error
    for name, written in conversations.items():
        try:
            dialogue = _dialogue(name, decoded(_conversation, written, expected))
        except DataError as error:
            located = DataError(f"the conversation {name!r}: {error.found}", error.expected, file=path)
            if on_bad is None:
                raise located from error
            on_bad(located, bytes(written))
        else:
            if dialogue is not None:
                yield dialogue


def _dialogue(name: str, conversation: _Conversation) -> Dialogue | None:
    turns = [" ".join(" ".join(message.text for message in turn).split()) for turn in conversation.messages]
    turns = [turn for turn in turns if turn]
    if (window := _window(name, turns)) is None:
        return None
    start, end = window
    return Dialogue(f"chitchat-{name}", tuple(turns[start:end]), (turns[end],))


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
