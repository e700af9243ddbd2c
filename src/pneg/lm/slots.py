"""Keys and values of many texts in work, each in a slot of its own that grows as the text does."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface, PretrainedConfig, PreTrainedModel

ATTENTION = "pneg_slots"
"""The name under which transformers finds the attention below."""
GRAIN = 16
"""Positions by which the slots grow, and to which the part that is looked at is rounded."""


class Slots:
    """Stands where transformers expects its cache; the rows and positions of a pass are set before it.

    A pass covers neighbouring slots only, so that what is looked at is a view and nothing is copied. What lies
    behind a text's end in its slot, be it of padding or of an earlier text, is never looked at: a token sees the
    positions up to its own, and each is written before it is seen.

    Args:
        config: of the model.
        slots: how many texts at a time.
        dtype: of keys and values.
        device: where they lie.
    """

    is_compileable = False

    def __init__(self, config: PretrainedConfig, slots: int, dtype: torch.dtype, device: torch.device) -> None:
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        shape = (2, slots, heads, 0, width)
        self.layers = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(config.num_hidden_layers)]
        self.length = 0
        self._rows = slice(0)
        self._at = (torch.zeros(0), torch.zeros(0))
        self._seen = 0

    def reserve(self, length: int) -> None:
        """Make room for texts of `length` tokens."""
        if length <= self.length:
            return
        self.length = -(-max(length, self.length * 3 // 2) // GRAIN) * GRAIN
        for place, layer in enumerate(self.layers):
            grown = layer.new_zeros((*layer.shape[:3], self.length, layer.shape[4]))
            grown[:, :, :, : layer.shape[3]] = layer
            self.layers[place] = grown

    def copy(self, sources: Sequence[int], first: int, length: int) -> None:
        """Give the slots from `first` on, one for each source, the first `length` positions of the sources."""
        targets = slice(first, first + len(sources))
        if length and list(sources) != list(range(targets.start, targets.stop)):
            for layer in self.layers:
                layer[:, targets, :, :length] = layer[:, list(sources), :, :length]

    def move(self, sources: Sequence[int], targets: Sequence[int], length: int) -> None:
        """Give some slots the first `length` positions of others, one each."""
        if sources:
            for layer in self.layers:
                layer[:, list(targets), :, :length] = layer[:, list(sources), :, :length]

    def swap(self, one: int, other: int, length: int) -> None:
        """Exchange the first `length` positions of two slots."""
        for layer in self.layers:
            layer[:, [one, other], :, :length] = layer[:, [other, one], :, :length]

    def look(self, rows: slice, length: int) -> None:
        """Prepare a pass over the neighbouring slots `rows`, none of whose texts is longer than `length`."""
        self._rows = rows
        self._seen = min(self.length, -(-length // GRAIN) * GRAIN)

    def mask(self, positions: torch.Tensor) -> torch.Tensor:
        """Where each token of the pass may look.

        Args:
            positions: (rows, tokens), where each token stands in its text.

        Returns:
            (rows, 1, tokens, positions), 0 where it may and a very negative number elsewhere.
        """
        device, dtype = positions.device, self.layers[0].dtype
        self._at = (torch.arange(len(positions), device=device)[:, None], positions)
        seen = torch.arange(self._seen, device=device) <= positions[:, None, :, None]
        mask = torch.zeros(seen.shape, dtype=dtype, device=device)
        return mask.masked_fill_(~seen, torch.finfo(dtype).min)

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Take the keys and values of a pass; return all that it may look at (transformers' cache protocol)."""
        row, position = self._at
        held_keys, held_values = self.layers[layer][:, self._rows]
        held_keys[row, :, position] = keys.transpose(1, 2)
        held_values[row, :, position] = values.transpose(1, 2)
        return held_keys[:, :, : self._seen], held_values[:, :, : self._seen]

    def get_seq_length(self, layer: int = 0) -> int:
        """Nothing is in front of a pass but what `look` was told of (transformers' cache protocol)."""
        return 0

    def get_mask_sizes(self, tokens: int, layer: int) -> tuple[int, int]:
        """How many positions are looked at, and from which on (transformers' cache protocol)."""
        return self._seen, 0


def logits_behind(
    model: PreTrainedModel,
    cache: Slots,
    tokens: torch.Tensor,
    positions: torch.Tensor,
    last: torch.Tensor,
    alike: int = 0,
) -> torch.Tensor:
    """One pass over the slots that the cache looks at.

    Args:
        model: a causal language model whose attention is `ATTENTION`.
        cache: prepared for the pass by `look`.
        tokens: (rows, tokens).
        positions: (rows, tokens), where each token stands in its text.
        last: (rows,), the token of each row that the next one is wanted of.
        alike: positions that are the same in all rows.

    Returns:
        (rows, vocabulary).
    """
    hidden = model.base_model(
        input_ids=tokens,
        position_ids=positions,
        attention_mask=cache.mask(positions),
        past_key_values=cache,
        use_cache=True,
        alike=alike,
    ).last_hidden_state
    head: torch.nn.Module = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    found: torch.Tensor = head(hidden[torch.arange(len(hidden), device=hidden.device), last])
    return found


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    scaling: float | None = None,
    alike: int = 0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention that copies no key: heads that share keys stand as more queries of one head.

    What all rows begin with is looked at once, by the queries of all rows in one product, where that takes less time
    than PyTorch's fused attention: for a token of each row, and on a processor in bfloat16.

    Args:
        module: of the layer; not used.
        query: (rows, heads, tokens, width).
        key: (rows, key heads, positions, width).
        value: as `key`.
        attention_mask: (rows, 1, tokens, positions).
        scaling: of the products; by default one over the root of the width.
        alike: positions that are the same in all rows, and seen by every token.

    Returns:
        (rows, tokens, heads, width), and no weights.
    """
    rows, heads, tokens, width = query.shape
    shared = key.shape[1]
    queries = query.reshape(rows, shared, -1, width)
    each, seen = queries.shape[2], key.shape[2]
    slow = tokens > 1 and query.device.type == "cpu" and query.dtype == torch.bfloat16
    if not slow and (tokens > 1 or not alike):
        mask = attention_mask.repeat(1, 1, heads // shared, 1)
        out = functional.scaled_dot_product_attention(queries, key, value, attn_mask=mask, scale=scaling)
        return out.reshape(rows, heads, tokens, width).transpose(1, 2), None
    queries = queries * (width**-0.5 if scaling is None else scaling)
    weights = queries.new_empty(rows, shared, each, seen)
    if alike:
        together = queries.transpose(0, 1).reshape(shared, rows * each, width)
        front = together @ key[0, :, :alike].transpose(1, 2)
        weights[..., :alike] = front.view(shared, rows, each, alike).transpose(0, 1)
    # keys first: the other way round PyTorch would copy all of them on a processor in bfloat16
    weights[..., alike:] = (key[:, :, alike:] @ queries.transpose(2, 3)).transpose(2, 3)
    weights.view(rows, shared, -1, tokens, seen)[..., alike:].add_(attention_mask[:, :, None, :, alike:])
    weights = torch.softmax(weights, -1)
    out = weights[..., alike:] @ value[:, :, alike:]
    if alike:
        front = weights[..., :alike].transpose(0, 1).reshape(shared, rows * each, alike) @ value[0, :, :alike]
        out += front.view(shared, rows, each, width).transpose(0, 1)
    return out.reshape(rows, heads, tokens, width).transpose(1, 2), None


AttentionInterface.register(ATTENTION, attend)
