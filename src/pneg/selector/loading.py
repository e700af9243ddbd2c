"""An encoder and its tokenizer from a folder: complete and fitting each other, or refused with the reason."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pneg import models
from pneg.errors import ModelError, needs

with needs("selector"):
    import torch
    import transformers

NAMED = 3
"""Tensors that a message names at most."""
SHOWN = 200
"""Characters of a library's own message that are repeated."""


def encoder(folder: Path, *, fresh_head: bool) -> tuple[Any, Any]:
    """A sequence classifier with one label, and its tokenizer.

    Args:
        folder: of a backbone, or of a selector.
        fresh_head: whether the head, and the pooler that some backbones lack, may be missing from the folder. They
            are drawn at random then. Every other tensor must be there, and safe tensors are asked for where nothing
            may be missing.

    Raises:
        ModelError: when the folder is not complete, or tokenizer and model do not fit each other.
    """
    # said each time: what is left unsaid, transformers may ask for on a terminal
    own: dict[str, Any] = {"trust_remote_code": False}
    with models.quiet():
        with _reading(folder, "config.json"):
            config = transformers.AutoConfig.from_pretrained(folder, num_labels=1, **own)
            if hasattr(config, "attention_probs_dropout_prob"):
                config.attention_probs_dropout_prob = 0.0  # fused attention has none
        with _reading(folder, "tokenizer"):
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                folder, use_fast=True, truncation_side="left", **own
            )
        with _reading(folder, "model"):
            model, tensors = transformers.AutoModelForSequenceClassification.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are refused below, with their names
                **own,
                **({} if fresh_head else {"use_safetensors": True}),
            )
    if not tokenizer.is_fast or tokenizer.sep_token is None or tokenizer.pad_token_id is None:
        raise ModelError(f"{folder} has no fast tokenizer with a separator and a padding token; take an encoder")
    _check_tensors(folder, model, tensors, fresh_head)
    _check_vocabulary(folder, model, tokenizer)
    return model, tokenizer


@contextmanager
def _reading(folder: Path, part: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the libraries raise their own errors, and bare ones, for what is damaged
        reason = " ".join((str(error) or type(error).__name__).split())
        raise ModelError(
            f"{folder} cannot be loaded as an encoder: its {part} is missing or broken: {reason[:SHOWN]}; copy the "
            "folder again"
        ) from error


def _check_tensors(folder: Path, model: Any, tensors: Any, fresh_head: bool) -> None:
    """Refuse a model of which not every tensor is the folder's.

    Args:
        folder: for messages.
        model: as it was loaded.
        tensors: what transformers says about the loading.
        fresh_head: as for `encoder`.
    """
    missing = set(tensors["missing_keys"])
    other_shape = {key[0] if isinstance(key, tuple) else key for key in tensors["mismatched_keys"]}
    surplus = set() if fresh_head else set(tensors["unexpected_keys"])
    if fresh_head:
        inside = f"{model.base_model_prefix}."
        missing, other_shape = (
            {name for name in names if name.startswith(inside) and ".pooler." not in name}
            for names in (missing, other_shape)
        )
    for names, fault in (
        (missing, "lacks the tensors"),
        (other_shape, "has another shape than config.json says in"),
        (surplus, "holds tensors that config.json does not know:"),
    ):
        if names:
            shown = ", ".join(sorted(names)[:NAMED])
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            raise ModelError(f"{folder} is broken: its file of weights {fault} {shown}{more}; copy the folder again")
    for name, parameter in model.named_parameters():
        # a sum is much faster, and no number where any of its terms is none
        if not torch.isfinite(parameter.sum()) and not torch.isfinite(parameter).all():
            raise ModelError(
                f"{folder} is broken: the tensor {name} holds values that are no numbers; copy the folder again, or "
                "train it again with a lower learning rate"
            )


def _check_vocabulary(folder: Path, model: Any, tokenizer: Any) -> None:
    rows = model.get_input_embeddings().weight.shape[0]
    largest = max(tokenizer.get_vocab().values(), default=0)
    if largest >= rows:
        raise ModelError(
            f"{folder} is broken: its tokenizer has tokens up to number {largest}, the model knows {rows}, so the "
            "tokenizer is of another model; copy the folder again"
        )
