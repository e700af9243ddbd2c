"""A model as an ONNX graph: fused, computing no more than the scores need."""

import warnings
from collections.abc import Mapping
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
"""That torch writes: the one whose patterns the optimiser knows."""
ATTENDS = 23
"""The first with an operator that attends and does nothing else. It takes a mask of booleans for next to nothing;
Microsoft's two add one of floats to each head's products."""
MICROSOFT = "com.microsoft"
BY_TOKEN = {"Add", "BiasGelu", "Div", "Erf", "FastGelu", "Gelu", "LayerNormalization", "MatMul", "Mul", "Tanh"}
"""Operators that work on each token by itself where all but one of their inputs are weights."""
SEEN, SEEN_BY_SCORED = "seen", "seen_by_scored_tokens"
"""Which tokens of its row a token sees, or a scored token; each shape (rows, 1, tokens that see, tokens seen)."""
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
    apart = products_apart(found.graph)
    if selector.architecture == "shared":
        if apart != config.num_hidden_layers:
            kind = config.model_type
            raise ModelError(f"a shared {kind} cannot be exported: its attention is of a kind of its own; cross can")
        _see_by_mask(found.graph)
        scored_only(found.graph, config.hidden_size)
    else:
        _see_by_padding(found.graph)
        scored_only(found.graph, None)
    drop_unused(found.graph)
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
    del found.opset_import[:]
    # no operator of such a graph has changed between the two
    found.opset_import.extend([helper.make_opsetid("", ATTENDS), helper.make_opsetid(MICROSOFT, 1)])
    found.ir_version = helper.find_min_ir_version_for(found.opset_import, ignore_unknown=True)
    return found


def products_apart(graph: onnx.GraphProto) -> int:
    """Make queries, keys and values products of their own before each fused attention, which sees by `SEEN`.

    Returns:
        How many attentions there are now.
    """
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    attentions = 0
    for node in graph.node:
        plain = len(node.input) <= 4 and weights.keys() >= set(node.input[1:3])
        if node.op_type != "Attention" or not plain:
            nodes.append(node)
            continue
        [tokens, weight, bias], [output] = node.input[:3], node.output
        parts = [f"{output}_{part}" for part in ("queries", "keys", "values")]
        for part, *values in zip(
            parts, np.split(weights[weight], 3, axis=1), np.split(weights[bias], 3), strict=True
        ):
            own = [f"{part}_weight", f"{part}_bias"]
            for name, value in zip(own, values, strict=True):
                graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
            product = f"{part}_product"
            nodes.append(helper.make_node("MatMul", [tokens, own[0]], [product], name=product))
            nodes.append(helper.make_node("Add", [product, own[1]], [part], name=part))
        given = {found.name: helper.get_attribute_value(found) for found in node.attribute}
        heads = dict.fromkeys(("q_num_heads", "kv_num_heads"), given["num_heads"])
        scale = given.get("scale")
        nodes.append(helper.make_node("Attention", [*parts, SEEN], [output], name=output, scale=scale, **heads))
        attentions += 1
    del graph.node[:]
    graph.node.extend(nodes)
    return attentions


def drop_unused(graph: onnx.GraphProto) -> None:
    """Leave out operators, weights and what else is not read."""
    read = {output.name for output in graph.output}
    kept: list[onnx.NodeProto] = []
    for node in reversed(graph.node):
        if read.intersection(node.output):
            read.update(node.input)
            kept.append(node)
    tensors = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(tensors)


def _see_by_padding(graph: onnx.GraphProto) -> None:
    """Let all tokens see those that are no padding."""
    _put_first(
        graph,
        {"ahead_": np.array([1, 2]), "behind_": np.array([1, 3])},
        [
            helper.make_node("Cast", ["attention_mask"], ["not_padding"], to=onnx.TensorProto.BOOL),
            helper.make_node("Not", ["not_padding"], ["padding"]),
            helper.make_node("Unsqueeze", ["not_padding", "ahead_"], [SEEN_BY_SCORED]),
            helper.make_node("And", ["padding", "not_padding"], ["never"]),
            helper.make_node("Unsqueeze", ["never", "behind_"], ["seen_besides"]),
            helper.make_node("Or", [SEEN_BY_SCORED, "seen_besides"], [SEEN]),  # the operator does not broadcast
        ],
    )


def _see_by_mask(graph: onnx.GraphProto) -> None:
    """Let inputs tell which token sees which, shape (rows, tokens, tokens), and which ones are scored."""
    graph.input.remove(next(given for given in graph.input if given.name == "attention_mask"))
    graph.input.append(helper.make_tensor_value_info(MASK, onnx.TensorProto.BOOL, ["rows", "tokens", "tokens"]))
    graph.input.append(helper.make_tensor_value_info(SCORED, onnx.TensorProto.INT64, ["rows", "scored"]))
    _put_first(
        graph,
        {"heads_": np.array([1])},
        [
            helper.make_node("Unsqueeze", [MASK, "heads_"], [SEEN]),
            helper.make_node("Flatten", [MASK], ["seen_by_token"], axis=2),
            helper.make_node("Gather", ["seen_by_token", SCORED], ["seen_by_scored"], axis=0),
            helper.make_node("Unsqueeze", ["seen_by_scored", "heads_"], [SEEN_BY_SCORED]),
        ],
    )


def _put_first(
    graph: onnx.GraphProto, constants: Mapping[str, npt.NDArray[Any]], nodes: list[onnx.NodeProto]
) -> None:
    """Put operators and what they need before all others."""
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])


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
            # an attention reads its queries by token, the rest as a whole
            readers.setdefault(name, set()).add("" if node.op_type == "Attention" and place else node.output[0])
    last = next((node for node in reversed(graph.node) if _takes_first(node, graph, weights)), None)
    if last is None:
        if hidden is not None:
            raise ModelError("the model cannot be exported as shared: it scores something else than a first token")
        return
    moved = [last]
    made = {last.output[0]}
    for node in reversed(graph.node):
        by_token = node.op_type in BY_TOKEN and (node.op_type != "MatMul" or node.input[1] in weights)
        by_token = by_token or SEEN in node.input
        if by_token and made.issuperset(readers.get(node.output[0], {""})):
            moved.append(node)
            made.add(node.output[0])
    cut = [
        (node, place)
        for node in moved[1:]
        for place, name in enumerate(node.input[:1] if SEEN in node.input else node.input)
        if name and name not in weights and name not in made
    ]
    if hidden is not None:
        last.op_type, last.input[1] = "Reshape", "each_"
        del last.attribute[:]
    for node in moved:
        if SEEN in node.input:
            node.input[3] = SEEN_BY_SCORED
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
