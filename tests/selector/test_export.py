"""An exported selector: the same scores as in torch, without torch; folders that are left alone."""

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from msgspec.structs import replace
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from pneg import Selector, corpora
from pneg.errors import DataError, ModelError
from pneg.selector import export, int8, ranking, settings
from pneg.selector.exported import MODEL, ExportedSelector, inputs, open_session
from pneg.selector.packing import Architecture
from pneg.selector.ranking import Pair

STARTER = list(corpora.read("starter:test"))
PAIRS = [(d.context, text) for d in STARTER[:12] for text in (*d.positives, *d.negatives["human"])]
EXPORT = settings.Settings(max_length=8, history=1, about={}, kind="onnx", pad=0, types=True, export={})
WITHOUT_TORCH = """
import json, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "onnx"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
from pneg.selector import ranking
pairs = json.load(sys.stdin)
print(json.dumps(ranking.load(sys.argv[1]).score(pairs).tolist()))
"""


def correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.corrcoef(one, other)[0, 1])


def test_an_export_gives_the_scores_of_torch_for_each_architecture(decided: Path, tmp_path: Path) -> None:
    selector = Selector.load(decided, device="cpu")
    expected, attention = selector.score(PAIRS), selector.model.config._attn_implementation
    assert expected.std() > 0.05
    export.write(selector, tmp_path / "float32", "float32", PAIRS)
    onnx.checker.check_model(tmp_path / "float32" / MODEL)  # no operator is told what its opset does not know
    found = ExportedSelector.load(tmp_path / "float32").score(PAIRS)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 1e-4
    assert np.abs(selector.score(PAIRS) - expected).max() < 1e-6
    assert selector.model.config._attn_implementation == attention
    export.write(selector, tmp_path / "int8", "int8", PAIRS)
    coarse = ExportedSelector.load(tmp_path / "int8").score(PAIRS)
    assert np.abs(coarse - expected).max() > 0
    assert correlation(coarse, expected) > 0.9  # 8 bits are coarse in a model 32 numbers wide; a wrong graph gives 0


@pytest.mark.parametrize("architecture", ["bert", "roberta", "electra"])
def test_a_shared_export_reads_a_context_once_and_gives_the_scores_of_torch(
    architecture: str, backbones: dict[str, Path], tmp_path: Path
) -> None:
    selector = Selector.create(str(backbones[architecture]), device="cpu", architecture="shared", max_length=96)
    for weights in selector.model.parameters():
        if weights.dim() == 2:
            torch.nn.init.normal_(weights, std=0.4)
    many = [(STARTER[0].context, f"{text} {n}") for n in range(12) for text in STARTER[0].negatives["human"]]
    pairs = [*PAIRS, *many]  # more than fit one row
    expected = selector.score(pairs)
    assert expected.std() > 0.05
    for precision in ("float32", "int8"):
        export.write(selector, tmp_path / precision, precision, PAIRS)
    exported = ExportedSelector.load(tmp_path / "float32", threads=2)
    assert np.abs(exported.score(pairs) - expected).max() < 1e-4
    assert np.abs([exported.score([pair])[0] for pair in pairs[:9]] - expected[:9]).max() < 1e-4
    assert [len(batch) for batch in _batches(exported, many[:9])] == [5, 4]  # one context, both threads
    mixed = [pairs[number] for number in np.random.default_rng(0).permutation(len(pairs))]
    assert len(_batches(exported, mixed)) == len(_batches(exported, pairs))
    scores = [len(exported.session.run(None, given)[0]) for given in _given(exported, many[:5])]
    assert scores == [5]  # five candidates in one row
    coarse = ExportedSelector.load(tmp_path / "int8")
    assert correlation(coarse.score(pairs), expected) > 0.9
    assert np.abs([coarse.score([pair])[0] for pair in pairs[:9]] - coarse.score(pairs)[:9]).max() < 1e-5


