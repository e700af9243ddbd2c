"""Any server that speaks OpenAI's protocol: text completions, or chat where there is nothing else."""

import json
import os
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

import msgspec

from pneg.errors import BackendError
from pneg.lm.base import TOO_LONG, Complete, Completion, Request

if TYPE_CHECKING:
    import aiohttp

KEY_VARIABLE = "OPENAI_API_KEY"
HINTS = {
    401: f"put the key into the environment variable {KEY_VARIABLE}",
    403: "this key may not use this model",
    404: "check --model, and that the address ends where /completions can follow, often in /v1",
    429: "the server limits requests; lower --concurrency or try again later",
}
SPENT = "the account has no money left; add some and give the same command again"
NO_COMPLETION = "check --lm, which often ends in /v1"

REFUSED = "refused by the server"
REASONS = (
    (
        TOO_LONG,
        re.compile(r"context.?(length|size|window)|max\w*.{0,20}tokens|too (long|large)|above_max_length", re.I),
    ),
    (REFUSED, re.compile(r"content.?(management|filter|policy)|moderation|flagged|safety|usage polic", re.I)),
)
"""What servers say in the message or the code of an error that is of one request only."""

Endpoint = Literal["completions", "chat"]
PATHS: Mapping[Endpoint, str] = {"completions": "completions", "chat": "chat/completions"}
JSON = {"Content-Type": "application/json"}
CONTINUE = (
    "The user gives the beginning of a text. Write what comes next, exactly where it breaks off, in the same form. "
    "Do not repeat any of it and add no remarks."
)
"""What makes a chat model complete a text."""


@dataclass(frozen=True, slots=True)
class OpenAICompatible:
    """A language model behind an address such as `https://api.openai.com/v1`. Each request is sent once.

    Args:
        url: what stands before `/completions`.
        name: the model as the server calls it.
        key: the API key; by default that of the environment variable `OPENAI_API_KEY`.
        concurrency: requests at a time.
        timeout: seconds a request may take.
        extra: what this server understands besides the protocol, sent with each request.
        endpoint: `chat` for a model that has no completions.
    """

    url: str = field(repr=False)
    name: str
    key: str | None = field(default=None, repr=False)
    concurrency: int = 8
    timeout: float = 600.0
    extra: Mapping[str, object] = field(default_factory=dict)
    endpoint: Endpoint = "completions"

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Complete]:
        """Open the connection pool."""
        key = self.key or os.environ.get(KEY_VARIABLE) or "none"
        address = f"{self.url.rstrip('/')}/{PATHS[self.endpoint]}"
        place = public(self.url)
        async with session(self.url, key, self.timeout) as http:

            async def complete(request: Request) -> Completion:
                asked = encoded(body(request, self.name, self.endpoint, self.extra))
                answer = await exchange(http, "POST", address, place, key, data=asked, headers=JSON)
                return completion(answer, request, self.endpoint)

            yield complete


def quick_loop() -> bool:
    """Whether uvloop is there, whose event loop takes less of the processor for each request."""
    return find_spec("uvloop") is not None


def public(url: str) -> str:
    """An address without what may be secret in it: user, password, query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def session(url: str, key: str, timeout: float) -> "aiohttp.ClientSession":
    """A pool of connections that sends the key with each request; proxies are the environment's."""
    import aiohttp

    headers = {} if "@" in urlsplit(url).netloc else {"Authorization": f"Bearer {key}"}
    return aiohttp.ClientSession(
        headers=headers,
        timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=min(timeout, 30)),
        connector=aiohttp.TCPConnector(limit=0),
        proxy=_proxy(url),
    )


def _proxy(url: str) -> str | None:
    """The environment's proxy for an address, found once; aiohttp would look for it with each request."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


async def exchange(
    http: "aiohttp.ClientSession", method: str, address: str, place: str, key: str, **sent: Any
) -> bytes:
    """Send one request, once, and return the body of the answer.

    Args:
        http: the pool of connections.
        method: of HTTP.
        address: whom to ask.
        place: the server as errors name it.
        key: is kept out of errors.
        sent: what else aiohttp is to send.

    Raises:
        BackendError: when there is none, or its status is not one of success.
    """
    import aiohttp

    try:
        async with http.request(method, address, **sent) as answer:
            found = await answer.read()
            if answer.status < 300:
                return found
            raise refusal(place, answer.status, answer.headers, found, key)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        said = BackendError(f"{place} cannot be reached", retryable=True, hint="check --lm and that the server is up")
    except TimeoutError:
        hint = "try again later"
        said = BackendError(f"{place} did not answer in time", retryable=True, hint=hint, billed=True)
    except aiohttp.InvalidURL:
        said = BackendError(f"{place} is no address", hint="check --lm")
    except (aiohttp.ClientError, OSError) as error:
        broken = f"{place} broke off its answer ({type(error).__name__})"
        said = BackendError(broken, retryable=True, hint="check that the server is up", billed=True)
    raise said


def body(request: Request, model: str, endpoint: Endpoint, extra: Mapping[str, object]) -> dict[str, object]:
    """The request as the protocol has it."""
    sampling = request.sampling
    asked: dict[str, object] = {
        "model": model,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "max_tokens": sampling.max_tokens,
        "seed": request.seed,
        **extra,
    }
    if endpoint == "completions":
        asked["prompt"] = request.prompt
    elif request.schema:
        schema = {"name": "answer", "strict": True, "schema": json.loads(request.schema)}
        asked["response_format"] = {"type": "json_schema", "json_schema": schema}
        asked["messages"] = [{"role": "user", "content": request.prompt}]
        return asked
    else:
        asked["messages"] = [{"role": "system", "content": CONTINUE}, {"role": "user", "content": request.prompt}]
    if sampling.stop:
        asked["stop"] = list(sampling.stop)
    return asked


def encoded(asked: Mapping[str, object]) -> bytes:
    """The JSON of a request."""
    try:
        return msgspec.json.encode(asked)
    except UnicodeEncodeError:  # half a surrogate pair, which goes as its escape
        return json.dumps(asked).encode()


def completion(answer: bytes, request: Request, endpoint: Endpoint) -> Completion:
    """The completion in an answer.

    Raises:
        BackendError: when there is none in it.
    """
    try:
        found = _decoded(answer)
        choice = found["choices"][0]
        said = choice["text"] if endpoint == "completions" else choice["message"]["content"]
        refused = choice.get("finish_reason") == "content_filter" or said is None
        usage = found.get("usage") or {}
        details = usage.get("prompt_tokens_details") or {}
        completed = Completion(
            text=_continued(said or "", request) if endpoint == "chat" else said or "",
            cut=choice.get("finish_reason") == "length",
            prompt_tokens=int(usage.get("prompt_tokens") or 0),
            completion_tokens=int(usage.get("completion_tokens") or 0),
            cached_tokens=int(details.get("cached_tokens") or 0),
            model=str(found.get("model") or ""),
            backend=str(found.get("system_fingerprint") or ""),
        )
    except (ValueError, LookupError, TypeError, AttributeError):
        raise BackendError(
            "the server answered without a completion", retryable=True, hint=NO_COMPLETION, billed=True
        ) from None
    if refused:
        raise BackendError("the server withheld the completion", reason=REFUSED, billed=True)
    return completed


def _decoded(answer: bytes) -> Any:
    """The values in JSON."""
    try:
        return msgspec.json.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError):  # half a surrogate pair, perhaps, which the other one reads
        return json.loads(answer)


def _continued(text: str, request: Request) -> str:
    """A chat model's answer without the last line of the prompt, which most of them say again."""
    if request.schema:
        return text
    return text.lstrip().removeprefix(request.prompt.rpartition("\n")[2])


def refusal(place: str, status: int, headers: Mapping[str, str], answer: bytes, key: str) -> BackendError:
    """What an answer with a status of failure means; arguments as for `exchange`."""
    code, message = _told(answer)
    said = message.replace(key, "***").splitlines()
    reason = ""
    if status in (400, 413, 422):
        reason = next((reason for reason, words in REASONS if words.search(f"{code} {message}")), "")
    spent = code == "insufficient_quota"
    return BackendError(
        f"{place} refused: {said[0][:300] if said else 'no reason given'} (status {status})",
        retryable=not spent and (status in (408, 409, 425, 429) or status >= 500),
        status=status,
        hint=SPENT if spent else HINTS.get(status, ""),
        retry_after=None if spent else _retry_after(headers),
        reason=reason,
    )


def _told(answer: bytes) -> tuple[str, str]:
    """The code and the message of an error, in any of the forms that servers use."""
    try:
        found = json.loads(answer)
    except ValueError:
        return "", ""
    error = found.get("error", found) if isinstance(found, dict) else found
    if not isinstance(error, dict):
        return "", str(error)
    told = error.get("message") or error.get("detail") or ""
    return str(error.get("code") or error.get("type") or ""), str(told)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, given as such or as a date (RFC 9110, section 10.2.3)."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        if re.fullmatch(r"\d+(\.\d+)?", value):
            return float(value) / unit
        if value:
            try:
                return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
            except ValueError:
                continue
    return None
