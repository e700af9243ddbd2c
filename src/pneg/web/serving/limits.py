"""What a request may be: its bytes while they come in, then its turns and candidates; and what refuses it."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from pneg.errors import needs
from pneg.web.serving.messages import Problem, Question, encode, question

with needs("serve"):
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

JSON = "application/json"
SHAPE = 'expected {"context": [turns, oldest first], "candidates": [texts]}, with "persona": [texts] if need be'
BODY_SECONDS = 30.0
"""How long a body may take to come in."""
LINGER_SECONDS = 2.0
LINGER_BYTES = 16 * 2**20
"""What is read on, and thrown away, behind a refusal: a connection that is closed with data unread is reset, and the
client would not get to read why."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a request may hold.

    Attributes:
        turns: of a context, and sentences of a persona.
        candidates: of a request.
        bytes: of a body.
    """

    turns: int = 64
    candidates: int = 200
    bytes: int = 2**18


class Refusal(Exception):
    """A request that gets no ranking.

    Args:
        status: of HTTP.
        detail: where what is wrong, and what to do about it.
        headers: besides the usual ones.
        unread: whether some of the body may not have been read.
    """

    def __init__(
        self, status: int, detail: str, headers: Mapping[str, str] | None = None, *, unread: bool = False
    ) -> None:
        self.status, self.detail, self.headers, self.unread = status, detail, dict(headers or {}), unread
        super().__init__(detail)

    def response(self) -> Response:
        """As it is sent."""
        content = encode(Problem(self.detail))
        kind = _Lingering if self.unread else Response
        return kind(content, self.status, self.headers, media_type=JSON)


class _Lingering(Response):
    """Ends its connection, but not before what the client is still sending has been read, within bounds."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [*self.raw_headers, (b"connection", b"close")]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        size, more = 0, True
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while more and size < LINGER_BYTES:
                    message = await receive()
                    size += len(message.get("body", b""))
                    more = message.get("more_body", False)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def body(request: Request, most: int) -> bytes:
    """The body of a request, read no further than the limit.

    Args:
        request: whose body has not been read.
        most: bytes.

    Raises:
        Refusal: when it is no JSON by its header (415), is too long (413), or takes too long (408).
        ClientDisconnect: when the client went away.
    """
    headers = request.headers
    if headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        raise Refusal(415, f"the Content-Type is not {JSON}; set it (curl --json does)", unread=True)
    told = headers.get("content-length", "")
    if told.isdecimal() and int(told) > most:
        raise _too_long(most)
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise _too_long(most)
                parts.append(part)
    except TimeoutError:
        raise Refusal(408, f"the body did not come in within {BODY_SECONDS:g} seconds", unread=True) from None
    return b"".join(parts)


def _too_long(most: int) -> Refusal:
    remedy = "send fewer candidates at a time, or only the last turns"
    return Refusal(413, f"the body is longer than {most} bytes; {remedy}", unread=True)


def checked(received: bytes, limits: Limits, history: int) -> Question:
    """What a body asks.

    Args:
        received: the body.
        limits: that it must keep.
        history: turns that the selector reads.

    Raises:
        Refusal: when it is no JSON (400), or of another shape, or over a limit (422).
    """
    try:
        asked = question(received)
    except msgspec.ValidationError as error:
        raise Refusal(422, f"{error}; {SHAPE}") from None
    except RecursionError:
        raise Refusal(400, f"the body is nested too deeply; {SHAPE}") from None
    except ValueError as error:  # its JSON or its UTF-8 is broken
        raise Refusal(400, f"the body is no JSON: {error}; {SHAPE}") from None
    if len(asked.context) > limits.turns:
        told = f"$.context has {len(asked.context)} turns, at most {limits.turns} are taken"
        raise Refusal(422, f"{told}; send the last ones, of which {history} are read")
    if len(asked.persona) > limits.turns:
        told = f"$.persona has {len(asked.persona)} sentences, at most {limits.turns} are taken"
        raise Refusal(422, f"{told}; send fewer, what is too long for the selector is cut off at the front")
    if len(asked.candidates) > limits.candidates:
        told = f"$.candidates has {len(asked.candidates)} texts, at most {limits.candidates} are taken"
        raise Refusal(422, f"{told}; ask several times, scores can be compared between answers")
    return asked