def test_ranges_are_those_of_the_examples_and_hold_zero(tmp_path: Path) -> None:
    tensor = partial(helper.make_tensor_value_info, elem_type=onnx.TensorProto.FLOAT, shape=["n"])
    nodes = [helper.make_node("Neg", ["x"], ["y"]), helper.make_node("Abs", ["y"], ["z"])]
    model = helper.make_model(helper.make_graph(nodes, "g", [tensor("x")], [tensor("z")]), ir_version=8)
    examples = [{"x": np.array(values, dtype=np.float32)} for values in ([1, 2], [-3, 1], [2, 2])]
    assert int8.ranges(model, ["y", "z"], examples) == [(-2, 3), (0, 3)]
    assert [output.name for output in model.graph.output] == ["z"]


def _batches(exported: ExportedSelector, pairs: list[Pair]) -> list[NDArray[np.int64]]:
    contexts, responses, numbers = exported.pairs.encode_pairs(pairs, None)
    return exported._batches(contexts, responses, np.array(numbers))


def _given(exported: ExportedSelector, pairs: list[Pair]) -> Iterator[dict[str, Any]]:
    contexts, responses, numbers = exported.pairs.encode_pairs(pairs, None)
    packed = exported.packer.pack(contexts, responses, np.array(numbers))
    given = inputs(packed, exported.pairs.has_types)
    assert given["input_ids"].shape[0] == 1
    assert set(given) == {found.name for found in exported.session.get_inputs()}
    yield given


def test_a_shared_export_of_an_attention_of_its_own_kind_is_refused(
    backbones: dict[str, Path], tmp_path: Path
) -> None:
    selector = Selector.create(str(backbones["mpnet"]), device="cpu", architecture="shared", max_length=96)
    with pytest.raises(ModelError, match="a shared mpnet cannot be exported"):
        export.write(selector, tmp_path / "out", "float32", PAIRS)


def test_an_export_needs_no_torch(saved: Path, tmp_path: Path) -> None:
    selector = Selector.load(saved, device="cpu")
    export.write(selector, tmp_path / "out", "float32", PAIRS)
    command = [sys.executable, "-c", WITHOUT_TORCH, str(tmp_path / "out")]
    done = subprocess.run(command, input=json.dumps(PAIRS), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert np.abs(np.array(json.loads(done.stdout)) - selector.score(PAIRS)).max() < 1e-4


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_scores_do_not_depend_on_neighbours_order_or_threads(precision: str, saved: Path, tmp_path: Path) -> None:
    export.write(Selector.load(saved, device="cpu"), tmp_path / "out", precision, PAIRS[::2])
    selector = ExportedSelector.load(tmp_path / "out", threads=1)
    together = selector.score(PAIRS)
    selector.threads = 3
    assert np.abs(selector.score(PAIRS[::-1])[::-1] - together).max() < 1e-5
    assert np.abs([selector.score([pair])[0] for pair in PAIRS[:9]] - together[:9]).max() < 1e-5
    assert selector.score([]).shape == (0,)


def test_the_last_layer_is_computed_for_the_scored_tokens_only(backbones: dict[str, Path], tmp_path: Path) -> None:
    for architecture in ("cross", "shared"):
        selector = Selector.create(str(backbones["bert"]), device="cpu", architecture=architecture, max_length=96)
        export.write(selector, tmp_path / architecture, "float32", PAIRS)
        found = onnx.load(tmp_path / architecture / MODEL).graph
        made = {name: node for node in found.node for name in node.output}
        attentions = [node for node in found.node if node.op_type == "Attention"]
        first, last = ([made[made[name].input[0]].input[0] for name in node.input[:3]] for node in attentions)
        assert len(set(first)) == 1  # queries, keys and values of all tokens
        assert last == [f"{last[1]}_scored", last[1], last[1]]
        assert made[last[1]].op_type == "LayerNormalization"
        readers = [node.op_type for node in found.node if last[0] in node.input]
        assert sorted(readers) == ["Add", "MatMul"]  # what the attention gives is added to it; its queries


@pytest.mark.parametrize("architecture", ["cross", "shared"])
def test_no_product_of_an_int8_graph_is_made_within_an_attention_and_the_head_is_exact(
    architecture: Architecture, backbones: dict[str, Path], tmp_path: Path
) -> None:
    selector = Selector.create(str(backbones["bert"]), device="cpu", architecture=architecture, max_length=96)
    export.write(selector, tmp_path / "out", "int8", PAIRS)
    found = onnx.load(tmp_path / "out" / MODEL).graph
    kinds = [node.op_type for node in found.node]
    assert not {"QAttention", "MatMul", "MatMulInteger"}.intersection(kinds)
    assert {node.domain for node in found.node if node.op_type == "Attention"} == {""}  # which makes no product
    assert (kinds.count("Attention"), kinds.count("MatMulIntegerToFloat"), kinds.count("Gemm")) == (2, 12, 2)
    # what queries, keys and values are made of is rounded once; in the last layer what the queries are made of apart
    assert kinds.count("QuantizeLinear") == 2 * 4 + 1
    types = {tensor.name: tensor.data_type for tensor in found.initializer}
    weights = {types[node.input[1]] for node in found.node if node.op_type == "MatMulIntegerToFloat"}
    assert weights == {onnx.TensorProto.INT8}
    assert {types[node.input[1]] for node in found.node if node.op_type == "Gemm"} == {onnx.TensorProto.FLOAT}
    assert all(len(node.input) == 7 for node in found.node if node.op_type == "MatMulIntegerToFloat")  # with a bias
    read = {name for node in found.node for name in node.input}
    assert read.issuperset(types)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "README.md", MODEL, "selector.json", "tokenizer.json",
    ]  # fmt: skip


