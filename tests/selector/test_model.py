import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers

from pneg import Selector, corpora
from pneg.errors import DataError, ModelError
from pneg.selector.model import SLACK

STARTER = list(corpora.read("starter:test"))
PAIRS = [(d.context, text) for d in STARTER[:12] for text in (*d.positives, *d.negatives["human"])]


def test_scores_come_in_the_order_of_the_pairs_and_do_not_depend_on_their_neighbours(saved: Path) -> None:
    selector = Selector.load(saved)
    together = selector.score(PAIRS)
    assert together.dtype == np.float32
    alone = np.array([selector.score([pair])[0] for pair in PAIRS[:20]])
    assert np.abs(together[:20] - alone).max() < 1e-5
    assert np.abs(selector.score(PAIRS[::-1])[::-1] - together).max() < 1e-5


def test_transformers_gives_the_same_scores(saved: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(saved)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(saved).eval()
    selector = Selector.load(saved)
    joined = [selector.pairs.join(turns[-4:]) for turns, _ in PAIRS]
    inputs = tokenizer(joined, [text for _, text in PAIRS], padding=True, truncation=True, return_tensors="pt")
    assert inputs["input_ids"].shape[1] == 48
    with torch.inference_mode():
        scores = model(**inputs).logits.squeeze(-1).numpy()
    assert np.abs(scores - selector.score(PAIRS)).max() < 1e-5


def test_sentence_transformers_gives_the_same_scores(saved: Path) -> None:
    from sentence_transformers import CrossEncoder

    selector = Selector.load(saved)
    joined = [(selector.pairs.join(turns[-4:]), text) for turns, text in PAIRS]
    scores = CrossEncoder(str(saved), device="cpu").predict(joined, show_progress_bar=False)
    assert np.abs(scores - selector.score(PAIRS)).max() < 1e-5


def test_ranking_puts_the_best_first_and_keeps_ties_in_order(saved: Path) -> None:
    selector = Selector.load(saved)
    candidates = [*STARTER[0].positives, STARTER[0].positives[0]]
    ranking = selector.rank(STARTER[0].context, candidates)
    assert [place.score for place in ranking] == sorted((place.score for place in ranking), reverse=True)
    assert [candidates[place.index] for place in ranking] == [place.candidate for place in ranking]
    twins = [place.index for place in ranking if place.candidate == candidates[0]]
    assert twins == [0, 3]


def test_bfloat16_scores_are_near_and_leave_the_model_as_it_was(saved: Path) -> None:
    selector = Selector.load(saved)
    exact = selector.score(PAIRS)
    coarse = selector.score(PAIRS, precision="bfloat16")
    assert coarse.dtype == np.float32
    assert 0 < np.abs(exact - coarse).max() < 0.05
    assert np.abs(selector.score(PAIRS) - exact).max() < 1e-6


def test_the_head_depends_on_the_seed_alone(backbones: dict[str, Path]) -> None:
    heads = [Selector.create(str(backbones["bert"]), seed=seed).model.classifier.weight for seed in (1, 1, 2)]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_a_tokenizer_without_a_separator_is_refused(backbones: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(backbones["bert"], tmp_path / "b")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    del config["sep_token"]
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="no fast tokenizer with a separator"):
        Selector.create(str(folder))


def test_rows_are_padded_where_that_makes_fewer_blocks_and_costs_little(backbones: dict[str, Path]) -> None:
    selector = Selector.create(str(backbones["bert"]), device="cpu")
    assert selector.packer.slack == 1.0
    on_gpu = SimpleNamespace(
        device=torch.device("cuda"), model=selector.model, pairs=selector.pairs, architecture="cross"
    )
    assert Selector.packer.fget(on_gpu).slack == SLACK  # type: ignore[attr-defined]


def test_no_pairs_no_scores(saved: Path) -> None:
    assert Selector.load(saved).score([]).shape == (0,)
    assert Selector.load(saved).rank(["hello"], []) == []


@pytest.mark.parametrize("context", [[], "Are you hungry?"])
def test_a_context_that_is_no_list_of_turns_is_refused(context: object, backbones: dict[str, Path]) -> None:
    with pytest.raises(DataError, match="expected a list of t"):
        Selector.create(str(backbones["bert"])).rank(context, ["a"])  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["caf\udce9", 7, None, b"a"], ids=str)
def test_what_is_no_text_is_refused(text: object, backbones: dict[str, Path]) -> None:
    selector = Selector.create(str(backbones["bert"]))
    for context, candidates in (([text], ["a"]), (["a"], ["b", text])):
        with pytest.raises(DataError, match=r"^(context|candidates): .* is no text; expected text in UTF-8"):
            selector.rank(context, candidates)  # type: ignore[arg-type]


def test_a_selector_that_reads_no_turn_is_refused(backbones: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match="a selector that reads 0 turns reads no context; take 1 or more"):
        Selector.create(str(backbones["bert"]), history=0)


def test_a_folder_without_a_selector_is_refused(backbones: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no selector"):
        Selector.load(backbones["bert"])
    with pytest.raises(ModelError, match="holds no selector"):
        Selector.load(tmp_path / "nowhere")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="cannot be loaded as an encoder"):
        Selector.create(str(tmp_path))


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "config.json", "selector.json"])
def test_a_selector_of_which_a_file_is_cut_off_is_told_of(file: str, saved: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(saved, tmp_path / "broken")
    content = (broken / file).read_bytes()
    (broken / file).write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match="broken"):
        Selector.load(broken)


def test_settings_that_lack_something_are_told_of(saved: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(saved, tmp_path / "broken")
    settings = json.loads((broken / "selector.json").read_text())
    del settings["history"], settings["max_length"]
    (broken / "selector.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="is broken: it does not say max_length and history"):
        Selector.load(broken)


def test_pickled_weights_are_not_loaded(saved: Path, tmp_path: Path) -> None:
    pickled = shutil.copytree(saved, tmp_path / "pickled")
    (pickled / "model.safetensors").unlink()
    torch.save(Selector.load(saved).model.state_dict(), pickled / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        Selector.load(pickled)


def test_code_of_a_model_is_neither_run_nor_asked_about(saved: Path, tmp_path: Path) -> None:
    coded = shutil.copytree(saved, tmp_path / "coded")
    config = json.loads((coded / "config.json").read_text())
    ours = {"auto_map": {"AutoConfig": "code.Config"}, "model_type": "their own"}
    (coded / "config.json").write_text(json.dumps(config | ours))
    (coded / "code.py").write_text("raise SystemExit('their code ran')")
    with pytest.raises(ModelError):
        Selector.load(coded)
