"""A graph whose matrix products are of 8-bit numbers."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pneg.errors import ModelError, needs
from pneg.selector.graph import MICROSOFT, drop_unused

with needs("export"):
    import onnx
    from onnx import helper, numpy_helper

PRODUCT = "MatMulIntegerToFloat"
LARGEST = 127
"""Of a weight, and of the sum of two that lie next to each other in a column and have the same sign.

Processors multiply unsigned 8-bit numbers, which activations are here, by signed ones. Those without VNNI add two
products next to each other in 16 bits and cut the sum off: 255 x 128 is the most that fits, 1 of it for rounding.
"""
Given = Mapping[str, npt.NDArray[Any]]
"""Inputs of a graph by name."""
Tensors = Mapping[str, onnx.TensorProto]


def quantise(file: Path, examples: Iterable[Given]) -> None:
    """Make a graph's products of tokens and weights int8, weights by column; the head stays as it is.

    What comes into a product is rounded within the range that it has in the examples, so that a score is the same
    whatever is scored beside it.

    Args:
        file: the graph, which is written over.
        examples: inputs of the graph like those that it will get.
    """
    found = onnx.load(file)
    graph = found.graph
    for node in graph.node:
        if node.op_type == "BiasGelu":
            node.op_type = "FastGelu"  # quicker, and nearer to it than 8 bits are
    weights = {tensor.name: tensor for tensor in graph.initializer}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    exact = [
        node for node in graph.node if node.op_type == "MatMul" and node.input[1] in weights
    ]  # the head's is Gemm
    rounded = list(dict.fromkeys(node.input[0] for node in exact))
    within = dict(zip(rounded, ranges(found, rounded, examples), strict=True))
    made: dict[str, list[onnx.NodeProto]] = {}
    for node in exact:
        new = [_rounding(graph, node.input[0], *within.pop(node.input[0]))] if node.input[0] in within else []
        product = _product(graph, node, weights[node.input[1]])
        made[node.output[0]] = [*new, product]
        _take_bias(product, readers.get(node.output[0], []), weights)
    ready = {nodes[-1].output[0] for nodes in made.values()} - made.keys()
    nodes = [new for node in graph.node if node.output[0] not in ready for new in made.get(node.output[0], [node])]
    del graph.node[:]
    graph.node.extend(nodes)
    drop_unused(graph)
    onnx.save(found, file)


def _rounding(graph: onnx.GraphProto, name: str, lowest: float, highest: float) -> onnx.NodeProto:
    """What rounds a tensor within a range."""
    step = np.float32(max(highest - lowest, 1e-9) / 255)
    scale, zero = f"{name}_scale", f"{name}_zero"
    values = {scale: step, zero: np.uint8(round(-lowest / float(step)))}
    graph.initializer.extend(numpy_helper.from_array(np.array(value), key) for key, value in values.items())
    made = f"{name}_rounded"
    # Microsoft's, as ONNX Runtime 1.23 has the other one only up to opset 21
    return helper.make_node("QuantizeLinear", [name, scale, zero], [made], name=made, domain=MICROSOFT)


def _product(graph: onnx.GraphProto, node: onnx.NodeProto, weight: onnx.TensorProto) -> onnx.NodeProto:
    """The product of 8-bit numbers in place of an exact one."""
    tokens, name = node.input
    exact = numpy_helper.to_array(weight)
    step = np.maximum(_largest(exact), 1e-9).astype(np.float32) / LARGEST
    values = {f"{name}_rounded": np.rint(exact / step).astype(np.int8), f"{name}_scale": step}
    graph.initializer.extend(numpy_helper.from_array(value, key) for key, value in values.items())
    given = [f"{tokens}_rounded", f"{name}_rounded", f"{tokens}_scale", f"{name}_scale", f"{tokens}_zero"]
    return helper.make_node(PRODUCT, given, list(node.output), name=node.name, domain=MICROSOFT)


def _largest(weight: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The largest sum of two weights in rows 2i and 2i + 1 of a column, those of either sign for themselves."""
    pairs = np.pad(weight, ((0, len(weight) % 2), (0, 0))).reshape(-1, 2, weight.shape[1])
    above, below = np.maximum(pairs, 0).sum(axis=1), np.minimum(pairs, 0).sum(axis=1)
    found: npt.NDArray[Any] = np.maximum(above, -below).max(axis=0)
    return found


def _take_bias(product: onnx.NodeProto, readers: Sequence[onnx.NodeProto], weights: Tensors) -> None:
    """Let a product add the bias that the one operator behind it adds, and give its result if that is all it does."""
    if len(readers) != 1:
        return
    [reader] = readers
    biases = [name for name in reader.input if name in weights and len(weights[name].dims) == 1]
    if len(biases) != 1 or reader.op_type not in ("Add", "FastGelu"):
        return
    product.input.extend(["", biases[0]])
    if reader.op_type == "Add":
        product.output[0] = reader.output[0]
    else:
        reader.input.remove(biases[0])


def ranges(model: onnx.ModelProto, names: Sequence[str], examples: Iterable[Given]) -> list[tuple[float, float]]:
    """The lowest and the highest number in tensors of a graph over examples; 0 is always inside.

    Raises:
        ModelError: when a tensor holds NaN or infinity.
    """
    import onnxruntime

    told = onnx.ModelProto()
    told.CopyFrom(model)
    del told.graph.output[:]
    told.graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(told.SerializeToString(), options, providers=["CPUExecutionProvider"])
    lowest, highest = np.zeros(len(names)), np.zeros(len(names))
    for example in examples:
        tensors = session.run(names, dict(example))
        lowest = np.minimum(lowest, [tensor.min() for tensor in tensors])
        highest = np.maximum(highest, [tensor.max() for tensor in tensors])
    if not np.isfinite([lowest, highest]).all():
        raise ModelError("the selector computes values that are no numbers on the examples; its training diverged")
    return list(zip(lowest.tolist(), highest.tolist(), strict=True))