def _rounded(weights: NDArray[np.float32], file: Path) -> onnx.GraphProto:
    """The graph of x @ weights + (10, 20), made int8 with an example of -1 and 4."""
    given = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 2])
    scores = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 2])
    stored = [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.float32([10, 20]), "b")]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("Add", ["b", "p"], ["y"])]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(
        helper.make_graph(nodes, "g", [given], [scores], stored), ir_version=8, opset_imports=opsets
    )
    onnx.save(model, file)
    int8.quantise(file, [{"x": np.array([[-1, 4]], dtype=np.float32)}])
    return onnx.load(file).graph


def test_a_product_is_rounded_by_hand(tmp_path: Path) -> None:
    # weights in steps of 2/127 and, as both have one sign, 0.75/127; what comes in, -1 to 4, in steps of 5/255
    found = _rounded(np.array([[2.0, 0.5], [-1.0, 0.25]], dtype=np.float32), tmp_path / MODEL)
    assert [node.op_type for node in found.node] == ["QuantizeLinear", "MatMulIntegerToFloat"]
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in found.initializer}
    assert tensors["x_zero"] == 51
    assert tensors["w_rounded"].tolist() == [[127, 85], [-64, 42]]
    [out] = open_session(tmp_path / MODEL).run(None, {"x": np.array([[3, 0]], dtype=np.float32)})
    # 153 steps of 5/255 are 3
    assert out == pytest.approx(np.array([[3 * 2 + 10, 3 * 85 * 0.75 / 127 + 20]]), abs=1e-5)


def test_large_products_next_to_each_other_are_not_cut_off(tmp_path: Path) -> None:
    # a processor without VNNI adds two of them in 16 bits: 255 * 127 * 2 would become 32,767
    _rounded(np.array([[1.0, -1.0], [1.0, -1.0]], dtype=np.float32), tmp_path / MODEL)
    [out] = open_session(tmp_path / MODEL).run(None, {"x": np.array([[4, 4]], dtype=np.float32)})
    assert out == pytest.approx(np.array([[8 + 10, -8 + 20]]), abs=0.1)


