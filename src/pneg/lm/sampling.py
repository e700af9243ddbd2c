"""Sampling from a causal language model where every prompt is known beforehand, several texts to a prompt.

It stands beside `engine`, which answers requests as they come: there a text has stop words and penalties, leaves and
is replaced by itself. Here a prompt is read once for all its texts and the beginning of several prompts once for all
of them, a thousand rows close up in one pass, some tokens are barred, and `top_p` is taken of the whole vocabulary.
Both keep keys and values in `slots`.

A row's draws depend on its seed alone, so which rows share a batch changes nothing but the last bits of sums. These
can turn a draw that lies on the border of two tokens into the other: hardly ever in float32, about once in some
thousands of tokens in bfloat16. With the same batches all is repeated exactly.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pneg.lm.base import Completion
from pneg.lm.causal import Causal, Prompt

if TYPE_CHECKING:
    import torch

TRIES = 8
"""Draws from all tokens until one lies within `top_p`; the likeliest is taken where none did."""
ALIKE = 16
"""Tokens that prompts must begin alike with for their beginning to be read once."""
DRAWN = {"cpu": 16}
"""Texts whose tokens are drawn at a time: so many rows of a vocabulary stay in a processor's cache."""
FULL = 0.75
"""No more texts are begun while more than this share of the rows is in work."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt to be continued once for each seed, until the end token was written `ends` times."""

    prompt: Prompt
    seeds: tuple[int, ...]
    ends: int = 1


@dataclass(frozen=True, slots=True)
class Drawing:
    """How tokens are drawn.

    Attributes:
        end: the token that ends a text.
        temperature: of the softmax.
        top_p: share of the probability mass that is drawn from.
        min_tokens: written before each end token, at least.
        max_tokens: where a text is cut.
        max_length: tokens of a prompt, before it is shortened.
        rows: texts in work at a time.
    """

    end: str
    temperature: float = 1.0
    top_p: float = 1.0
    min_tokens: int = 0
    max_tokens: int = 64
    max_length: int = 256
    rows: int = 64


def sample(lm: Causal, asked: Sequence[Asked], how: Drawing) -> list[tuple[Completion, ...]]:
    """Continue each prompt once for each of its seeds.

    Args:
        lm: the model.
        asked: prompts, in any order.
        how: tokens are drawn.

    Returns:
        For each prompt its completions in the order of the seeds, the last end token left off. No token that was
        added to the vocabulary is written but the end token, and none that holds a line break: a text is one line.
    """
    import torch

    prompts = [tokens for tokens, _ in lm.encode([each.prompt for each in asked], how.max_length)]
    texts = [_Text(number, seed, each.ends) for number, each in enumerate(asked) for seed in each.seeds]
    with torch.inference_mode(), _attention_in_slots(lm):
        _Table(lm, prompts, how).write(_ordered(texts, prompts))
    kept = [text.written[:-1] if text.ended else text.written for text in texts]
    words = iter(lm.tokenizer.batch_decode(kept, skip_special_tokens=False) if kept else ())
    of_all = iter(texts)
    return [
        tuple(
            Completion(next(words), not text.ended, len(prompt), len(text.written))
            for _, text in zip(each.seeds, of_all, strict=False)
        )
        for each, prompt in zip(asked, prompts, strict=True)
    ]


@dataclass(slots=True)
class _Text:
    """A text to be written behind the prompt of this number: `left` ends to come, `since` tokens after the last."""

    prompt: int
    seed: int
    left: int
    written: list[int] = field(default_factory=list)
    since: int = 0

    @property
    def ended(self) -> bool:
        return not self.left


def _ordered(texts: list[_Text], prompts: list[list[int]]) -> list[_Text]:
    """Those of one prompt and those whose prompts begin alike together; the longest last, they are begun first."""
    longest: dict[tuple[int, ...], int] = {}
    for prompt in prompts:
        beginning = tuple(prompt[:ALIKE])
        longest[beginning] = max(longest.get(beginning, 0), len(prompt))

    def key(text: _Text) -> tuple[int, tuple[int, ...], int, int]:
        prompt = prompts[text.prompt]
        beginning = tuple(prompt[:ALIKE])
        return longest[beginning], beginning, len(prompt), text.prompt

    return sorted(texts, key=key)


