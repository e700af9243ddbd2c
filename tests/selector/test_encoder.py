"""The packed forward pass gives what `transformers` gives, and shared contexts what they promise."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers

from pneg import Selector, corpora
from pneg.errors import ModelError
from pneg.selector import encoder
from pneg.selector.model import WHOLE_SLACK, computing
from pneg.selector.packing import Packer

STARTER = list(corpora.read("starter:test"))
PAIRS = [(d.context, text) for d in STARTER[:12] for text in (*d.positives, *d.negatives["human"])]


def made(folder: Path, **options: object) -> Selector:
    """A selector whose random weights are not so small that all scores are alike."""
    selector = Selector.create(str(folder), seed=3, max_length=48, device="cpu", **options)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in selector.model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.1)
    return selector


@pytest.mark.parametrize("slack", [1.0, 0.6])
def test_gradients_are_those_of_transformers(slack: float, backbone: Path) -> None:
    selector = made(backbone)
    tokenizer = selector.pairs.tokenizer
    joined = [selector.pairs.join(turns[-1:]) for turns, _ in PAIRS[:20]]
    inputs = tokenizer(
        joined, [text for _, text in PAIRS[:20]], padding=True, truncation=True, max_length=48, return_tensors="pt"
    )
    weights = torch.linspace(-1, 1, 20)
    (selector.model(**inputs).logits.squeeze(-1) * weights).sum().backward()
    expected = {
        name: value.grad.clone() for name, value in selector.model.named_parameters() if value.grad is not None
    }
    selector.model.zero_grad()

    contexts, responses = selector.pairs.encode(joined), selector.pairs.encode([text for _, text in PAIRS[:20]])
    numbers = np.array([(n, n) for n in range(20)])
    packed = Packer(selector.pairs, "cross", slack).pack(contexts, responses, numbers)
    assert (packed.padding > 0) == (slack < 1)
    (selector.scores(packed) * weights).sum().backward()
    assert len(expected) > 30
    for name, parameter in selector.model.named_parameters():
        if name in expected:
            assert parameter.grad is not None, name
            assert torch.allclose(parameter.grad, expected[name], atol=1e-4), name


def test_a_shared_score_depends_on_no_other_candidate(backbone: Path) -> None:
    selector = made(backbone, architecture="shared")
    together = selector.score(PAIRS)
    assert together.std() > 1e-3
    alone = np.array([selector.score([pair])[0] for pair in PAIRS[:24]])
    assert np.abs(together[:24] - alone).max() < 1e-5
    assert np.abs(selector.score(PAIRS[::-1])[::-1] - together).max() < 1e-5


def test_a_shared_score_depends_on_the_context_and_the_candidate(backbone: Path) -> None:
    selector = made(backbone, architecture="shared")
    [(turns, text), *_] = PAIRS
    changed = [(turns, text), ((*turns[:-1], "Something else."), text), (turns, "Something else.")]
    one, other_context, other_text = selector.score(changed)
    # tiny random models: how far apart differs with the numbers that their vocabularies' words happen to have
    assert abs(one - other_context) > 1e-4
    assert abs(one - other_text) > 1e-4


def test_more_candidates_than_fit_a_row_are_scored_the_same(backbones: dict[str, Path]) -> None:
    selector = made(backbones["bert"], architecture="shared")
    texts = [f"{text} {n}" for n in range(20) for text in STARTER[0].positives]
    context = STARTER[0].context
    scores = selector.score([(context, text) for text in texts])
    assert np.abs(scores[-5:] - selector.score([(context, text) for text in texts[-5:]])).max() < 1e-5


def test_few_numbers_of_tokens_occur() -> None:
    found = {encoder._evened(tokens) for tokens in range(4096, 8193)}
    assert len(found) == 33
    assert all(0 <= encoder._evened(tokens) - tokens <= 0.04 * tokens for tokens in range(1, 9000))
    assert [encoder._evened(tokens) for tokens in range(1, 65)] == list(range(1, 65))


@pytest.mark.parametrize("architecture", ["cross", "shared"])
def test_tokens_that_mean_nothing_change_nothing(
    architecture: str, backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    selector = made(backbone, architecture=architecture)
    contexts, responses, numbers = selector.pairs.encode_pairs(PAIRS[:22], 4)
    packed = selector.packer.pack(contexts, responses, np.array(numbers))
    found = []
    for grain in (1, 1000):
        monkeypatch.setattr(encoder, "_evened", lambda tokens, grain=grain: -(-tokens // grain) * grain)
        assert encoder._evened(len(packed.input_ids)) > len(packed.input_ids) or grain == 1
        selector.model.zero_grad()
        with computing(selector.device, "bfloat16"):
            scores = selector.scores(packed).float()
        (scores * torch.linspace(-1, 1, len(scores))).sum().backward()
        gradients = [value.grad.flatten() for value in selector.model.parameters() if value.grad is not None]
        found.append((scores.detach(), torch.cat(gradients)))
    (scores, gradients), (others, other_gradients) = found
    assert (scores - others).abs().max() < 0.02 * scores.std() + 0.002
    assert torch.nn.functional.cosine_similarity(gradients, other_gradients, dim=0) > 0.999


SHORT = [(turns[-1:], text) for turns, text in PAIRS]


def test_blocks_with_padding_give_the_same_scores(backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for architecture in ("cross", "shared"):
        selector = made(backbone, architecture=architecture)
        exact = selector.score(SHORT)
        with monkeypatch.context() as patch:
            patch.setattr(Selector, "packer", property(lambda self: Packer(self.pairs, self.architecture, 0.6)))
            assert np.abs(selector.score(SHORT) - exact).max() < 1e-5


@pytest.mark.parametrize("family", ["distilbert", "ernie"])
def test_a_backbone_that_is_not_known_runs_as_transformers_has_it(
    family: str, backbones: dict[str, Path], tmp_path: Path
) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(backbones["bert"], truncation_side="left")
    sizes = {
        "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64},
        "ernie": {
            "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
            "pad_token_id": tokenizer.pad_token_id,
        },
    }  # fmt: skip
    config = transformers.AutoConfig.for_model(family, vocab_size=len(tokenizer), **sizes[family])
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    selector = made(tmp_path)
    assert not encoder.known(selector.model)
    assert selector.packer.slack == WHOLE_SLACK
    joined = [selector.pairs.join(turns) for turns, _ in SHORT]
    given = tokenizer(
        joined, [text for _, text in SHORT], padding=True, truncation=True, max_length=48, return_tensors="pt"
    )
    if family == "distilbert":
        given.pop("token_type_ids", None)
    with torch.inference_mode():
        expected = selector.model(**given).logits.squeeze(-1).numpy()
    assert expected.std() > 1e-3
    assert np.abs(selector.score(SHORT) - expected).max() < 1e-5
    with pytest.raises(ModelError, match=f"{family}: the shared architecture is there for bert, electra"):
        made(tmp_path, architecture="shared")


def test_what_the_forward_pass_here_is_not_for() -> None:
    def known(**options: object) -> bool:
        return encoder.known(SimpleNamespace(config=transformers.BertConfig(**options)))

    assert known()
    assert not known(is_decoder=True)
    assert not known(position_embedding_type="relative_key")


def test_how_many_tokens_a_backbone_reads(backbones: dict[str, Path]) -> None:
    positions = Selector.create(str(backbones["roberta"])).model.config.max_position_embeddings
    with pytest.raises(ModelError, match=f"reads {positions - 2} tokens at most"):
        Selector.create(str(backbones["roberta"]), max_length=positions - 1)
    Selector.create(str(backbones["roberta"]), max_length=positions - 2)
    without = SimpleNamespace(config=SimpleNamespace(model_type="of any length"))
    assert encoder.most_tokens(without) > 10**6


def test_a_length_that_the_backbone_has_no_positions_for_is_refused(backbones: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match="reads 158 tokens at most, and pairs may have 159"):
        Selector.create(str(backbones["bert"]), max_length=159)
    with pytest.raises(ModelError, match="reads 158 tokens at most, and pairs may have 165"):
        Selector.create(str(backbones["bert"]), max_length=110, architecture="shared")


def test_it_saves_and_loads_its_architecture(backbones: dict[str, Path], tmp_path: Path) -> None:
    selector = made(backbones["bert"], architecture="shared")
    selector.calibration = {"temperature": 2.5}
    selector.save(tmp_path / "s")
    loaded = Selector.load(tmp_path / "s", device="cpu")
    assert (loaded.architecture, loaded.temperature) == ("shared", 2.5)
    assert np.abs(loaded.score(PAIRS[:10]) - selector.score(PAIRS[:10])).max() < 1e-6
