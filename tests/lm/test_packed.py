"""Packed weights give what the plain ones give."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from pneg.devices import best_precision
from pneg.lm import causal
from pneg.lm.packed import PackedLinear, pack


def packed(model: torch.nn.Module) -> int:
    return sum(isinstance(module, PackedLinear) for module in model.modules())


@pytest.mark.skipif(
    best_precision(torch.device("cpu")) != "bfloat16", reason="this processor does not multiply in bfloat16"
)
def test_a_packed_model_computes_what_it_did(language_model: Path) -> None:
    plain = AutoModelForCausalLM.from_pretrained(language_model, dtype=torch.bfloat16).eval()
    model = causal.load(language_model, "cpu", "bfloat16").model
    # all products of both layers and of the vocabulary
    assert packed(model) == (2 * 7 + 1 if plain.config.model_type == "llama" else 2 * 4 + 1)
    weights = {id(parameter) for parameter in model.parameters()}
    assert len(weights) < len(list(plain.parameters())), "the plain weights are still held"
    generator = torch.Generator().manual_seed(0)
    for rows, tokens in ((1, 1), (3, 1), (70, 1), (2, 33)):
        inputs = torch.randint(len(plain.get_input_embeddings().weight), (rows, tokens), generator=generator)
        with torch.inference_mode():
            expected, found = (of(input_ids=inputs).logits.float() for of in (plain, model))
        assert expected.std() > 0.1
        assert (found - expected).abs().max() < 0.05 * expected.abs().max()


def test_what_would_not_gain_is_left(language_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(language_model)
    pack(model)
    assert not packed(model)
