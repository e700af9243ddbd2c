"""Any server that speaks OpenAI's completions protocol."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pneg.errors import BackendError
from pneg.lm.base import Complete, Completion, Request

if TYPE_CHECKING:
    import openai

KEY_VARIABLE = "OPENAI_API_KEY"
HINTS = {
    401: f"put the key into the environment variable {KEY_VARIABLE}",
    403: "this key may not use this model",
    404: "check --model, and that the address ends where /completions can follow, often in /v1",
    429: "the server limits requests; lower --concurrency or try again later",
}


@dataclass(frozen=True, slots=True)
class OpenAICompatible:
    """A language model behind an address such as `https://api.openai.com/v1`.

    Args:
        url: what stands before `/completions`.
        name: the model as the server calls it.
        key: the API key; by default that of the environment variable `OPENAI_API_KEY`.
        concurrency: requests at a time.
        timeout: seconds a request may take.
        retries: how often a request that may yet succeed is sent again.
        extra: what this server understands besides the protocol, sent with each request.
    """

    url: str
    name: str
    key: str | None = field(default=None, repr=False)
    concurrency: int = 8
    timeout: float = 600.0
    retries: int = 4
    extra: Mapping[str, object] = field(default_factory=dict)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Complete]:
        """Open the connection pool."""
        import openai

        key = self.key or os.environ.get(KEY_VARIABLE) or "none"
        async with openai.AsyncOpenAI(
            base_url=self.url, api_key=key, timeout=self.timeout, max_retries=self.retries
        ) as client:

            async def complete(request: Request) -> Completion:
                try:
                    return await _complete(client, self.name, request, self.extra)
                except openai.APIError as error:
                    raise _explained(error, self.url, key) from None

            yield complete


async def _complete(
    client: "openai.AsyncOpenAI", model: str, request: Request, extra: Mapping[str, object]
) -> Completion:
    sampling = request.sampling
    answer = await client.completions.create(
        model=model,
        prompt=request.prompt,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        frequency_penalty=sampling.frequency_penalty,
        presence_penalty=sampling.presence_penalty,
        max_tokens=sampling.max_tokens,
        stop=list(sampling.stop) or None,
        seed=request.seed,
        extra_body=dict(extra) or None,
    )
    if not getattr(answer, "choices", None):
        raise BackendError("the server answered without a completion", retryable=True)
    usage = answer.usage
    details = usage.prompt_tokens_details if usage else None
    return Completion(
        text=answer.choices[0].text,
        cut=answer.choices[0].finish_reason == "length",
        prompt_tokens=usage.prompt_tokens if usage else 0,
        completion_tokens=usage.completion_tokens if usage else 0,
        cached_tokens=(details.cached_tokens or 0) if details else 0,
    )


def _explained(error: "openai.APIError", url: str, key: str) -> BackendError:
    import openai

    if isinstance(error, openai.APITimeoutError):
        return BackendError(f"{url} did not answer in time", retryable=True, hint="try again later")
    if isinstance(error, openai.APIConnectionError):
        return BackendError(f"{url} cannot be reached", retryable=True, hint="check --lm and that the server is up")
    status = error.status_code if isinstance(error, openai.APIStatusError) else None
    said = error.message.replace(key, "***").splitlines()
    return BackendError(
        f"{url} refused: {said[0][:300] if said else 'no reason given'}",
        retryable=status is None or status in (408, 409, 429) or status >= 500,
        status=status,
        hint=HINTS.get(status or 0, ""),
    )
