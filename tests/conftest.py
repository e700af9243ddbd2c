"""Tiny encoders and language models with random weights and a real word-piece or byte-level tokenizer."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pneg import corpora

# Ray's telemetry is a thread that logs tracebacks as long as the tests run; formatting one beside any other
# `ast.parse` fails in Python 3.11 before 3.11.8 ("AST constructor recursion depth mismatch")
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
ARCHITECTURES = ("bert", "roberta", "electra", "mpnet")


def _texts() -> list[str]:
    found = []
    for dialogue in corpora.read("starter:test"):
        found += [*dialogue.context, *dialogue.positives, *dialogue.negatives["human"]]
    return found


def _tokenizer(architecture: str) -> Any:
    import tokenizers
    import transformers

    if architecture == "roberta":
        byte_level = tokenizers.ByteLevelBPETokenizer()
        special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        byte_level.train_from_iterator(_texts(), vocab_size=600, special_tokens=special, show_progress=False)
        # what the hub's roberta-base has
        byte_level._tokenizer.post_processor = tokenizers.processors.RobertaProcessing(
            ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False
        )
        return transformers.PreTrainedTokenizerFast(
            tokenizer_object=byte_level._tokenizer,
            bos_token="<s>", cls_token="<s>", sep_token="</s>", eos_token="</s>", pad_token="<pad>",
            unk_token="<unk>", mask_token="<mask>", model_input_names=["input_ids", "attention_mask"],
        )  # fmt: skip
    pieces = tokenizers.BertWordPieceTokenizer(lowercase=True)
    pieces.train_from_iterator(_texts(), vocab_size=600, show_progress=False)
    inner = pieces._tokenizer
    inner.post_processor = tokenizers.processors.BertProcessing(
        ("[SEP]", inner.token_to_id("[SEP]")), ("[CLS]", inner.token_to_id("[CLS]"))
    )
    names = ["input_ids", "attention_mask"]
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner,
        cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", unk_token="[UNK]", mask_token="[MASK]",
        model_input_names=names if architecture == "mpnet" else [*names, "token_type_ids"],
    )  # fmt: skip


def _model(architecture: str, tokenizer: Any) -> Any:
    import torch
    import transformers

    torch.manual_seed(0)
    sizes: dict[str, Any] = {**TINY, "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    if architecture == "roberta":
        config: Any = transformers.RobertaConfig(**sizes, max_position_embeddings=160, type_vocab_size=1)
        return transformers.RobertaModel(config)
    if architecture == "electra":
        config = transformers.ElectraConfig(**sizes, embedding_size=16, max_position_embeddings=158)
        return transformers.ElectraModel(config)
    if architecture == "mpnet":
        return transformers.MPNetModel(transformers.MPNetConfig(**sizes, max_position_embeddings=160))
    return transformers.BertModel(transformers.BertConfig(**sizes, max_position_embeddings=158))


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Models so small that threads wait for each other most of the time, beside other work above all."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of a tiny encoder for each architecture."""
    home = tmp_path_factory.mktemp("backbones")
    for architecture in ARCHITECTURES:
        tokenizer = _tokenizer(architecture)
        _model(architecture, tokenizer).save_pretrained(home / architecture)
        tokenizer.save_pretrained(home / architecture)
    return {architecture: home / architecture for architecture in ARCHITECTURES}


@pytest.fixture(params=ARCHITECTURES)
def backbone(request: pytest.FixtureRequest, backbones: dict[str, Path]) -> Path:
    """Each of the tiny encoders in turn."""
    return backbones[request.param]


CAUSAL = ("llama", "gpt2")


def _causal(architecture: str, spread: float) -> tuple[Any, Any]:
    import tokenizers
    import torch
    import transformers

    pieces = tokenizers.ByteLevelBPETokenizer()
    pieces.train_from_iterator(_texts(), vocab_size=600, special_tokens=["<end>"], show_progress=False)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=pieces._tokenizer, bos_token="<end>", eos_token="<end>"
    )
    torch.manual_seed(0)
    ends = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0, "initializer_range": spread}
    if architecture == "gpt2":
        config: Any = transformers.GPT2Config(
            n_embd=32, n_layer=2, n_head=4, n_positions=512, vocab_size=len(tokenizer), **ends
        )
        return transformers.GPT2LMHeadModel(config), tokenizer
    config = transformers.LlamaConfig(
        **{**TINY, "num_attention_heads": 4}, num_key_value_heads=2, max_position_embeddings=512,
        vocab_size=len(tokenizer), tie_word_embeddings=True, **ends,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config), tokenizer


@pytest.fixture(scope="session")
def language_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of a tiny causal language model for each architecture; heads share keys in the Llama."""
    home = tmp_path_factory.mktemp("language-models")
    for architecture in CAUSAL:
        model, tokenizer = _causal(architecture, spread=0.3)
        model.save_pretrained(home / architecture)
        tokenizer.save_pretrained(home / architecture)
    return {architecture: home / architecture for architecture in CAUSAL}


@pytest.fixture(params=CAUSAL)
def language_model(request: pytest.FixtureRequest, language_models: dict[str, Path]) -> Path:
    """Each of the tiny language models in turn."""
    return language_models[request.param]


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny Llama whose weights are as small as before any training."""
    folder = tmp_path_factory.mktemp("llama")
    for part in _causal("llama", spread=0.02):
        part.save_pretrained(folder)
    return folder
