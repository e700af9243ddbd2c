"""The completion in a server's answer. Nothing in it is believed before it is looked at."""

import re
from typing import Any, Literal

from pneg.errors import BackendError, printable
from pneg.lm.base import LONGEST_NAME, MOST_TOKENS, Completion, Request
from pneg.lm.exchange import REFUSED, decoded, part

Endpoint = Literal["completions", "chat"]
NO_COMPLETION = "check --lm, which often ends in /v1"
SURROGATES = re.compile("[\ud800-\udfff]")


def completion(answer: bytes, request: Request, endpoint: Endpoint) -> Completion:
    """The completion in an answer, as `Completion` promises it.

    Half a surrogate pair in a text becomes the replacement character. A name that is no text is left out. Numbers
    of tokens that cannot be true count as not given.

    Raises:
        BackendError: when there is none in it.
    """
    try:
        values = decoded(answer)
    except ValueError:
        values = None
    return completion_of(values, request, endpoint)


def completion_of(values: Any, request: Request, endpoint: Endpoint) -> Completion:
    """As `completion`, for an answer whose JSON has been read."""
    choice = part(values, "choices", 0)
    held, name = (choice, "text") if endpoint == "completions" else (part(choice, "message"), "content")
    if not isinstance(held, dict) or not isinstance(held.get(name, 0), str | None):
        raise BackendError(
            "the server answered without a completion", retryable=True, hint=NO_COMPLETION, billed=True
        )
    text = held[name]
    if text is None or choice.get("finish_reason") == "content_filter":
        raise BackendError("the server withheld the completion", reason=REFUSED, billed=True)
    text = valid(text)
    read, cached, written = _usage(values.get("usage"))
    return Completion(
        text=_continued(text, request) if endpoint == "chat" else text,
        cut=choice.get("finish_reason") == "length",
        prompt_tokens=read,
        completion_tokens=written,
        cached_tokens=cached,
        model=_name(values.get("model")),
        backend=_name(values.get("system_fingerprint")),
    )


def valid(text: str) -> str:
    """The text as Unicode has it: without halves of surrogate pairs, which no file can hold."""
    return text if text.isascii() else SURROGATES.sub("\ufffd", text)


def _name(value: Any) -> str:
    return printable(value[:LONGEST_NAME]) if isinstance(value, str) else ""


def _usage(usage: Any) -> tuple[int, int, int]:
    """Tokens read, those of them from a cache, and written; all 0 where the server does not say."""
    if not isinstance(usage, dict):
        return 0, 0, 0
    read, written = _tokens(usage.get("prompt_tokens")), _tokens(usage.get("completion_tokens"))
    if read is None or written is None:
        return 0, 0, 0
    cached = _tokens(part(usage.get("prompt_tokens_details"), "cached_tokens")) or 0
    return read, min(cached, read), written


def _tokens(value: Any) -> int | None:
    """A number of tokens that may be true; None for any other value."""
    number = int(value) if isinstance(value, float) and value.is_integer() else value
    return number if type(number) is int and 0 <= number <= MOST_TOKENS else None


def _continued(text: str, request: Request) -> str:
    """A chat model's answer without the last line of the prompt, which most of them say again."""
    if request.schema:
        return text
    return text.lstrip().removeprefix(request.prompt.rpartition("\n")[2])
