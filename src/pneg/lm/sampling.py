"""Sampling from a causal language model in batches sorted by length; a row's draws depend on its seed alone.

Every row has random numbers of its own and stops by itself, so which rows share a batch changes nothing but the
last bits of sums. These can turn a draw that lies on the border of two tokens into the other: hardly ever in
float32, about once in some thousands of tokens in bfloat16. With the same batches all is repeated exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pneg.lm.base import Completion
from pneg.lm.causal import Causal, Prompt

if TYPE_CHECKING:
    import torch

TRIES = 8
"""Draws from all tokens until one lies within `top_p`; the likeliest is taken where none did."""
CROWDED = 0.7
"""Rows that are done leave a batch when fewer than this share of it is left."""


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
        min_tokens: written before the end token may be.
        max_tokens: where a text is cut.
        max_length: tokens of a prompt, before it is shortened.
        rows: texts written at a time.
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
        added to the vocabulary is written but the end token.
    """
    import torch

    prompts = [tokens for tokens, _ in lm.encode([each.prompt for each in asked], how.max_length)]
    order = sorted(range(len(asked)), key=lambda number: (len(prompts[number]), number))
    found: list[tuple[Completion, ...]] = [()] * len(asked)
    batch: list[int] = []
    with torch.inference_mode():
        for place, number in enumerate(order):
            batch.append(number)
            following = asked[order[place + 1]].seeds if place + 1 < len(order) else None
            rows = sum(len(asked[member].seeds) for member in batch)
            if following is None or rows + len(following) > how.rows:
                written = _Batch(lm, [prompts[member] for member in batch], [asked[member] for member in batch], how)
                for member, completions in zip(batch, written.run(), strict=True):
                    found[member] = completions
                batch = []
    return found


class _Batch:
    """Rows that are written together: each prompt is read once and then copied for each of its seeds."""

    def __init__(self, lm: Causal, prompts: list[list[int]], asked: list[Asked], how: Drawing) -> None:
        self.lm, self.prompts, self.asked, self.how = lm, prompts, asked, how
        self.end = lm.number(how.end)
        self.owners = [number for number, each in enumerate(asked) for _ in each.seeds]
        seeds = [seed for each in asked for seed in each.seeds]
        numbers = [np.random.default_rng(seed).random((how.max_tokens, TRIES), dtype=np.float32) for seed in seeds]
        self.numbers = np.stack(numbers) if numbers else np.zeros((0, how.max_tokens, TRIES), dtype=np.float32)
        self.written: list[list[int]] = [[] for _ in self.owners]
        self.ended = [False] * len(self.owners)

    def run(self) -> list[tuple[Completion, ...]]:
        import torch

        logits, cache, mask = self._read()
        rows = list(range(len(self.owners)))
        pick = torch.tensor(self.owners, device=self.lm.device)
        cache.batch_select_indices(pick)
        logits, mask = logits[pick], mask[pick]
        for step in range(self.how.max_tokens):
            tokens = self._draw(logits, rows, step)
            open_rows = self._note(tokens.tolist(), rows)
            if not open_rows or step + 1 == self.how.max_tokens:
                break
            if len(open_rows) < CROWDED * len(rows):
                pick = torch.tensor(open_rows, device=self.lm.device)
                rows = [rows[place] for place in open_rows]
                cache.batch_select_indices(pick)
                tokens, mask = tokens[pick], mask[pick]
            mask = torch.cat((mask, mask.new_ones((len(rows), 1))), dim=1)
            logits = self._forward(tokens[:, None], mask, mask.sum(1, keepdim=True) - 1, cache)
        return self._completions()

    def _read(self) -> "tuple[torch.Tensor, Any, torch.Tensor]":
        import torch
        from transformers import DynamicCache

        longest = max(map(len, self.prompts))
        tokens = torch.zeros((len(self.prompts), longest), dtype=torch.long)
        mask = torch.zeros_like(tokens)
        for number, prompt in enumerate(self.prompts):
            tokens[number, longest - len(prompt) :] = torch.tensor(prompt)
            mask[number, longest - len(prompt) :] = 1
        tokens, mask = tokens.to(self.lm.device), mask.to(self.lm.device)
        cache = DynamicCache()
        return self._forward(tokens, mask, (mask.cumsum(1) - 1).clamp(min=0), cache), cache, mask

    def _forward(
        self, tokens: "torch.Tensor", mask: "torch.Tensor", positions: "torch.Tensor", cache: Any
    ) -> "torch.Tensor":
        found = self.lm.model(
            input_ids=tokens, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True,
            logits_to_keep=1,
        )  # fmt: skip
        last: torch.Tensor = found.logits[:, -1].float()
        return last

    def _draw(self, logits: "torch.Tensor", rows: list[int], step: int) -> "torch.Tensor":
        import torch

        barred = [number for number in self.lm.tokenizer.added_tokens_decoder if number != self.end]
        if step < self.how.min_tokens:
            barred.append(self.end)
        logits[:, barred] = -torch.inf
        probabilities = torch.softmax(logits / self.how.temperature, dim=-1)
        return draw(probabilities, torch.from_numpy(self.numbers[rows, step]).to(logits.device), self.how.top_p)

    def _note(self, tokens: list[int], rows: list[int]) -> list[int]:
        """Write down what was drawn; the places of the rows that go on."""
        going = []
        for place, (row, token) in enumerate(zip(rows, tokens, strict=True)):
            if self.ended[row]:
                continue
            self.written[row].append(token)
            if token == self.end and self.written[row].count(token) >= self.asked[self.owners[row]].ends:
                self.ended[row] = True
            else:
                going.append(place)
        return going

    def _completions(self) -> list[tuple[Completion, ...]]:
        kept = [tokens[:-1] if ended else tokens for tokens, ended in zip(self.written, self.ended, strict=True)]
        texts = iter(self.lm.tokenizer.batch_decode(kept, skip_special_tokens=False) if kept else ())
        rows = iter(range(len(kept)))
        found = []
        for prompt, each in zip(self.prompts, self.asked, strict=True):
            own = [next(rows) for _ in each.seeds]
            found.append(
                tuple(
                    Completion(next(texts), not self.ended[row], len(prompt), len(self.written[row])) for row in own
                )
            )
        return found


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
    found = probabilities.argmax(-1)
    waiting = torch.ones_like(found, dtype=torch.bool)
    for place in range(numbers.shape[1]):
        own = probabilities.gather(1, tried[:, place : place + 1])
        likelier = (probabilities * (probabilities > own)).sum(-1)
        taken = waiting & (likelier < top_p)
        found = torch.where(taken, tried[:, place], found)
        waiting &= ~taken
        if not waiting.any():
            break
    return found
