"""A selector as an ONNX graph: fused, computing no more than the score needs, in int8 where that is wanted."""

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pneg import models
from pneg.errors import DataError, ModelError, needs
from pneg.selector import ranking
from pneg.selector.card import exported_card
from pneg.selector.exported import MODEL, TOKENIZER
from pneg.selector.model import Selector

with needs("export"):
    import onnx
    import torch
    from onnx import helper, numpy_helper

OPSET = 17
BY_TOKEN = {"Add", "BiasGelu", "Div", "Erf", "FastGelu", "Gelu", "LayerNormalization", "MatMul", "Mul", "Tanh"}
"""Operators that work on each token by itself where all but one of their inputs are weights."""
MICROSOFT = "com.microsoft"
HEAD = ("", "_MatMul")
"""What the quantiser hangs to the name of a product with two axes, which is the head's, when it rewrites it."""


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """A new folder that takes the place of `folder` when the block ends well, and vanishes when it does not.

    Raises:
        DataError: when `folder` holds anything but an exported selector.
    """
    check_folder(folder)
    folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.absolute().parent, prefix=f".{folder.name}-") as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        yield made
        check_folder(folder)
        if folder.exists():
            os.replace(folder, Path(scratch) / "before")
        os.replace(made, folder)


def check_folder(folder: Path) -> None:
    """Refuse a folder that an exported selector must not take the place of.

    Raises:
        DataError: when it holds anything but an exported selector.
    """
    if not folder.exists():
        return
    expected = "choose another folder, or delete it"
    if not folder.is_dir():
        raise DataError("it is a file", expected, file=folder)
    if not any(folder.iterdir()):
        return
    try:
        found = ranking.settings(folder)
    except ModelError:
        raise DataError("it holds something else", expected, file=folder) from None
    if not ranking.is_exported(found):
        raise DataError("it holds a selector that is no export", expected, file=folder)


def write(selector: Selector, folder: Path, precision: str) -> None:
    """Write an exported selector without its figures.

    Args:
        selector: the one to export.
        folder: where; made if it is not there.
        precision: `float32`, or `int8` for weights and, at each matrix product, activations of 8 bits.

    Raises:
        ModelError: when the model cannot be written as a graph.
    """
    if selector.architecture != "cross":
        raise ModelError(
            f"a selector of the architecture {selector.architecture} cannot be exported; a cross one can"
        )
    folder.mkdir(exist_ok=True)
    graph(selector, folder / MODEL)
    if precision == "int8":
        quantise(folder / MODEL)
    tokenizer = selector.pairs.tokenizer.backend_tokenizer
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.save(str(folder / TOKENIZER))
    describe(selector, folder, {"precision": precision})


def describe(selector: Selector, folder: Path, export: Mapping[str, Any]) -> None:
    """Write what belongs to an exported selector besides its graph: settings and model card.

    Args:
        selector: the one that was exported.
        folder: of the export.
        export: its precision and figures.
    """
    found = {
        "kind": ranking.EXPORTED,
        "between_turns": selector.pairs.between_turns,
        "history": selector.history,
        "max_length": selector.pairs.max_length,
        "pad": selector.pairs.pad,
        "types": selector.pairs.has_types,
        "about": selector.about,
        "calibration": selector.calibration,
        "export": dict(export),
    }
    ranking.write_settings(folder, found)
    (folder / "README.md").write_text(exported_card(found), encoding="utf-8")