@pytest.mark.parametrize("rows", [6, 7])
def test_two_weights_next_to_each_other_fit_sixteen_bits_with_any_activation(rows: int) -> None:
    generator = np.random.default_rng(0)
    for weights in generator.normal(size=(rows, 500)), generator.uniform(-1, 1, size=(rows, 500)) ** 3:
        exact = weights.astype(np.float32)
        rounded = np.rint(exact / (int8._largest(exact) / int8.LARGEST))
        pairs = [rounded[place : place + 2].clip(low, high).sum(0) for place in range(0, rows, 2)
                 for low, high in [(0, None), (None, 0)]]  # fmt: skip
        assert 255 * np.abs(pairs).max() <= 2**15 - 1
        assert np.abs(pairs).max(axis=0).min() >= 126  # no more is given up than must be


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_weights_that_are_all_zero_stay_so(tmp_path: Path) -> None:
    _rounded(np.array([[0.0, 1.0], [0.0, -1.0]], dtype=np.float32), tmp_path / MODEL)
    [out] = open_session(tmp_path / MODEL).run(None, {"x": np.array([[3, 0]], dtype=np.float32)})
    assert out == pytest.approx(np.array([[10, 23]]), abs=1e-5)


def test_settings_of_a_selector_and_what_it_was_calibrated_to_go_with_it(
    backbones: dict[str, Path], tmp_path: Path
) -> None:
    selector = Selector.create(str(backbones["bert"]), device="cpu", max_length=70, history=2)
    selector.calibration = {"temperature": 2.0}
    export.write(selector, tmp_path / "out", "int8", PAIRS)
    exported = ExportedSelector.load(tmp_path / "out")
    assert (exported.pairs.max_length, exported.history) == (70, 2)
    ranking_ = exported.rank(["hello"], ["a", "b", "c"])
    probabilities = [place.probability for place in ranking_]
    assert sum(probabilities) == pytest.approx(1.0)  # type: ignore[arg-type]
    assert probabilities == sorted(probabilities, reverse=True)  # type: ignore[type-var]


def test_either_kind_of_folder_loads_and_each_names_the_other(saved: Path, tmp_path: Path) -> None:
    selector = Selector.load(saved, device="cpu")
    export.write(selector, tmp_path / "out", "float32", PAIRS)
    assert isinstance(ranking.load(saved, "cpu"), Selector)
    assert isinstance(ranking.load(tmp_path / "out"), ExportedSelector)
    with pytest.raises(ModelError, match="exported selector"):
        Selector.load(tmp_path / "out")
    with pytest.raises(ModelError, match="not exported; pneg export"):
        ExportedSelector.load(saved)
    (tmp_path / "out" / MODEL).write_bytes(b"no graph")
    with pytest.raises(ModelError, match=r"is broken: model\.onnx has 8 bytes"):
        ranking.load(tmp_path / "out")


def test_an_export_takes_the_place_of_an_export_and_of_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with export.replacing_folder(out) as made:
        settings.write(made, EXPORT)
    with pytest.raises(RuntimeError), export.replacing_folder(out) as made:
        settings.write(made, replace(EXPORT, history=2))
        raise RuntimeError
    assert settings.read(out).history == 1
    with export.replacing_folder(out) as made:
        settings.write(made, replace(EXPORT, history=3))
    assert settings.read(out).history == 3
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="something else"), export.replacing_folder(tmp_path / "other"):
        pass
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match="it is a file"), export.replacing_folder(tmp_path / "file"):
        pass
    (tmp_path / "empty").mkdir()
    with export.replacing_folder(tmp_path / "empty") as made:
        settings.write(made, EXPORT)
    with pytest.raises(DataError, match="something else"), export.replacing_folder(tmp_path / "late"):
        (tmp_path / "late").mkdir()
        (tmp_path / "late" / "notes.txt").write_text("written in the meantime")
    assert (tmp_path / "late" / "notes.txt").exists()
    (tmp_path / "selector").mkdir()
    settings.write(tmp_path / "selector", settings.Settings(max_length=8, history=1, about={}))
    with pytest.raises(DataError, match="no export"), export.replacing_folder(tmp_path / "selector"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "late", "other", "out", "selector"]
