"""How likely a causal language model holds texts to be."""

from collections.abc import Iterator, Sequence

from pneg.lm.causal import Causal, Part

TOKENS = 1024
"""Tokens that go through the model at a time: each takes a row of the vocabulary's length."""


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
            logits = lm.model(input_ids=tokens, attention_mask=known.long()).logits[:, :-1].float()
            of_next = torch.log_softmax(logits, -1).gather(2, tokens[:, 1:, None])[..., 0]
            for number, total in zip(batch, (of_next * known[:, 1:]).sum(1).tolist(), strict=True):
                found[number] = total
    return found


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
