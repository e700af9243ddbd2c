"""Any server that speaks OpenAI's protocol: text completions, or chat where there is nothing else."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec

import msgspec

from pneg.lm.base import Complete, Completion, Request
from pneg.lm.completions import Endpoint, completion
from pneg.lm.exchange import TOO_LARGE, exchange, session
from pneg.lm.server import Server, usable_key

PATHS: Mapping[Endpoint, str] = {"completions": "completions", "chat": "chat/completions"}
JSON = {"Content-Type": "application/json"}
ANSWER, TOKEN = 2**20, 2**10
"""Bytes an answer may have, and more for each token that it may hold."""
CONTINUE = (
    "The user gives the beginning of a text. Write what comes next, exactly where it breaks off, in the same form. "
    "Do not repeat any of it and add no remarks."
)
"""What makes a chat model complete a text."""


@dataclass(frozen=True, slots=True)
class OpenAICompatible:
    """A language model behind an address such as `https://api.openai.com/v1`. Each request is sent once.

    Args:
        url: what stands before `/completions`; a query in it goes with each request.
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
        """Open the connection pool.

        Raises:
            DataError: when the key cannot be sent.
        """
        server = Server(self.url, usable_key(self.key))
        address = server.address(PATHS[self.endpoint])
        async with session(server, self.timeout) as http:

            async def complete(request: Request) -> Completion:
                asked = encoded(body(request, self.name, self.endpoint, self.extra))
                limit = ANSWER + TOKEN * request.sampling.max_tokens + 2 * len(asked)  # some repeat the request
                answer = await exchange(
                    http, server, "POST", address, limit, excess=TOO_LARGE, data=asked, headers=JSON
                )
                return completion(answer, request, self.endpoint)

            yield complete


def quick_loop() -> bool:
    """Whether uvloop is there, whose event loop takes less of the processor for each request."""
    return find_spec("uvloop") is not None


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
