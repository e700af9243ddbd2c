"""How likely a causal language model holds texts to be."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pneg.lm.causal import Causal, Part

if TYPE_CHECKING:
    import torch

TOKENS = 1024
"""Tokens that go through the model at a time."""
LOGITS = {"cpu": 64}
"""Of how many of them the vocabulary's logits are made at a time: more than so many leave a processor's cache."""


def log_probabilities(lm: Causal, texts: Sequence[str], max_length: int = 256) -> list[float]:
    """The natural logarithm of each text's probability behind the token that begins a text.

    Args:
        lm: the model.
        texts: in any order; what is longer is scored up to there.
        max_length: tokens.
    """
    import torch

    start = _begin(lm)
    rows = [
        [start, *tokens[: max_length - 1]] for tokens, _ in lm.encode([(Part(text),) for text in texts], max_length)
    ]
    order = sorted(range(len(rows)), key=lambda number: (len(rows[number]), number))
    found = [0.0] * len(rows)
    with torch.inference_mode():
        for batch in _batches(order, rows):
            tokens = torch.nn.utils.rnn.pad_sequence([torch.tensor(rows[n]) for n in batch], batch_first=True)
            lengths = torch.tensor([len(rows[n]) for n in batch])
            known = torch.arange(tokens.shape[1])[None] < lengths[:, None]
            tokens, known = tokens.to(lm.device), known.to(lm.device)
            hidden = lm.model.base_model(input_ids=tokens, attention_mask=known.long()).last_hidden_state[:, :-1]
            scored = known[:, 1:]
            of_next = torch.zeros(scored.shape, device=lm.device)
            of_next[scored] = _of_next(lm, hidden[scored], tokens[:, 1:][scored])
            for number, total in zip(batch, of_next.sum(1).tolist(), strict=True):
                found[number] = total
    return found


def _of_next(lm: Causal, hidden: "torch.Tensor", tokens: "torch.Tensor") -> "torch.Tensor":
    """The log-probability of each token behind the hidden state it stands beside."""
    import torch

    at_once = LOGITS.get(lm.device.type, TOKENS)
    head = lm.model.get_output_embeddings()
    found = [hidden.new_zeros(0, dtype=torch.float32)]
    for some, of_next in zip(torch.split(hidden, at_once), torch.split(tokens, at_once), strict=True):
        found.append(-torch.nn.functional.cross_entropy(head(some).float(), of_next, reduction="none"))
    return torch.cat(found)


def _begin(lm: Causal) -> int:
    known = lm.tokenizer.get_vocab()
    for token in ("<|endoftext|>", lm.tokenizer.bos_token, lm.tokenizer.eos_token):
        if token in known:
            return int(known[token])
    return 0


def _batches(order: list[int], rows: list[list[int]]) -> Iterator[list[int]]:
    batch: list[int] = []
    for number in order:
        if batch and (len(batch) + 1) * len(rows[number]) > TOKENS:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch
