"""Continuous batching: many prompts are completed together; one that is done makes room for the next."""

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import cast

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pneg.errors import BackendError
from pneg.lm.base import TOO_LONG, Completion, Request
from pneg.lm.draw import Draw
from pneg.lm.slots import Slots, logits_behind
from pneg.lm.worker import Worker

SHARED = 32
"""Tokens two prompts must begin alike with, for one to take over what the other has computed."""
TAIL = 24
"""A stop text is looked for among so many tokens at a text's end."""


@dataclass(slots=True)
class Text:
    """A text in work: the tokens of its prompt, and those written."""

    request: Request
    done: "Future[Completion]"
    prompt: list[int]
    written: list[int] = field(default_factory=list)
    cached: int = 0

    def length(self) -> int:
        """Of prompt and written tokens."""
        return len(self.prompt) + len(self.written)


class Engine:
    """Completes prompts on a thread of its own.

    Texts in work fill the first slots without a gap. A prompt that begins like one that lies in a slot, in work or
    done, copies what was computed for it.

    Args:
        model: a causal language model whose attention is `slots.ATTENTION`.
        tokenizer: its tokenizer.
        slots: texts at a time.
        budget: tokens, padding included, that are read in one pass.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, slots: int, budget: int) -> None:
        self.model, self.tokenizer, self.budget = model, tokenizer, budget
        self.slots = slots
        self._vocabulary = len(cast(torch.Tensor, model.get_input_embeddings().weight))
        self._longest = int(getattr(model.config, "max_position_embeddings", 0) or 1 << 30)
        self._cache = Slots(model.config, slots, model.dtype, model.device)
        self._draw = Draw(slots, self._vocabulary, model.device)
        self._texts: list[Text] = []
        self._held: list[list[int]] = [[] for _ in range(slots)]
        self._like: dict[tuple[int, ...], int] = {}
        self._ends = _end_tokens(model, tokenizer)
        self._stoppers: dict[tuple[str, ...], frozenset[int]] = {}
        self._waiting: queue.SimpleQueue[Text | None] = queue.SimpleQueue()
        self._closing = False
        self._failure: BackendError | None = None
        self._open = threading.Lock()
        self._pending: list[Text] = []
        self._thread = Worker(self._run, self._ended, "pneg-engine")

    def submit(self, request: Request) -> "Future[Completion]":
        """Queue a prompt; the future has its completion, or the `BackendError` that says why it has none."""
        prompt = self.tokenizer(request.prompt)["input_ids"]
        done: Future[Completion] = Future()
        if len(prompt) + request.sampling.max_tokens > self._longest:
            done.set_exception(
                BackendError(
                    f"a prompt of {len(prompt)} tokens and {request.sampling.max_tokens} to write are more than the "
                    f"{self._longest} the model can hold",
                    retryable=False,
                    hint="take fewer --shots or a model with more room",
                    reason=TOO_LONG,
                )
            )
            return done
        with self._open:
            if self._failure:
                done.set_exception(self._failure)
            elif self._closing:
                done.cancel()
            else:
                self._waiting.put(Text(request, done, prompt))
        return done

    def close(self) -> None:
        """Stop after the pass in work; what is not done by then is cancelled."""
        self._closing = True
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        pending = self._pending
        with torch.inference_mode():
            while not self._closing:
                self._take(pending)
                free = self.slots - len(self._texts)
                if pending and (not self._texts or free >= max(1, self.slots // 8)):
                    self._admit(pending)
                if self._texts:
                    self._step()

    def _take(self, pending: list[Text]) -> None:
        """Take what waits; wait for it if there is nothing else to do."""
        while not self._closing:
            try:
                text = self._waiting.get(block=not (self._texts or pending))
            except queue.Empty:
                return
            if text is not None and not text.done.cancelled():
                pending.append(text)

    def _ended(self, error: BaseException | None) -> None:
        """Let nobody wait for a thread that has ended."""
        with self._open:
            self._closing = True
            if isinstance(error, torch.OutOfMemoryError):
                self._failure = BackendError("the model failed: it ran out of memory", hint="lower --concurrency")
            elif error is not None:
                self._failure = BackendError(f"the model failed: {type(error).__name__}: {error}")
            while not self._waiting.empty():
                waiting = self._waiting.get()
                self._pending += [waiting] if waiting else []
        for text in [*self._texts, *self._pending]:
            if self._failure and not text.done.done():
                text.done.set_exception(self._failure)
            else:
                text.done.cancel()

    def _admit(self, pending: list[Text]) -> None:
        """Read the prompts of as many texts as there are free slots, in waves.

        Of texts that begin alike the first wave has one, the next wave copies from it.
        """
        while pending and len(self._texts) < self.slots:
            free = self.slots - len(self._texts)
            beginnings: set[tuple[int, ...]] = set()
            wave: list[tuple[Text, int]] = []
            later: list[Text] = []
            for text in pending:
                beginning = tuple(text.prompt[:SHARED])
                source, text.cached = self._longest_like(text.prompt)
                if len(wave) == free or (not text.cached and beginning in beginnings):
                    later.append(text)
                    continue
                if len(text.prompt) > SHARED:
                    beginnings.add(beginning)
                wave.append((text, source))
            self._read(wave)
            pending[:] = later  # not before they are in work, lest nobody answers for them should reading fail

    def _longest_like(self, prompt: list[int]) -> tuple[int, int]:
        """The slot whose text begins like the prompt, and for how many tokens; at least one is left to be read."""
        slot = self._like.get(tuple(prompt[:SHARED]))
        if slot is None or len(prompt) <= SHARED:
            return 0, 0
        alike = 0
        for ours, theirs in zip(prompt[:-1], self._held[slot], strict=False):
            if ours != theirs:
                break
            alike += 1
        return (slot, alike) if alike >= SHARED else (0, 0)

    def _read(self, wave: list[tuple[Text, int]]) -> None:
        wave.sort(key=lambda item: len(item[0].prompt) - item[0].cached)
        texts = [text for text, _ in wave]
        first = len(self._texts)
        self._cache.reserve(max(len(text.prompt) + text.request.sampling.max_tokens for text in texts))
        self._cache.copy([source for _, source in wave], first, max(text.cached for text in texts))
        for place, text in enumerate(texts, first):
            self._hold(place, text)
            self._draw.start(place, text.request.sampling, text.request.seed)
            self._texts.append(text)
        while first < len(self._texts):
            last = first + 1
            while last < len(self._texts) and (last + 1 - first) * self._unread(last) <= self.budget:
                last += 1
            self._pass(slice(first, last))
            first = last
        self._leave()

    def _hold(self, place: int, text: Text) -> None:
        """Note whose tokens the slot holds."""
        former = tuple(self._held[place][:SHARED])
        if self._like.get(former) == place:
            del self._like[former]
        self._held[place] = text.prompt
        self._like[tuple(text.prompt[:SHARED])] = place

    def _unread(self, place: int) -> int:
        return len(self._texts[place].prompt) - self._texts[place].cached

    def _pass(self, rows: slice) -> None:
        """Read the prompts in the slots `rows` and write the first token behind each."""
        texts = self._texts[rows]
        device = self.model.device
        unread = [text.prompt[text.cached :] for text in texts]
        longest = max(map(len, unread))
        tokens = torch.tensor([ids + [0] * (longest - len(ids)) for ids in unread], device=device)
        begins = torch.tensor([text.cached for text in texts], device=device)
        positions = begins[:, None] + torch.arange(longest, device=device)
        positions.clamp_(max=self._cache.length - 1)
        last = torch.tensor([len(ids) - 1 for ids in unread], device=device)
        self._cache.look(rows, max(text.length() for text in texts))
        alike = min(_alike(texts), *(text.cached for text in texts))
        self._write(rows, self._forward(tokens, positions, last, alike))

    def _step(self) -> None:
        """Write one more token of every text in work."""
        rows = slice(0, len(self._texts))
        device = self.model.device
        tokens = torch.tensor([[text.written[-1]] for text in self._texts], device=device)
        positions = torch.tensor([[text.length() - 1] for text in self._texts], device=device)
        self._cache.look(rows, max(text.length() for text in self._texts))
        last = torch.zeros_like(positions[:, 0])
        self._write(rows, self._forward(tokens, positions, last, _alike(self._texts)))
        self._leave()

    def _forward(self, tokens: torch.Tensor, positions: torch.Tensor, last: torch.Tensor, alike: int) -> torch.Tensor:
        """Logits, (rows, vocabulary), behind the token at `last` of each row; all rows begin `alike`."""
        return logits_behind(self.model, self._cache, tokens, positions, last, alike)

    def _write(self, rows: slice, logits: torch.Tensor) -> None:
        for text, token in zip(self._texts[rows], self._draw.next(logits, rows).tolist(), strict=True):
            text.written.append(token)

    def _leave(self) -> None:
        """Answer for the texts that are done and close the gaps they leave."""
        for place in reversed(range(len(self._texts))):
            text = self._texts[place]
            completion = self._completed(text)
            if completion is None and not text.done.cancelled():
                continue
            if completion is not None and text.done.set_running_or_notify_cancel():
                text.done.set_result(completion)
            last = self._texts.pop()
            if last is not text:
                self._texts[place] = last
                vacated = len(self._texts)
                self._draw.move(vacated, place)
                # What has left may come back for more: its prompt stays, in the slot that became free.
                self._cache.swap(place, vacated, max(last.length(), len(text.prompt)))
                self._hold(place, last)
                self._hold(vacated, text)

    def _completed(self, text: Text) -> Completion | None:
        sampling = text.request.sampling
        ended = text.written[-1] in self._ends
        full = len(text.written) == sampling.max_tokens
        if not (ended or full or self._may_stop(text)):
            return None
        words = self._decoded(text.written[:-1] if ended else text.written)
        places = [words.find(stop) for stop in sampling.stop if stop in words]
        if not (ended or full or places):
            return None
        return Completion(
            text=words[: min(places)] if places else words,
            cut=not (ended or places),
            prompt_tokens=len(text.prompt),
            completion_tokens=len(text.written),
            cached_tokens=text.cached,
        )

    def _may_stop(self, text: Text) -> bool:
        stops = text.request.sampling.stop
        if stops not in self._stoppers:
            self._stoppers[stops] = self._may_end(stops)
        if text.written[-1] not in self._stoppers[stops]:
            return False
        tail = self._decoded(text.written[-TAIL:])
        return any(stop in tail for stop in stops)

    def _decoded(self, tokens: list[int]) -> str:
        return cast(str, self.tokenizer.decode(tokens, skip_special_tokens=True))

    def _may_end(self, stops: Sequence[str]) -> frozenset[int]:
        """The tokens that may be the last of a stop text, so that the others need not be looked at."""
        last = {stop[-1] for stop in stops if stop}
        pieces = self.tokenizer.batch_decode([[token] for token in range(self._vocabulary)])
        return frozenset(
            token
            for token, piece in enumerate(pieces)
            if not last.isdisjoint(piece) or "\N{REPLACEMENT CHARACTER}" in piece
        )


def _alike(texts: list[Text]) -> int:
    """How many tokens all prompts begin with; 0 where it would not pay to know."""
    first = texts[0].prompt
    low, high = 0, min(len(text.prompt) for text in texts) if len(texts) > 1 else 0
    while low < high:
        middle = (low + high + 1) // 2
        if all(text.prompt[:middle] == first[:middle] for text in texts):
            low = middle
        else:
            high = middle - 1
    return low if low >= SHARED else 0


def _end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    configured = getattr(model.generation_config, "eos_token_id", None)
    ends = configured if isinstance(configured, list) else [configured]
    return frozenset(token for token in (*ends, tokenizer.eos_token_id) if token is not None)
