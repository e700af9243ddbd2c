"""A model as an ONNX graph: fused, computing no more than the scores need."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

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
MICROSOFT = "com.microsoft"
APART = "MultiHeadAttention"
"""The operator that attends and does nothing else; it works on each query by itself."""
BY_TOKEN = {
    "Add", "BiasGelu", "Div", "Erf", "FastGelu", "Gelu", "LayerNormalization", "MatMul", "Mul", "Tanh", APART,
}  # fmt: skip
"""Operators that work on each token by itself where all but one of their inputs are weights."""
SEEN, SEEN_BY_SCORED = "seen", "seen_by_scored_tokens"
"""What is added to how much a token, or a scored token, looks at each other one of its row."""
UNSEEN = -10_000.0
"""Added to how much a token looks at one that it may not see."""
POSITIONS = "position_ids"


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
    products_apart(found.graph)
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


def products_apart(graph: onnx.GraphProto) -> None:
    """Make queries, keys and values products of their own before each fused attention.

    The operator that makes them itself does so for each row and head apart, in products too small to be quick.
    """
    weights = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type != "Attention" or not weights.keys() >= set(node.input[1:3]):
            nodes.append(node)
            continue
        tokens, joined, added, mask = [*node.input, ""][:4]
        pieces = zip(
            *(np.split(numpy_helper.to_array(weights[name]), 3, axis=-1) for name in (joined, added)), strict=True
        )
        parts = [f"{node.output[0]}_{part}" for part in ("queries", "keys", "values")]
        for part, (weight, bias) in zip(parts, pieces, strict=True):
            names = f"{part}_weight", f"{part}_bias"
            for name, value in zip(names, (weight, bias), strict=True):
                graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
            nodes.append(helper.make_node("MatMul", [tokens, names[0]], [f"{part}_product"], name=f"{part}_product"))
            nodes.append(helper.make_node("Add", [f"{part}_product", names[1]], [part], name=part))
        apart = helper.make_node(
            APART, [*parts, "", mask], list(node.output), name=node.output[0], domain=MICROSOFT,
            mask_filter_value=UNSEEN,
        )  # fmt: skip
        apart.attribute.extend(found for found in node.attribute if found.name in ("num_heads", "scale"))
        nodes.append(apart)
    del graph.node[:]
    graph.node.extend(nodes)
    drop_unused(graph)


def drop_unused(graph: onnx.GraphProto) -> None:
    """Leave out weights that no operator reads."""
    read = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _see_by_mask(graph: onnx.GraphProto, layers: int, kind: str) -> None:
    """Let each attention take which token sees which from an input, shape (rows, tokens, tokens).

    Raises:
        ModelError: when an attention was not fused.
    """
    attentions = [node for node in graph.node if node.op_type == APART]
    if len(attentions) != layers:
        raise ModelError(f"a shared {kind} cannot be exported: its attention is of a kind of its own; cross can")
    for node in attentions:
        del node.input[4:]
        node.input.extend(["", SEEN])
    gone = {"attention_mask"}
    for node in list(graph.node):
        if gone.intersection(node.input):
            gone.update(node.output)
            graph.node.remove(node)
    graph.input.remove(next(given for given in graph.input if given.name == "attention_mask"))
    graph.input.append(helper.make_tensor_value_info(MASK, onnx.TensorProto.BOOL, ["rows", "tokens", "tokens"]))
    graph.input.append(helper.make_tensor_value_info(SCORED, onnx.TensorProto.INT64, ["rows", "scored"]))
    constants = {"seen_": np.float32(0), "unseen_": np.float32(UNSEEN), "heads_": np.array([1])}
    graph.initializer.extend(numpy_helper.from_array(np.array(value), name) for name, value in constants.items())
    steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Where", [MASK, "seen_", "unseen_"], "seen_by_row", {}),
        ("Unsqueeze", ["seen_by_row", "heads_"], SEEN, {}),
        ("Flatten", ["seen_by_row"], "seen_by_token", {"axis": 2}),
        ("Gather", ["seen_by_token", SCORED], "seen_by_scored", {"axis": 0}),
        ("Unsqueeze", ["seen_by_scored", "heads_"], SEEN_BY_SCORED, {}),
    ]
    nodes = [helper.make_node(kind, given, [name], name=name, **more) for kind, given, name, more in steps]
    nodes.extend(graph.node)
    del graph.node[:]
    graph.node.extend(nodes)


def scored_only(graph: onnx.GraphProto, hidden: int | None) -> None:
    """Compute the last layer for the scored tokens only, but for its keys and values, as nothing else is read.

    The choice of the first token at the end is moved up through operators that work on each token by itself, and
    through the queries of an attention.

    Args:
        graph: changed in place.
        hidden: numbers of a token, for a graph that scores the tokens that its input `SCORED` names, shape (rows,
            scores of a row), counted through all rows; None for the first token of each row.
    """
    weights = {tensor.name for tensor in graph.initializer}
    weights |= {node.output[0] for node in graph.node if node.op_type == "Constant"}
    readers: dict[str, set[str]] = {}
    for node in graph.node:
        for place, name in enumerate(node.input):
            readers.setdefault(name, set()).add("" if node.op_type == APART and place else node.output[0])
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
        for place, name in enumerate(node.input[:1] if node.op_type == APART else node.input)
        if name and name not in weights and name not in made
    ]
    if hidden is not None:
        last.op_type, last.input[1] = "Reshape", "each_"
        del last.attribute[:]
        for node in moved:
            if node.op_type == APART:
                node.input[5] = SEEN_BY_SCORED
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
    """Let each of these inputs, (node, number of the input), be the scored tokens of what it was."""
    constants = {"zero_": [0], "one_": [1], "each_": [-1, hidden or 1]}
    graph.initializer.extend(numpy_helper.from_array(np.array(value), name) for name, value in constants.items())
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
                    helper.make_node("Reshape", [name, "each_"], [rows], name=rows),
                    helper.make_node("Gather", [rows, SCORED], [picked], name=picked, axis=0),
                ]
            behind = 1 + max((n for n, of in enumerate(nodes) if name in of.output), default=-1)
            nodes[behind:behind] = pieces
        node.input[place] = made[name]
    del graph.node[:]
    graph.node.extend(nodes)
