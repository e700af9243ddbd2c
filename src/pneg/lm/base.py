"""What is asked of a language model, what it answers, and what a back end is."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

TOO_LONG = "prompt too long"
"""The reason why a request alone is refused, see `BackendError`."""

MOST_TOKENS = 10**9
"""A larger number of tokens is no number of tokens; the sums of billions of these still fit into 64 bits."""
LONGEST_NAME = 200
"""Characters that are kept of what a server calls its model and itself."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn; the defaults are the paper's (Appendix A).

    Attributes:
        temperature: of the softmax.
        top_p: share of the probability mass that is drawn from.
        frequency_penalty: subtracted from a token's logit for each time it was written.
        presence_penalty: subtracted once if it was written at all.
        max_tokens: where a completion is cut.
        stop: texts that end a completion and are not part of it; at most four.
    """

    temperature: float = 0.8
    top_p: float = 1.0
    frequency_penalty: float = 0.4
    presence_penalty: float = 0.4
    max_tokens: int = 256
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt to be completed.

    Attributes:
        prompt: the whole text in front of the completion.
        sampling: how tokens are drawn.
        seed: makes repeated samples differ and the same one repeatable.
        schema: a JSON schema the answer must follow, as JSON; only a chat endpoint heeds it.
    """

    prompt: str
    sampling: Sampling
    seed: int
    schema: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """What a language model wrote behind a prompt.

    Whatever a server said, its texts are valid Unicode, its names are printable and no longer than `LONGEST_NAME`,
    and `0 <= cached_tokens <= prompt_tokens <= MOST_TOKENS`, as for `completion_tokens`. `prompt_tokens` and
    `completion_tokens` are both 0 where the server does not say, or says what cannot be true.

    Attributes:
        text: without the prompt and without the stop text.
        cut: whether it ended for want of tokens, not by itself.
        prompt_tokens: in the prompt.
        completion_tokens: written.
        cached_tokens: of the prompt, read from a cache.
        model: that wrote it, as the server reports it.
        backend: what the server says of itself, such as its build.
        estimated: whether tokens are our own count, since the server did not tell them.
    """

    text: str
    cut: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    model: str = field(default="", compare=False)
    backend: str = field(default="", compare=False)
    estimated: bool = False


Complete = Callable[[Request], Awaitable[Completion]]


class LanguageModel(Protocol):
    """A back end."""

    @property
    def name(self) -> str:
        """Of the model."""
        ...

    @property
    def concurrency(self) -> int:
        """How many requests it should be given at a time."""
        ...

    def connect(self) -> AbstractAsyncContextManager[Complete]:
        """Make ready to complete requests; what was opened or started is closed at the end.

        Raises:
            ModelError: when the model cannot be loaded.
            BackendError: from a request that failed for good.
        """
        ...
