"""A selector, a teacher, a backbone: the whole folder is loaded, or what is missing is said."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pneg import Selector, corpora
from pneg.errors import ModelError
from pneg.selector.recipe import Recipe
from pneg.selector.training import train

STARTER = list(corpora.read("starter:test"))
Change = Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]
EMPTY = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}


@pytest.fixture(scope="module")
def whole(backbones: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    Selector.create(str(backbones["bert"]), max_length=48, device="cpu").save(folder, "# card")
    return folder


@pytest.fixture
def listed(whole: Path, tmp_path: Path) -> Path:
    """A selector that may be damaged."""
    return shutil.copytree(whole, tmp_path / "listed")


@pytest.fixture
def older(whole: Path, tmp_path: Path) -> Path:
    """The same as an earlier version wrote it, without a list of files."""
    folder = shutil.copytree(whole, tmp_path / "older")
    settings = json.loads((folder / "selector.json").read_text())
    settings.pop("files", None)
    (folder / "selector.json").write_text(json.dumps(settings))
    return folder


def reweighted(folder: Path, change: Change) -> Path:
    file = folder / "model.safetensors"
    tensors = change(load_file(file))
    file.unlink()  # what was loaded is mapped from it
    save_file(tensors, file, metadata={"format": "pt"})
    return folder


def without(prefix: str) -> Change:
    return lambda tensors: {name: value for name, value in tensors.items() if not name.startswith(prefix)}


def unknowing(folder: Path) -> Path:
    """Replace the vocabulary by the special tokens alone, which is what transformers makes of a missing one."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] = EMPTY
    tokenizer["added_tokens"] = [entry for entry in tokenizer["added_tokens"] if entry["content"] in EMPTY]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


def test_what_was_written_is_listed_and_nothing_else(listed: Path) -> None:
    files = json.loads((listed / "selector.json").read_text())["files"]
    assert sorted(files) == ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    assert sorted([*files, "README.md", "selector.json"]) == sorted(file.name for file in listed.iterdir())
    assert files["config.json"]["bytes"] == (listed / "config.json").stat().st_size


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"])
def test_a_selector_without_one_of_its_files_is_refused(file: str, listed: Path) -> None:
    (listed / file).unlink()
    with pytest.raises(ModelError, match=rf"listed is broken: {file} is missing; copy the folder again"):
        Selector.load(listed)


def test_the_tokenizer_of_another_model_is_refused(listed: Path, older: Path, backbones: dict[str, Path]) -> None:
    unknowing(listed)
    with pytest.raises(ModelError, match=r"tokenizer\.json has [\d,]+ bytes, [\d,]+ were written"):
        Selector.load(listed)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(backbones["roberta"] / name, older)
    with pytest.raises(ModelError, match="older is broken: its tokenizer"):
        Selector.load(older)


def test_a_selector_of_an_earlier_version_loads(older: Path) -> None:
    assert Selector.load(older).rank(STARTER[0].context, ["a", "b"])


@pytest.mark.parametrize("class_", ["PreTrainedTokenizerFast", "BertTokenizer", "BertTokenizerFast"])
def test_an_older_selector_without_a_tokenizer_is_refused(class_: str, older: Path) -> None:
    (older / "tokenizer.json").unlink()
    config = json.loads((older / "tokenizer_config.json").read_text())
    (older / "tokenizer_config.json").write_text(json.dumps({**config, "tokenizer_class": class_}))
    with pytest.raises(ModelError, match="tokenizer"):
        Selector.load(older)


