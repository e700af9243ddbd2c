"""What a command prints cannot command the terminal: control characters are shown, whoever wrote them."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

_COMMANDS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # all of C0 and C1 but the tab and the newline
    "\u2028\u2029\u202a-\u202e\u2066-\u2069"  # what ends a line, and what turns the order of letters around
    "\ud800-\udfff]"  # half a surrogate pair, which no stream can encode
)


def visible(text: str) -> str:
    r"""The text with the characters that a terminal might obey as escapes, such as `\x1b`; newlines and tabs stay."""
    return text if text.isprintable() else _COMMANDS.sub(_escape, text)


def visible_json(text: str) -> str:
    r"""JSON of the same value, with the same characters as JSON escapes them, such as `\u009b`."""
    return text if text.isprintable() else _COMMANDS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


class _Shown:
    """A stream for people to read; a carriage return at the beginning of what is written, as bars have it, stays."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text as it is safe to be shown."""
        beginning = text[: text.startswith("\r")]
        self._stream.write(beginning + visible(text[len(beginning) :]))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def shown() -> Iterator[None]:
    """Within the block all text on standard output and standard error is made `visible`.

    It holds for messages, tables, bars, warnings and logs alike, those of other packages included, so that nobody who
    prints has to think of it. Bytes, which `rank` answers with, go past it.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, _Shown(stream)) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
