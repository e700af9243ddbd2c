"""An exported selector is whole or refused: its graph, its tokenizer and its settings must belong together."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tokenizers
from onnx import numpy_helper

from pneg import Selector, corpora
from pneg.cli import main
from pneg.errors import DataError, ModelError
from pneg.selector import export, ranking
from pneg.selector.exported import MODEL, TOKENIZER, ExportedSelector

STARTER = list(corpora.read("starter:test"))
PAIRS = [(d.context, text) for d in STARTER[:4] for text in (*d.positives, *d.negatives["human"])]


def older(folder: Path, copy: Path, **changes: Any) -> Path:
    """A copy as an earlier version wrote it, without a list of files, with other settings."""
    shutil.copytree(folder, copy)
    settings = json.loads((copy / "selector.json").read_text())
    settings.pop("files", None)
    (copy / "selector.json").write_text(json.dumps({**settings, **changes}))
    return copy


@pytest.fixture(scope="module")
def exports(backbones: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Exports of a tiny BERT of both architectures, and of a tiny RoBERTa."""
    home = tmp_path_factory.mktemp("exports")
    for name, backbone, architecture in (
        ("cross", "bert", "cross"),
        ("shared", "bert", "shared"),
        ("roberta", "roberta", "cross"),
    ):
        selector = Selector.create(
            str(backbones[backbone]),
            device="cpu",
            max_length=48,
            architecture=architecture,  # type: ignore[arg-type]
        )
        export.write(selector, home / name, "float32", PAIRS)
    return {name: home / name for name in ("cross", "shared", "roberta")}


@pytest.mark.parametrize("file", [MODEL, TOKENIZER])
def test_an_export_without_one_of_its_files_is_refused(file: str, exports: dict[str, Path], tmp_path: Path) -> None:
    half = shutil.copytree(exports["cross"], tmp_path / "half")
    (half / file).unlink()
    with pytest.raises(ModelError, match=f"half is broken: {file} is missing; copy the folder again"):
        ranking.load(half)
    with pytest.raises(ModelError, match=f"broken: .*{file}"):
        (older(exports["cross"], tmp_path / "older") / file).unlink()
        ranking.load(tmp_path / "older")


def test_an_export_of_an_earlier_version_loads_and_scores_the_same(exports: dict[str, Path], tmp_path: Path) -> None:
    for name in ("cross", "shared", "roberta"):
        expected = ExportedSelector.load(exports[name]).score(PAIRS)
        found = ExportedSelector.load(older(exports[name], tmp_path / name)).score(PAIRS)
        assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    "content", [b"", b"no graph", b"\x08\x07" * 50, None], ids=["empty", "text", "bytes", "half"]
)
def test_a_graph_that_is_empty_or_cut_off_is_refused(
    content: bytes | None, exports: dict[str, Path], tmp_path: Path
) -> None:
    folder = older(exports["cross"], tmp_path / "older")
    whole = (folder / MODEL).read_bytes()
    (folder / MODEL).write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(ModelError, match=r"model\.onnx is broken: "):
        ranking.load(folder)


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", "null", "[" * 100_000, '{"model": 1}'], ids=lambda text: text[:9]
)
def test_a_tokenizer_that_is_none_is_refused(content: str, exports: dict[str, Path], tmp_path: Path) -> None:
    folder = older(exports["cross"], tmp_path / "older")
    (folder / TOKENIZER).write_text(content)
    with pytest.raises(ModelError, match=r"older is broken: tokenizer\.json: "):
        ranking.load(folder)


def test_a_tokenizer_that_puts_nothing_between_two_texts_is_refused(exports: dict[str, Path], tmp_path: Path) -> None:
    folder = older(exports["cross"], tmp_path / "older")
    settings = json.loads((folder / TOKENIZER).read_text())
    (folder / TOKENIZER).write_text(json.dumps({**settings, "post_processor": None}))
    with pytest.raises(ModelError, match="older is broken: the tokenizer puts no separator between two texts"):
        ranking.load(folder)


def test_the_tokenizer_of_another_model_is_refused(exports: dict[str, Path], tmp_path: Path) -> None:
    folder = older(exports["cross"], tmp_path / "other family", types=False)
    shutil.copy(exports["roberta"] / TOKENIZER, folder)
    with pytest.raises(ModelError, match=r"separates texts by ' </s> ', selector\.json says ' \[SEP\] '"):
        ranking.load(folder)
    folder = older(exports["cross"], tmp_path / "larger")
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / TOKENIZER))
    tokenizer.add_tokens([f"word{number}" for number in range(40)])
    tokenizer.save(str(folder / TOKENIZER))
    largest = tokenizer.get_vocab_size() - 1
    with pytest.raises(ModelError, match=rf"model\.onnx cannot read the tokenizer's token {largest}, so one of them"):
        ranking.load(folder)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("cross", {"architecture": "shared"}, "is broken: model.onnx reads attention_mask, .* a shared selector"),
        ("shared", {"architecture": "cross"}, "is broken: model.onnx reads .*mask.* a cross selector"),
        ("cross", {"types": False}, "is broken: model.onnx reads .*token_type_ids, and .* gives attention_mask"),
        ("cross", {"pad": 100_000}, "is broken: model.onnx cannot read the tokenizer's token 100000"),
    ],
)
def test_settings_that_are_not_those_of_the_graph_are_refused(
    name: str, changes: dict[str, Any], message: str, exports: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=message):
        ranking.load(older(exports[name], tmp_path / "older", **changes))


def test_more_tokens_than_the_graph_has_positions_are_one_message(exports: dict[str, Path], tmp_path: Path) -> None:
    selector = ExportedSelector.load(older(exports["cross"], tmp_path / "older", max_length=4000))
    with pytest.raises(ModelError, match=r"older: model\.onnx cannot read 4000 tokens or is broken"):
        selector.score([(("word " * 300,), "a")])


@pytest.mark.parametrize("threads", [0, -1])
def test_fewer_than_one_thread_is_refused(threads: int, exports: dict[str, Path]) -> None:
    with pytest.raises(DataError, match=f"there are {threads} threads; expected 1 or more"):
        ExportedSelector.load(exports["cross"], threads=threads)


def test_every_command_refuses_half_an_export_with_one_line(
    exports: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = shutil.copytree(exports["cross"], tmp_path / "half")
    (half / TOKENIZER).unlink()
    for words in (
        ["rank", half, "--context", "Hi.", "--candidate", "a"],
        ["evaluate", half, "starter:test", "--limit", "2"],
        ["calibrate", half, "starter:test", "--limit", "2"],
        ["serve", half, "--port", "0"],
    ):
        assert main([str(word) for word in words]) != 0
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert "half is broken: tokenizer.json is missing" in err


def test_scores_of_an_export_that_are_no_numbers_name_its_folder(exports: dict[str, Path], tmp_path: Path) -> None:
    folder = older(exports["cross"], tmp_path / "older")
    graph = onnx.load(folder / MODEL)
    for tensor in graph.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and list(tensor.dims) == [1]:  # the head's bias
            tensor.CopyFrom(numpy_helper.from_array(np.array([np.nan], dtype=np.float32), tensor.name))
    onnx.save(graph, folder / MODEL)
    with pytest.raises(ModelError, match=r"older gave scores that are no numbers \(2 of 2\).*copy its folder again"):
        ranking.load(folder).rank(["Hi."], ["a", "b"])
