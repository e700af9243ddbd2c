"""Packed weights give what the plain ones give."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from pneg.devices import best_precision
from pneg.lm import causal
from pneg.lm.packed import PackedLinear


def packed(model: torch.nn.Module) -> int:
    return sum(isinstance(module, PackedLinear) for module in model.modules())


BFLOAT16 = pytest.mark.skipif(
    best_precision(torch.device("cpu")) != "bfloat16", reason="this processor does not multiply in bfloat16"
)
X86 = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")


@pytest.mark.skipif(not X86, reason="nothing is packed on this processor")
@pytest.mark.parametrize(("precision", "error"), [("float32", 1e-5), pytest.param("bfloat16", 0.05, marks=BFLOAT16)])
def test_a_packed_model_computes_what_it_did(precision: str, error: float, language_model: Path) -> None:
    plain = AutoModelForCausalLM.from_pretrained(language_model, dtype=getattr(torch, precision)).eval()
    model = causal.load(language_model, "cpu", precision).model
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
        assert (found - expected).abs().max() < error * expected.abs().max()


def test_what_is_to_be_fitted_is_left(language_model: Path) -> None:
    model = causal.load(language_model, "cpu", "float32", fixed=False).model
    assert not packed(model)
    assert all(parameter.requires_grad for parameter in model.parameters())
