"""The forward pass of an encoder over a packed batch.

The weights and modules are those of `transformers`; what is done here is which tokens meet which. Token by token work
runs on all tokens at once, without padding; attention runs block by block, on rows of one length; the last layer
computes only the tokens that are scored. Nothing of it changes a score: it is the same arithmetic, less of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pneg.devices import to_device
from pneg.errors import needs
from pneg.selector.packing import CONTEXT, PADDING, Block, Packed

with needs("selector"):
    import torch
    from torch import Tensor

FAMILIES = {"bert": False, "electra": False, "roberta": True, "xlm-roberta": True, "camembert": True, "mpnet": True}
"""Backbones that are known, and whether their positions are counted from behind the padding token's number."""


def known(model: Any) -> bool:
    """Whether the forward pass here is that of the model's backbone."""
    config = model.config
    absolute = (getattr(config, "position_embedding_type", None) or "absolute") == "absolute"
    return config.model_type in FAMILIES and absolute and not getattr(config, "is_decoder", False)


def most_tokens(model: Any) -> int:
    """Positions that the backbone knows."""
    config = model.config
    known = int(getattr(config, "max_position_embeddings", 0) or 1 << 30)
    return known - first_position(model)


def first_position(model: Any) -> int:
    """The number of the first token's position in the backbone's table."""
    return int(model.base_model.embeddings.padding_idx) + 1 if FAMILIES.get(model.config.model_type) else 0


@dataclass(frozen=True, slots=True)
class _Batch:
    """A packed batch on the device of the model.

    Attributes:
        input_ids: of the tokens that are no padding, shape (tokens,).
        positions: of the same, from 0.
        types: of the same.
        scored: which of them are scored, shape (scores,).
        local: where in its row each of these stands.
        rows: where in the blocks' rows each token stands; None where there is no padding.
        segments: of all places in rows, shape (places,).
        places: the positions of the same.
        packed: what it was made from.
        idle: how many tokens at the end mean nothing: see `_evened`.
    """

    input_ids: Tensor
    positions: Tensor
    types: Tensor
    scored: Tensor
    local: Tensor
    rows: Tensor | None
    segments: Tensor
    places: Tensor
    packed: Packed
    idle: int

    @property
    def blocks(self) -> tuple[Block, ...]:
        return self.packed.blocks

    @classmethod
    def of(cls, packed: Packed, device: torch.device) -> "_Batch":
        sizes = [block.rows * block.length for block in packed.blocks]
        scores = [block.rows * block.scored for block in packed.blocks]
        starts = packed.scored.copy()
        first = place = 0
        for size, score, block in zip(sizes, scores, packed.blocks, strict=True):
            starts[place : place + score] = (starts[place : place + score] - first) % block.length
            first, place = first + size, place + score
        real = packed.segments != PADDING
        full = bool(real.all())
        compiled = full and device.type == "cpu" and torch.is_autocast_enabled("cpu")
        idle = _evened(len(real)) - len(real) if compiled else 0

        def moved(array: npt.NDArray[Any]) -> Tensor:
            return to_device(array, device)

        return cls(
            moved(np.pad(packed.input_ids[real], (0, idle))),
            moved(np.pad(packed.positions[real], (0, idle))),
            moved(np.pad(packed.types[real], (0, idle))),
            moved(np.cumsum(real)[packed.scored] - 1),
            moved(starts),
            None if full else moved(np.flatnonzero(real)),
            moved(packed.segments),
            moved(packed.positions),
            packed,
            idle,
        )


