"""A causal language model in PyTorch: loaded, given tokens of its own, and its prompts as token numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pneg import models
from pneg.errors import ModelError, needs

PREFERRED = ("gpt2", "smollm2-135m")
"""The first of these that can be had is the model where none is named: of one size class."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a prompt.

    Attributes:
        text: may hold tokens that were added to the model.
        learned: whether fitting learns to write it too.
        shortened: whether it loses its oldest tokens where the whole would be too long; one part of a prompt may.
    """

    text: str
    learned: bool = True
    shortened: bool = False


Prompt = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Causal:
    """A loaded model.

    Attributes:
        model: of `transformers`, on its device.
        tokenizer: its own.
        name: what it was loaded by.
    """

    model: Any
    tokenizer: Any
    name: str

    @property
    def device(self) -> Any:
        """Where its weights lie."""
        return self.model.device

    def number(self, token: str) -> int:
        """The number of a token that stands in the vocabulary as it is."""
        return int(self.tokenizer.convert_tokens_to_ids(token))

    def line_breaks(self) -> list[int]:
        """The numbers of the tokens that hold a line break, as byte-level and SentencePiece vocabularies write it."""
        return _line_breaks(self.tokenizer)

    def encode(self, prompts: Sequence[Prompt], room: int) -> list[tuple[list[int], list[bool]]]:
        """Token numbers of each prompt and whether each is learned; at most `room`, where a part may be shortened."""
        texts = [part.text for prompt in prompts for part in prompt]
        if not texts:
            return [([], []) for _ in prompts]
        found = self.tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)
        tokens = iter(found["input_ids"])
        return [_joined([(part, next(tokens)) for part in prompt], room) for prompt in prompts]


@lru_cache(maxsize=8)
def _line_breaks(tokenizer: Any) -> list[int]:
    marks = ("\u010a", "\n", "<0x0A>")
    return [number for token, number in tokenizer.get_vocab().items() if any(mark in token for mark in marks)]


def _joined(parts: list[tuple[Part, list[int]]], room: int) -> tuple[list[int], list[bool]]:
    too_many = max(0, sum(len(tokens) for _, tokens in parts) - room)
    numbers: list[int] = []
    learned: list[bool] = []
    for part, tokens in parts:
        kept = tokens[too_many:] if part.shortened else tokens
        numbers += kept
        learned += [part.learned] * len(kept)
    return numbers, learned


def preferred() -> str:
    """The first of `PREFERRED` that is in the cache or can be fetched.

    Raises:
        ModelError: of the last, when none can be had.
    """
    for name in PREFERRED[:-1]:
        try:
            models.causal_folder(name)
        except ModelError:
            continue
        return name
    models.causal_folder(PREFERRED[-1])
    return PREFERRED[-1]


def load(name: str | Path, device: str, precision: str, fixed: bool = True) -> Causal:
    """Load a model.

    Args:
        name: as for `pneg.models.causal_folder`.
        device: of PyTorch.
        precision: of the weights, `float32` or `bfloat16`.
        fixed: whether it is only to write or to score, so that its weights may lie in another order.

    Raises:
        ModelError: when it is not there or is no causal language model.
    """
    with needs("transformers"):
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from pneg.lm.packed import pack

    folder = models.causal_folder(str(name))
    # PyTorch's fused attention loses to plain matrix products on a processor in bfloat16
    attention = "eager" if device == "cpu" and precision == "bfloat16" else "sdpa"
    try:
        with models.quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder)
            model: Any = AutoModelForCausalLM.from_pretrained(
                folder, dtype=getattr(torch, precision), attn_implementation=attention
            )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{name} cannot be loaded as a causal model: {str(error).splitlines()[0]}") from error
    model.to(device).eval()
    if fixed:
        pack(model)
    return Causal(model, tokenizer, str(name))


def add_tokens(lm: Causal, tokens: Mapping[str, str]) -> None:
    """Add tokens whose embeddings begin as the mean of those of the words that describe them.

    Args:
        lm: the model; changed in place.
        tokens: each with its words.
    """
    import torch

    words = {token: lm.tokenizer(told, add_special_tokens=False)["input_ids"] for token, told in tokens.items()}
    lm.tokenizer.add_tokens(list(tokens), special_tokens=True)
    before = lm.model.get_input_embeddings().weight.shape[0]
    if len(lm.tokenizer) > before:
        lm.model.resize_token_embeddings(len(lm.tokenizer), mean_resizing=False)
    tables = {id(of.weight): of.weight for of in (lm.model.get_input_embeddings(), lm.model.get_output_embeddings())}
    with torch.no_grad():
        for token, numbers in words.items():
            for table in tables.values():
                table[lm.number(token)] = table[numbers].mean(0)
