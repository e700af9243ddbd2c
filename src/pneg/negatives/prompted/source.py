"""`prompted`: the paper's PNEG. A language model writes adversarial negatives, faulty ones are written again."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from anyio.from_thread import start_blocking_portal

from pneg.dialogue import Dialogue
from pneg.errors import BackendError
from pneg.lm.base import Complete, Completion, LanguageModel, Request, Sampling
from pneg.lm.client import quick_loop
from pneg.negatives.base import TOO_FEW, draws
from pneg.negatives.prompted import prompt, structured
from pneg.negatives.prompted.demonstrations import SOURCE, Demonstrations
from pneg.negatives.prompted.faults import Faults
from pneg.negatives.prompted.parse import Parsed, parse
from pneg.negatives.prompted.window import Window

TOKENS_A_RESPONSE = 48
"""Room for a response of the usual length and half as much again."""
REUSED_AFTER = 128
"""So many contexts are written before what was written for them joins E."""
AHEAD = 4
"""So many contexts a request at a time may be in work, lest one that is written again and again holds up all."""


@dataclass(slots=True)
class Tally:
    """What writing took.

    Attributes:
        contexts: written for.
        regenerated: contexts that needed more than one request.
        requests: sent.
        prompt_tokens: read by the model, those from its cache included.
        cached_tokens: read from its cache.
        completion_tokens: written by the model.
    """

    contexts: int = 0
    regenerated: int = 0
    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0

    def add(self, completion: Completion) -> None:
        """Count one answer."""
        self.requests += 1
        self.prompt_tokens += completion.prompt_tokens
        self.cached_tokens += completion.cached_tokens
        self.completion_tokens += completion.completion_tokens


@dataclass(frozen=True, slots=True)
class _Context:
    """A dialogue to be written for, its position, and the demonstrations it is shown with."""

    dialogue: Dialogue
    position: int
    shown: tuple[Dialogue, ...]


@dataclass
class Prompted:
    """Adversarial negatives written by a language model that was shown a few human-written examples.

    Args:
        lm: the language model.
        examples: E, dialogues with human negatives.
        shots: demonstrations a prompt (k); `implicit` shows none.
        instruction: one of `prompt.INSTRUCTIONS`; `implicit` asks for one response at a time.
        demonstration_sets: 0, the paper's way, draws demonstrations for each context; see `Demonstrations`.
        example_fraction: of E that is taken.
        reuse: let what was written for earlier contexts join E (the paper's +REUSE), `REUSED_AFTER` contexts at a
            time, so that it does not depend on which are done first.
        attempts: requests for what is missing before a context is left with fewer responses.
        sampling: how tokens are drawn; stop texts and length are set from the count.
        seed: of demonstrations and samples.
        first: position of the first dialogue, for a job that goes on where it was stopped.
        earlier: the dialogues before it, with what was written for them; `reuse` needs them.
        structured: ask for JSON where the first answer was not good enough; needs a chat endpoint that can.
        judged: told of each request that was answered, and of the faults found in the answer.

    Attributes:
        counts: faults by reason, and what is missing in the end.
        tally: contexts, requests and tokens.
    """

    lm: LanguageModel
    examples: Iterable[Dialogue]
    shots: int = 2
    instruction: str = prompt.DIRECT
    demonstration_sets: int = 0
    example_fraction: float = 1.0
    reuse: bool = False
    attempts: int = 10
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0
    first: int = 0
    earlier: Iterable[Dialogue] = ()
    structured: bool = False
    judged: Callable[[Request, Sequence[str]], None] = lambda _, __: None
    name: str = field(default="prompted", init=False)
    counts: Counter[str] = field(default_factory=Counter, init=False)
    tally: Tally = field(default_factory=Tally, init=False)

    def __post_init__(self) -> None:
        self.examples = list(self.examples)
        if self.instruction not in prompt.INSTRUCTIONS:
            raise ValueError(f"instruction is {self.instruction!r}, expected one of {', '.join(prompt.INSTRUCTIONS)}")
        if self.instruction == prompt.IMPLICIT:
            self.shots = 0

    def propose(self, dialogues: Iterable[Dialogue], count: int) -> Iterator[tuple[str, ...]]:
        """Write `count` responses for each dialogue, several dialogues at a time, in order.

        Raises:
            DataError: when E is too small.
            BackendError: when a request failed for good, and not for a reason of its own.
        """
        demonstrations = Demonstrations(
            self.examples, count, self.shots, self.demonstration_sets, self.seed, self.example_fraction
        )
        written = self._join_earlier(demonstrations)

        def finished() -> tuple[str, ...]:
            context, responses = window.take()
            if self.reuse and len(responses) == count:
                written.append(replace(context.dialogue, negatives={SOURCE: responses}))
            return responses

        with (
            start_blocking_portal(backend_options={"use_uvloop": quick_loop()}) as portal,
            portal.wrap_async_context_manager(self.lm.connect()) as complete,
        ):
            # A context keeps its place until it is done: what it asks for again is still in the model's cache.
            window: Window[_Context, tuple[str, ...]] = Window(
                portal.call(asyncio.get_running_loop),
                lambda context: self._write(complete, context, count),
                self.lm.concurrency,
            )
            try:
                for position, dialogue in enumerate(dialogues, self.first):
                    if self.reuse and position % REUSED_AFTER == 0:
                        while len(window):
                            yield finished()
                        demonstrations.examples += written
                        written.clear()
                    window.give(_Context(dialogue, position, demonstrations.of(dialogue, position)))
                    while len(window) > AHEAD * self.lm.concurrency or window.first_is_done():
                        yield finished()
                while len(window):
                    yield finished()
            finally:
                portal.call(window.close)

    def _join_earlier(self, demonstrations: Demonstrations) -> list[Dialogue]:
        """Let what an earlier session wrote join E as it did there; what is to join with the next is returned."""
        written: list[Dialogue] = []
        for position, dialogue in enumerate(self.earlier if self.reuse else ()):
            if position % REUSED_AFTER == 0:
                demonstrations.examples += written
                written = []
            responses = dialogue.negatives.get(self.name, ())
            if len(responses) == demonstrations.count:
                written.append(replace(dialogue, negatives={SOURCE: responses}))
        return written

    async def _write(self, complete: Complete, context: "_Context", count: int) -> tuple[str, ...]:
        dialogue, shown = context.dialogue, context.shown
        faults = Faults(dialogue, [text for example in shown for text in example.negatives[SOURCE][:count]])
        seeds = draws(self.seed, "sample", context.position)
        kept: list[str] = []
        at_once = 1 if self.instruction == prompt.IMPLICIT else count
        usual = -(-count // at_once)
        for attempt in range(self.attempts * usual):
            if len(kept) == count:
                break
            missing = min(count - len(kept), at_once)
            request = Request(
                prompt.build(shown, dialogue, count, kept, self.instruction),
                _sampling(self.sampling, missing, prompt.stops(count, self.instruction)),
                seeds.getrandbits(31),
                structured.schema(missing) if self.structured and attempt and at_once > 1 else "",
            )
            try:
                completion = await complete(request)
            except BackendError as error:
                if not error.reason:
                    raise
                self.counts[error.reason] += 1
                break
            self.tally.add(completion)
            self.tally.regenerated += attempt == usual
            refused: list[str] = []
            for written in self._parsed(request, completion, len(kept) + 1):
                if len(kept) == count:
                    break
                fault = faults.of(written)
                if fault is None:
                    kept.append(written.text)
                else:
                    refused.append(fault)
            if refused:
                self.counts.update(refused)
            self.judged(request, refused)
        if len(kept) < count:
            self.counts[TOO_FEW] += count - len(kept)
        self.tally.contexts += 1
        return tuple(kept)

    def _parsed(self, request: Request, completion: Completion, first: int) -> list[Parsed]:
        if self.instruction == prompt.IMPLICIT:
            return [Parsed(completion.text.strip(), cut=completion.cut)]
        text = structured.numbered(completion.text, first) if request.schema else completion.text
        return parse(text, first, completion.cut)


@lru_cache
def _sampling(usual: Sampling, responses: int, stop: tuple[str, ...]) -> Sampling:
    return replace(usual, max_tokens=responses * TOKENS_A_RESPONSE, stop=stop)
