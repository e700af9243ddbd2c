"""A model as an ONNX graph: fused, computing no more than the scores need, in int8 where that is wanted."""

import logging
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pneg import models
from pneg.errors import ModelError, needs
from pneg.selector import encoder
from pneg.selector.exported import MASK, SCORED, inputs
from pneg.selector.model import Selector
from pneg.selector.packing import Packer

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
POSITIONS = "position_ids"
Given = Mapping[str, npt.NDArray[Any]]
"""Inputs of a graph by name."""


class _Scores(torch.nn.Module):
    """The model with the inputs in a fixed order and the scores alone as output."""

    def __init__(self, model: Any, names: list[str]) -> None:
        super().__init__()
        self.model, self.names, self.first = model, names, encoder.first_position(model)

    def forward(self, *given: torch.Tensor) -> torch.Tensor:
        """Scores, shape (pairs,)."""
        named = dict(zip(self.names, given, strict=True))
        if POSITIONS in named:
            named[POSITIONS] = named[POSITIONS] + self.first
        logits: torch.Tensor = self.model(**named).logits
        return logits.squeeze(-1)


def write_graph(selector: Selector, file: Path) -> None:
    """Write the model as an ONNX graph in float32, fused, its last layer computed for the scored tokens only.

    Raises:
        ModelError: when the model cannot be written as a graph.
    """
    traced(selector, file)
    config = selector.model.config
    found = _fused(file, config)
    if selector.architecture == "shared":
        _see_by_mask(found.graph, config.num_hidden_layers, config.model_type)
        scored_only(found.graph, config.hidden_size)
    else:
        scored_only(found.graph, None)
    onnx.save(found, file)


def traced(selector: Selector, file: Path) -> None:
    """Write the graph that torch makes of the model, which scores the first token of each row.

    Raises:
        ModelError: when torch cannot.
    """
    contexts, responses = selector.pairs.encode(["a b c d e f g"]), selector.pairs.encode(["a b", "a b c d"])
    packed = Packer(selector.pairs, "cross", 0.0).pack(contexts, responses, np.array([[0, 0], [0, 1]]))
    example = inputs(packed, selector.pairs.has_types)
    if selector.architecture == "shared":
        example[POSITIONS] = packed.positions.reshape(example["input_ids"].shape).astype(np.int64)
    names = list(example)
    model, device = selector.model, selector.device
    attention = model.config._attn_implementation
    axes = {name: {0: "rows", 1: "tokens"} for name in names} | {"scores": {0: "scores"}}
    try:
        model.set_attn_implementation("eager")  # the one that the optimiser knows and fuses
        with warnings.catch_warnings(), models.quiet(), torch.inference_mode():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                _Scores(model.to("cpu"), names).eval(), tuple(map(torch.from_numpy, example.values())), str(file),
                dynamo=False, opset_version=OPSET, input_names=names, output_names=["scores"], dynamic_axes=axes,
            )  # fmt: skip
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, NotImplementedError) as error:
        raise ModelError(f"the model cannot be exported: {str(error).splitlines()[0]}") from error
    finally:
        model.to(device).set_attn_implementation(attention)


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


def _see_by_mask(graph: onnx.GraphProto, layers: int, kind: str) -> None:
    """Let each attention take which token sees which from an input, shape (rows, tokens, tokens).

    Raises:
        ModelError: when an attention was not fused.
    """
    attentions = [node for node in graph.node if node.op_type == "Attention"]
    if len(attentions) != layers:
        raise ModelError(f"a shared {kind} cannot be exported: its attention is of a kind of its own; cross can")
    for node in attentions:
        node.input[3] = MASK
    graph.input.append(helper.make_tensor_value_info(MASK, onnx.TensorProto.INT32, ["rows", "tokens", "tokens"]))
    gone = {"attention_mask"}
    for node in list(graph.node):
        if gone.intersection(node.input):
            gone.update(node.output)
            graph.node.remove(node)
    graph.input.remove(next(given for given in graph.input if given.name == "attention_mask"))


def scored_only(graph: onnx.GraphProto, hidden: int | None) -> None:
    """Compute what follows the last layer's attention for the scored tokens only, as nothing else is read.

    The choice of the first token at the end is moved up through operators that work on each token by itself.

    Args:
        graph: changed in place.
        hidden: numbers of a token, for a graph that scores the tokens that its input `SCORED` names, counted through
            all rows; None for the first token of each row.
    """
    weights = {tensor.name for tensor in graph.initializer}
    weights |= {node.output[0] for node in graph.node if node.op_type == "Constant"}
    readers: dict[str, set[str]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, set()).add(node.output[0])
    last = next((node for node in reversed(graph.node) if _takes_first(node, graph, weights)), None)
    if last is None:
        if hidden is not None:
            raise ModelError("the model cannot be exported as shared: it scores something else than a first token")
        return
    moved = [last]
    made = {last.output[0]}
    for node in reversed(graph.node):
        by_token = node.op_type in BY_TOKEN and (node.op_type != "MatMul" or node.input[1] in weights)
        if by_token and made.issuperset(readers.get(node.output[0], {""})):
            moved.append(node)
            made.add(node.output[0])
    cut = [
        (node, place)
        for node in moved[1:]
        for place, name in enumerate(node.input)
        if name and name not in weights and name not in made
    ]
    _pick(graph, cut or [(last, 0)], hidden)


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