class _Scores(torch.nn.Module):
    """The model with the inputs in a fixed order and the scores alone as output."""

    def __init__(self, model: Any, names: list[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Scores, shape (pairs,)."""
        logits: torch.Tensor = self.model(**dict(zip(self.names, inputs, strict=True))).logits
        return logits.squeeze(-1)


def graph(selector: Selector, file: Path) -> None:
    """Write the model as an ONNX graph in float32, fused, its last layer computed for the first token only.

    Raises:
        ModelError: when the model cannot be written as a graph.
    """
    names = ["input_ids", "attention_mask"] + ["token_type_ids"] * selector.pairs.has_types
    example = selector.pairs.batch(
        [(t, t[:half]) for t in [selector.pairs.encode(["a b c d e f g"])[0]] for half in (2, 4)]
    )
    inputs = tuple(torch.from_numpy(getattr(example, name)).long() for name in names)
    model, config = selector.model, selector.model.config
    attention, device = config._attn_implementation, selector.device
    axes = {name: {0: "pairs", 1: "tokens"} for name in names} | {"scores": {0: "pairs"}}
    try:
        model.set_attn_implementation("eager")  # the one that the optimiser knows and fuses
        with warnings.catch_warnings(), models.quiet(), torch.inference_mode():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                _Scores(model.to("cpu"), names).eval(), inputs, str(file), dynamo=False, opset_version=OPSET,
                input_names=names, output_names=["scores"], dynamic_axes=axes,
            )  # fmt: skip
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, NotImplementedError) as error:
        raise ModelError(f"the model cannot be exported: {str(error).splitlines()[0]}") from error
    finally:
        model.to(device).set_attn_implementation(attention)
    found = _fused(file, config)
    first_token_only(found.graph)
    onnx.save(found, file)


def _fused(file: Path, config: Any) -> onnx.ModelProto:
    """The graph with the attention and the activations each as one operator."""
    from onnxruntime.transformers.fusion_options import FusionOptions
    from onnxruntime.transformers.optimizer import optimize_model

    options = FusionOptions("bert")
    options.enable_skip_layer_norm = options.enable_bias_skip_layer_norm = False
    options.enable_embed_layer_norm = False
    heads, hidden = config.num_attention_heads, config.hidden_size
    optimised = optimize_model(
        str(file), "bert", num_heads=heads, hidden_size=hidden, opt_level=0, optimization_options=options
    )
    optimised.topological_sort()
    found: onnx.ModelProto = optimised.model
    if MICROSOFT not in {opset.domain for opset in found.opset_import}:
        found.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
    return found


def first_token_only(graph: onnx.GraphProto) -> None:
    """Compute what follows the last layer's attention for the first token only, as nothing else is read.

    The choice of the first token at the end is moved up through operators that work on each token by itself.
    """
    weights = {tensor.name for tensor in graph.initializer}
    weights |= {node.output[0] for node in graph.node if node.op_type == "Constant"}
    readers: dict[str, set[str]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, set()).add(node.output[0])
    last = next((node for node in reversed(graph.node) if _takes_first(node, graph, weights)), None)
    if last is None:
        return
    moved = [last]
    made = {last.output[0]}
    for node in reversed(graph.node):
        by_token = node.op_type in BY_TOKEN and (node.op_type != "MatMul" or node.input[1] in weights)
        if by_token and made.issuperset(readers.get(node.output[0], {""})):
            moved.append(node)
            made.add(node.output[0])
    _slice(
        graph,
        [(last, 0)]
        if len(moved) == 1
        else [
            (node, place)
            for node in moved[1:]
            for place, name in enumerate(node.input)
            if name and name not in weights and name not in made
        ],
    )


def _takes_first(node: onnx.NodeProto, graph: onnx.GraphProto, weights: set[str]) -> bool:
    """Whether it is what picks the first token: index 0 on the axis of the tokens."""
    if node.op_type != "Gather" or node.input[0] in weights:
        return False
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
    values = {tensor.name: tensor for tensor in graph.initializer}
    for constant in graph.node:
        if constant.op_type == "Constant":
            values[constant.output[0]] = constant.attribute[0].t
    index = values.get(node.input[1])
    return axis == 1 and index is not None and not numpy_helper.to_array(index).any()


def _slice(graph: onnx.GraphProto, cut: list[tuple[onnx.NodeProto, int]]) -> None:
    """Let each of these inputs, (node, number of the input), be the first token of what it was."""
    graph.initializer.extend(
        numpy_helper.from_array(np.array([value]), name) for name, value in (("zero_", 0), ("one_", 1))
    )
    nodes = list(graph.node)
    made: dict[str, str] = {}
    for node, place in cut:
        name = node.input[place]
        if name not in made:
            made[name] = f"{name}_first"
            piece = helper.make_node("Slice", [name, "zero_", "one_", "one_"], [made[name]], name=made[name])
            nodes.insert(1 + max((n for n, of in enumerate(nodes) if name in of.output), default=-1), piece)
        node.input[place] = made[name]
    del graph.node[:]
    graph.node.extend(nodes)


def quantise(file: Path) -> None:
    """Make a graph's matrix products int8: weights by column, activations as they come; the head stays as it is."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    found = onnx.load(file)
    for node in found.graph.node:
        if node.op_type == "BiasGelu":
            node.op_type = "FastGelu"  # quicker, and nearer to it than 8 bits are
    head = [f"{node.name}{end}" for node in found.graph.node if node.op_type == "Gemm" for end in HEAD]
    source = file.with_name("float32.onnx")
    onnx.save(found, source)
    logger, level = logging.getLogger(), logging.getLogger().level
    logger.setLevel(logging.ERROR)
    try:
        quantize_dynamic(
            source,
            file,
            per_channel=True,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Attention"],
            nodes_to_exclude=head,
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )
    finally:
        logger.setLevel(level)
        source.unlink()