def test_an_older_selector_whose_tokenizer_knows_no_word_is_refused(older: Path) -> None:
    with pytest.raises(ModelError, match="ordinary words are all unknown to the tokenizer"):
        Selector.load(unknowing(older))
    tokenizer = json.loads((older / "tokenizer.json").read_text())
    tokenizer["model"]["unk_token"] = "<unk>"  # which tokenizers refuses at the first word, as it does MPNet's
    (older / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ModelError, match="older cannot be used: the tokenizer is broken: WordPiece error"):
        Selector.load(older)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("classifier."), r"lacks the tensors classifier\.bias, classifier\.weight"),
        (without("bert.encoder.layer.1.output"), r"lacks the tensors bert\.encoder\.layer\.1\.output.* and 1 more"),
        (without("bert.pooler"), r"lacks the tensors bert\.pooler"),
        (lambda tensors: {**tensors, "head.weight": torch.ones(1)}, r"config\.json does not know: head\.weight"),
        (
            lambda tensors: {**tensors, "classifier.weight": torch.ones(2, 32)},
            r"another shape than config\.json says in classifier\.weight",
        ),
        (
            lambda tensors: {**tensors, "classifier.bias": torch.tensor([float("nan")])},
            r"the tensor classifier\.bias holds values that are no numbers",
        ),
    ],
    ids=["head", "layer", "pooler", "surplus", "shape", "nan"],
)
def test_an_older_selector_of_which_a_tensor_is_wrong_is_refused(change: Change, message: str, older: Path) -> None:
    with pytest.raises(ModelError, match=message):
        Selector.load(reweighted(older, change))


def test_fewer_layers_in_the_configuration_than_in_the_weights_are_refused(older: Path) -> None:
    config = json.loads((older / "config.json").read_text())
    (older / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 1}))
    with pytest.raises(ModelError, match=r"config\.json does not know: bert\.encoder\.layer\.1"):
        Selector.load(older)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"])
@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"\xff", b"[" * 100_000], ids=lambda value: str(value[:4]))
def test_a_damaged_file_of_an_older_selector_is_one_message(file: str, content: bytes, older: Path) -> None:
    (older / file).write_bytes(content)
    with pytest.raises(ModelError, match=f"{older} .*(missing or broken|cannot be used)"):
        Selector.load(older)


def test_a_length_beyond_the_backbone_is_refused_when_a_selector_is_loaded(older: Path) -> None:
    settings = json.loads((older / "selector.json").read_text())
    (older / "selector.json").write_text(json.dumps({**settings, "max_length": 4096}))
    with pytest.raises(ModelError, match=r"older reads 158 tokens at most, and pairs may have 4096"):
        Selector.load(older)
    (older / "selector.json").write_text(json.dumps({**settings, "max_length": 3}))
    with pytest.raises(ModelError, match="the maximum length is 3, pairs need 5 tokens at least"):
        Selector.load(older)


def test_a_backbone_may_lack_its_head_and_pooler_and_nothing_of_its_encoder(
    backbones: dict[str, Path], tmp_path: Path
) -> None:
    bare = reweighted(shutil.copytree(backbones["bert"], tmp_path / "bare"), without("pooler."))
    assert Selector.create(str(bare), device="cpu").score([(("Hi.",), "Hello.")]).shape == (1,)
    half = reweighted(shutil.copytree(backbones["bert"], tmp_path / "half"), without("encoder.layer.1."))
    with pytest.raises(
        ModelError, match=r"half is broken: .* lacks the tensors bert\.encoder\.layer\.1.* and 13 more"
    ):
        Selector.create(str(half))


def test_a_backbone_with_a_head_of_several_labels_gets_a_fresh_one(older: Path) -> None:
    three = {"classifier.weight": torch.ones(3, 32), "classifier.bias": torch.ones(3)}
    reweighted(older, lambda tensors: tensors | three)
    assert Selector.create(str(older), device="cpu").model.classifier.weight.shape == (1, 32)


def test_a_backbone_whose_weights_are_cut_off_is_refused(backbones: dict[str, Path], tmp_path: Path) -> None:
    cut = shutil.copytree(backbones["bert"], tmp_path / "cut")
    content = (cut / "model.safetensors").read_bytes()
    (cut / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match="cut cannot be loaded as an encoder: its model is missing or broken"):
        Selector.create(str(cut))


def test_half_a_teacher_is_refused_before_anything_is_trained(
    listed: Path, backbones: dict[str, Path], tmp_path: Path
) -> None:
    recipe = Recipe(("human",), str(backbones["bert"]), epochs=1, batch=8, max_length=48)
    (listed / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"listed is broken: tokenizer\.json is missing"):
        train(STARTER[:16], replace(recipe, teacher=str(listed)), tmp_path / "out", device="cpu")
    assert not (tmp_path / "out" / "selector.json").exists()