def _pick(graph: onnx.GraphProto, cut: list[tuple[onnx.NodeProto, int]], hidden: int | None) -> None:
    """Let each of these inputs, (node, number of the input), be the scored tokens of what it was, one a row."""
    constants = {"zero_": [0], "one_": [1], "one_a_row_": [-1, 1, hidden or 1]}
    graph.initializer.extend(numpy_helper.from_array(np.array(value), name) for name, value in constants.items())
    if hidden is not None:
        graph.input.append(helper.make_tensor_value_info(SCORED, onnx.TensorProto.INT64, ["scores"]))
    nodes = list(graph.node)
    made: dict[str, str] = {}
    for node, place in cut:
        name = node.input[place]
        if name not in made:
            made[name] = picked = f"{name}_scored"
            pieces = [helper.make_node("Slice", [name, "zero_", "one_", "one_"], [picked], name=picked)]
            if hidden is not None:
                rows = f"{name}_rows"
                pieces = [
                    helper.make_node("Reshape", [name, "one_a_row_"], [rows], name=rows),
                    helper.make_node("Gather", [rows, SCORED], [picked], name=picked, axis=0),
                ]
            behind = 1 + max((n for n, of in enumerate(nodes) if name in of.output), default=-1)
            nodes[behind:behind] = pieces
        node.input[place] = made[name]
    del graph.node[:]
    graph.node.extend(nodes)


def quantise(file: Path, examples: Iterable[Given]) -> None:
    """Make a graph's matrix products int8, weights by column; the head stays as it is.

    What comes into a product is rounded within the range that it has in the examples, so that a score is the same
    whatever is scored beside it.

    Args:
        file: the graph, which is written over.
        examples: inputs of the graph like those that it will get.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    exact = onnx.load(file)
    for node in exact.graph.node:
        if node.op_type == "BiasGelu":
            node.op_type = "FastGelu"  # quicker, and nearer to it than 8 bits are
    head = [f"{node.name}{end}" for node in exact.graph.node if node.op_type == "Gemm" for end in HEAD]
    source = file.with_name("float32.onnx")
    onnx.save(exact, source)
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
    found = onnx.load(file)
    rounded = [node for node in found.graph.node if node.op_type == "DynamicQuantizeLinear"]
    for node, (lowest, highest) in zip(
        rounded, ranges(exact, [node.input[0] for node in rounded], examples), strict=True
    ):
        _fix(node, found.graph, lowest, highest)
    onnx.save(found, file)


def ranges(model: onnx.ModelProto, names: Sequence[str], examples: Iterable[Given]) -> list[tuple[float, float]]:
    """The lowest and the highest number in tensors of a graph over examples; 0 is always inside."""
    import onnxruntime

    told = onnx.ModelProto()
    told.CopyFrom(model)
    del told.graph.output[:]
    distinct = list(dict.fromkeys(names))
    told.graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in distinct)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(told.SerializeToString(), options, providers=["CPUExecutionProvider"])
    lowest, highest = np.zeros(len(distinct)), np.zeros(len(distinct))
    for example in examples:
        tensors = session.run(distinct, dict(example))
        lowest = np.minimum(lowest, [tensor.min() for tensor in tensors])
        highest = np.maximum(highest, [tensor.max() for tensor in tensors])
    found = dict(zip(distinct, zip(lowest.tolist(), highest.tolist(), strict=True), strict=True))
    return [found[name] for name in names]


def _fix(node: onnx.NodeProto, graph: onnx.GraphProto, lowest: float, highest: float) -> None:
    """Let an operator that rounds within the range of what it gets round within this one."""
    rounded, scale, zero = node.output
    step = np.float32(max(highest - lowest, 1e-9) / 255)
    values = {scale: step, zero: np.uint8(round(-lowest / float(step)))}
    graph.initializer.extend(numpy_helper.from_array(np.array(value), name) for name, value in values.items())
    node.op_type = "QuantizeLinear"
    node.input.extend([scale, zero])
    del node.output[:]
    node.output.append(rounded)