def _common(prompts: list[list[int]]) -> list[int]:
    """What all of them begin with."""
    first, last = min(prompts), max(prompts)
    ends = (place for place, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    return first[: next(ends, min(len(first), len(last)))]


@contextmanager
def _attention_in_slots(lm: Causal) -> Iterator[None]:
    from pneg.lm.slots import ATTENTION

    before = lm.model.config._attn_implementation
    lm.model.set_attn_implementation(ATTENTION)
    try:
        yield
    finally:
        lm.model.set_attn_implementation(before)


class _Table:
    """Texts in work, in the first slots without a gap."""

    def __init__(self, lm: Causal, prompts: list[list[int]], how: Drawing) -> None:
        from pneg.lm.local import READ_AT_ONCE
        from pneg.lm.slots import Slots

        self.lm, self.prompts, self.how = lm, prompts, how
        self.cache = Slots(lm.model.config, how.rows, lm.model.dtype, lm.device)
        self.budget = READ_AT_ONCE.get(lm.device.type, READ_AT_ONCE["cpu"])
        self.end = lm.number(how.end)
        self.barred = [
            number for number in (*lm.tokenizer.added_tokens_decoder, *lm.line_breaks()) if number != self.end
        ]
        self.texts: list[_Text] = []
        self.numbers = np.zeros((how.rows, how.max_tokens, TRIES), dtype=np.float32)

    def write(self, waiting: list[_Text]) -> None:
        """Write all the texts, the last first."""
        if not self.how.max_tokens:
            return
        while waiting or self.texts:
            if waiting and len(self.texts) <= FULL * (self.how.rows - 1):
                self._begin(waiting)
            else:
                self._step()
            self._close_up()

    def _begin(self, waiting: list[_Text]) -> None:
        """Read the prompts of as many texts as there are free slots, each once, and write the first token of each."""
        first = len(self.texts)
        texts = waiting[first - self.how.rows :]
        del waiting[first - self.how.rows :]
        numbers = list(dict.fromkeys(text.prompt for text in texts))
        longest = max(len(self.prompts[number]) for number in numbers)
        self.cache.reserve(longest + self.how.max_tokens)
        begun = self._read_beginnings(numbers, first)
        numbers.sort(key=lambda number: len(self.prompts[number]) - begun[number][1])
        self.cache.copy([begun[number][0] for number in numbers], first, max(length for _, length in begun.values()))
        logits = self._read([(self.prompts[number], begun[number][1]) for number in numbers], first)
        places = {number: place for place, number in enumerate(numbers)}
        sources = [places[text.prompt] for text in texts]
        self.cache.copy([first + source for source in sources], first, longest)
        for place, text in enumerate(texts, first):
            generator = np.random.default_rng(text.seed)
            self.numbers[place] = generator.random((self.how.max_tokens, TRIES), dtype=np.float32)
        self.texts += texts
        self._draw(logits[sources], slice(first, len(self.texts)))

    def _read_beginnings(self, numbers: list[int], first: int) -> dict[int, tuple[int, int]]:
        """Read what several prompts begin with; for each prompt the slot where its beginning is, and its length."""
        alike: dict[tuple[int, ...], list[int]] = {}
        for number in numbers:
            alike.setdefault(tuple(self.prompts[number][:ALIKE]), []).append(number)
        found = dict.fromkeys(numbers, (first, 0))
        beginnings: list[list[int]] = []
        for members in alike.values():
            beginning = _common([self.prompts[member][:-1] for member in members])
            if len(members) > 1 and len(beginning) >= ALIKE:
                for member in members:
                    found[member] = first + len(beginnings), len(beginning)
                beginnings.append(beginning)
        if beginnings:
            self._read([(beginning, 0) for beginning in beginnings], first)
        return found

    def _read(self, texts: list[tuple[list[int], int]], first: int) -> "torch.Tensor":
        """Read token numbers, each from a place on, into the slots from `first` on; the logits behind each."""
        import torch

        found, start = [], 0
        while start < len(texts):
            end, longest = start, 0
            while end < len(texts):
                unread = max(longest, len(texts[end][0]) - texts[end][1])
                if end > start and (end + 1 - start) * unread > self.budget:
                    break
                end, longest = end + 1, unread
            some = texts[start:end]
            tokens = torch.tensor([of[begin:] + [0] * (longest - len(of) + begin) for of, begin in some])
            positions = torch.tensor([[begin] for _, begin in some]) + torch.arange(longest)
            # what is behind a text's end is written over before it is seen
            positions.clamp_(max=self.cache.length - 1)
            last = torch.tensor([len(of) - begin - 1 for of, begin in some])
            length = max(len(of) for of, _ in some)
            found.append(self._forward(slice(first + start, first + end), tokens, positions, last, length))
            start = end
        return torch.cat(found)

    def _step(self) -> None:
        """Write one more token of every text in work."""
        import torch

        lengths = [len(self.prompts[text.prompt]) + len(text.written) for text in self.texts]
        rows = slice(0, len(self.texts))
        tokens = torch.tensor([[text.written[-1]] for text in self.texts])
        positions = torch.tensor(lengths)[:, None] - 1
        logits = self._forward(rows, tokens, positions, torch.zeros(len(lengths), dtype=torch.long), max(lengths))
        self._draw(logits, rows)

    def _forward(
        self, rows: slice, tokens: "torch.Tensor", positions: "torch.Tensor", last: "torch.Tensor", length: int
    ) -> "torch.Tensor":
        from pneg.lm.slots import logits_behind

        self.cache.look(rows, length)
        device = self.lm.device
        return logits_behind(self.lm.model, self.cache, tokens.to(device), positions.to(device), last.to(device))

    def _draw(self, logits: "torch.Tensor", rows: slice) -> None:
        import torch

        texts = self.texts[rows]
        written = np.array([len(text.written) for text in texts])
        young = torch.tensor([text.since < self.how.min_tokens for text in texts], device=logits.device)
        numbers = torch.from_numpy(self.numbers[rows][np.arange(len(texts)), written]).to(logits.device)
        at_once = DRAWN.get(logits.device.type, len(texts))
        found = []
        for some, new, tries in zip(*[torch.split(of, at_once) for of in (logits, young, numbers)], strict=True):
            some = some.float()
            some[:, self.barred] = -torch.inf
            some[new, self.end] = -torch.inf
            found.append(draw(torch.softmax(some.div_(self.how.temperature), dim=-1), tries, self.how.top_p))
        for text, token in zip(texts, torch.cat(found).tolist(), strict=True):
            text.written.append(token)
            text.since += 1
            if token == self.end:
                text.left, text.since = text.left - 1, 0

    def _close_up(self) -> None:
        """Let the texts that are done go, and those in the last slots take the places they leave."""
        done = [text.ended or len(text.written) == self.how.max_tokens for text in self.texts]
        remaining = done.count(False)
        gaps = [place for place in range(remaining) if done[place]]
        moved = [place for place in range(remaining, len(done)) if not done[place]]
        if gaps:
            lengths = [
                len(self.prompts[self.texts[place].prompt]) + len(self.texts[place].written) for place in moved
            ]
            self.cache.move(moved, gaps, max(lengths))
            self.numbers[gaps] = self.numbers[moved]
            for gap, place in zip(gaps, moved, strict=True):
                self.texts[gap] = self.texts[place]
        del self.texts[remaining:]


def draw(probabilities: "torch.Tensor", numbers: "torch.Tensor", top_p: float) -> "torch.Tensor":
    """Draw a token for each row from the likeliest that together hold `top_p`, without sorting the vocabulary.

    A token is drawn from all, and again until those likelier than it hold less than `top_p`.

    Args:
        probabilities: shape (rows, vocabulary).
        numbers: uniform in [0, 1), shape (rows, tries).
        top_p: share of the mass; the token that crosses it is inside.

    Returns:
        Token numbers, shape (rows,).
    """
    import torch

    totals = probabilities.cumsum(-1)
    # right: a token of probability 0 is never drawn; the last total is not quite 1
    tried = torch.searchsorted(totals, numbers * totals[:, -1:], right=True).clamp(max=probabilities.shape[1] - 1)
    found = tried[:, 0].clone()
    waiting = torch.arange(len(found), device=found.device)
    for place in range(numbers.shape[1]):
        drawn = tried[waiting, place]
        # most rows are done after the first try, the others are looked at alone
        own = probabilities if place == 0 else probabilities[waiting]
        taken = _likelier(own, own.gather(1, drawn[:, None])) < top_p
        found[waiting[taken]] = drawn[taken]
        waiting = waiting[~taken]
        if not len(waiting):
            return found
    found[waiting] = probabilities[waiting].argmax(-1)
    return found


def _likelier(probabilities: "torch.Tensor", own: "torch.Tensor") -> "torch.Tensor":
    """The mass of the tokens that are likelier than the one of probability `own`, for each row."""
    # a product, where a choice would do: that takes three times as long on a processor
    return ((probabilities > own) * probabilities).sum(-1)