def _evened(tokens: int) -> int:
    """So many tokens or up to 3% more: one of 32 numbers between a power of two and the next.

    A processor's bfloat16 kernels are compiled for each number of tokens, and are kept.
    """
    grain = 1 << max(0, tokens.bit_length() - 6)
    return -(-tokens // grain) * grain


class _IntoRows(torch.autograd.Function):
    """Puts tokens, shape (tokens, hidden), to their places in rows, shape (places, hidden); the rest is 0."""

    @staticmethod
    def forward(context: Any, tokens: Tensor, rows: Tensor, places: int) -> Tensor:
        context.save_for_backward(rows)
        return tokens.new_zeros(places, tokens.shape[1]).index_copy_(0, rows, tokens)

    @staticmethod
    def backward(context: Any, *given: Tensor) -> tuple[Tensor, None, None]:
        [rows] = context.saved_tensors
        return given[0].index_select(0, rows), None, None


class _OutOfRows(torch.autograd.Function):
    """Takes tokens from their places in rows, as `_IntoRows` put them there; each once, so no gradients add up."""

    @staticmethod
    def forward(context: Any, rows: Tensor, taken: Tensor) -> Tensor:
        context.save_for_backward(taken)
        context.places = rows.shape[0]
        return rows.index_select(0, taken)

    @staticmethod
    def backward(context: Any, *given: Tensor) -> tuple[Tensor, None]:
        [taken], [tokens] = context.saved_tensors, given
        return tokens.new_zeros(context.places, tokens.shape[1]).index_copy_(0, taken, tokens), None


def forward(model: Any, packed: Packed) -> Tensor:
    """The model's output for each scored token of a batch, shape (scores,).

    Args:
        model: a sequence classifier of `transformers` with one label.
        packed: the batch.
    """
    device = next(iter(model.parameters())).device
    if not known(model):
        return _as_it_is(model, packed, device)
    batch = _Batch.of(packed, device)
    body = model.base_model
    config = model.config
    positions = batch.positions + first_position(model)
    hidden = body.embeddings(batch.input_ids[None], position_ids=positions[None], token_type_ids=batch.types[None])
    if hasattr(body, "embeddings_project"):
        hidden = body.embeddings_project(hidden)
    hidden = hidden[0]
    masks = _masks(batch, body.encoder, config)
    layers = body.encoder.layer
    for number, layer in enumerate(layers):
        last = number == len(layers) - 1
        hidden = _layer(layer, hidden, batch, masks, config.num_attention_heads, last)
    first = hidden[:, None]
    if config.model_type == "bert":
        return torch.as_tensor(model.classifier(model.dropout(body.pooler(first)))).squeeze(-1)
    return torch.as_tensor(model.classifier(first)).squeeze(-1)


def _layer(
    layer: Any, hidden: Tensor, batch: _Batch, masks: Sequence[Tensor | None], heads: int, last: bool
) -> Tensor:
    attention = layer.attention
    asking = hidden[batch.scored] if last else hidden
    if hasattr(attention, "attn"):  # MPNet
        own = attention.attn
        seen = _attend(own.q(asking), own.k(hidden), own.v(hidden), batch, masks, heads, last)
        attended = attention.LayerNorm(attention.dropout(own.o(seen)) + asking)
    else:
        own = attention.self
        seen = _attend(own.query(asking), own.key(hidden), own.value(hidden), batch, masks, heads, last)
        attended = attention.output(seen, asking)
    return torch.as_tensor(layer.output(layer.intermediate(attended), attended))


def _attend(
    query: Tensor, key: Tensor, value: Tensor, batch: _Batch, masks: Sequence[Tensor | None], heads: int, last: bool
) -> Tensor:
    """What each asking token takes from those it sees, shape (asking tokens, hidden)."""
    tokens = [block.rows * block.length for block in batch.blocks]
    scores = [block.rows * block.scored for block in batch.blocks]
    if batch.rows is not None:
        key, value = (_IntoRows.apply(part, batch.rows, sum(tokens)) for part in (key, value))  # type: ignore[no-untyped-call]
        if not last:
            query = _IntoRows.apply(query, batch.rows, sum(tokens))  # type: ignore[no-untyped-call]
    # `split` and not slices: the gradient of a slice is as large as what it was cut from
    parts = [*tokens, batch.idle]
    queries = torch.split(query, scores if last else parts)
    keys, values = torch.split(key, parts), torch.split(value, parts)
    wanted = torch.split(batch.local, scores) if last else [None] * len(tokens)
    found = []
    for block, q, k, v, mask, asking in zip(batch.blocks, queries, keys, values, masks, wanted, strict=False):
        q, k, v = (part.view(block.rows, -1, heads, part.shape[-1] // heads).transpose(1, 2) for part in (q, k, v))
        if mask is not None and asking is not None:
            rows = asking.view(block.rows, 1, -1, 1).expand(-1, mask.shape[1], -1, block.length)
            mask = mask.expand(block.rows, -1, -1, -1).gather(2, rows)
        found.append(_softmax_attention(q, k, v, mask).transpose(1, 2).reshape(-1, query.shape[-1]))
    if batch.idle and not last:
        found.append(found[0].new_zeros(batch.idle, query.shape[-1]))
    together = torch.cat(found)
    if last or batch.rows is None:
        return together
    return torch.as_tensor(_OutOfRows.apply(together, batch.rows))  # type: ignore[no-untyped-call]


def _softmax_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Scaled dot-product attention, in the numbers of `_attending`."""
    device = query.device.type
    if device == "cpu":
        query, key, value = query.float(), key.float(), value.float()
    with torch.autocast(device, enabled=device != "cpu" and torch.is_autocast_enabled(device)):
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)


def _attending(device: str) -> torch.dtype:
    """What attention is computed in; on a processor float32, as bfloat16 is slow there for short texts.

    (A new kernel is compiled there for every shape, and texts have many lengths.)
    """
    if device != "cpu" and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return torch.float32


def _masks(batch: _Batch, encoder: Any, config: Any) -> list[Tensor | None]:
    """What is added to the attention of each block, shape (rows or 1, heads or 1, length, length)."""
    dtype = _attending(batch.segments.device.type)
    tokens = [block.rows * block.length for block in batch.blocks]
    relative = config.model_type == "mpnet"
    bias = None
    if relative and batch.packed.architecture == "cross":
        longest = max(block.length for block in batch.blocks)
        bias = _relative(encoder, torch.arange(longest, device=batch.positions.device)[None])
    found: list[Tensor | None] = []
    for block, segments, positions in zip(
        batch.blocks, torch.split(batch.segments, tokens), torch.split(batch.places, tokens), strict=True
    ):
        mask = None
        if block.masked:
            segment = segments.view(block.rows, block.length)
            looking, seen = segment[:, :, None], segment[:, None, :]
            may = (seen == CONTEXT) | (looking == seen)
            mask = torch.zeros(may.shape, dtype=dtype, device=may.device)
            mask = mask.masked_fill(~may, torch.finfo(dtype).min)[:, None]
        if relative:
            places = positions.view(block.rows, block.length).long()
            near = _relative(encoder, places) if bias is None else bias[:, :, : block.length, : block.length]
            mask = near if mask is None else near + mask
        found.append(None if mask is None else mask.to(dtype))
    return found


def _relative(encoder: Any, places: Tensor) -> Tensor:
    """MPNet's bias of the attention between tokens at these places, shape (rows, heads, length, length)."""
    apart = encoder.relative_position_bucket(places[:, None, :] - places[:, :, None])
    return torch.as_tensor(encoder.relative_attention_bias(apart).permute(0, 3, 1, 2))


def _as_it_is(model: Any, packed: Packed, device: torch.device) -> Tensor:
    """The model's own forward pass, block by block, for backbones that are not known here."""
    found, start = [], 0
    for block in packed.blocks:
        part = slice(start, start + block.rows * block.length)
        shape = (block.rows, block.length)
        inputs = {
            "input_ids": packed.input_ids[part].astype(np.int64),
            "attention_mask": (packed.segments[part] != PADDING).astype(np.int64),
        }
        if getattr(model.config, "type_vocab_size", 0) > 1:
            inputs["token_type_ids"] = packed.types[part].astype(np.int64)
        given = {name: to_device(array.reshape(shape), device) for name, array in inputs.items()}
        found.append(model(**given).logits.squeeze(-1))
        start = part.stop
    return torch.cat(found)
