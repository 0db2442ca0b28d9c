"""The fitted preprocessing of tables as an ONNX graph: from raw numbers and words to the network's inputs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx

from dlcli.datasets.tables.typed_frames import MISSING
from dlcli.errors import InputError
from dlcli.exporting.heads import INSTEAD
from dlcli.preprocessing.columns.arithmetic import Arithmetic
from dlcli.preprocessing.columns.categories import Coded
from dlcli.preprocessing.table import Table

# A word that occurs in no training row.
_UNSEEN = "\0unseen"


class _Graph:
    """Nodes and constants of an ONNX graph under construction."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, values: Any) -> str:
        """Return the name of a constant."""
        name = f"pre_c{len(self.constants)}"
        self.constants.append(onnx.numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, kind: str, *inputs: str, to: str = "", to_type: str = "", **settings: Any) -> str:
        """Add a node, and return the name of its output."""
        name = to or f"pre_n{len(self.nodes)}"
        if to_type:
            settings["to"] = onnx.TensorProto.DataType.Value(to_type)
        domain = "ai.onnx.ml" if kind == "LabelEncoder" else ""
        self.nodes.append(onnx.helper.make_node(kind, list(inputs), [name], domain=domain, **settings))
        return name


def with_preprocessing(preprocessing: Table, network: Any, fields: Iterable[str]) -> bytes:
    """Return the preprocessing followed by a network, as one ONNX model.

    Args:
        preprocessing: the fitted preprocessing.
        network: the ONNX model of the network.
        fields: names of the fields of its batches; those that it reads are its inputs.
    """
    opset = next(entry.version for entry in network.opset_import if entry.domain in ("", "ai.onnx"))
    before = table_graph(preprocessing, opset, network.ir_version)
    used = {value.name for value in network.graph.input}
    joins = [(f"pre_{name}", name) for name in fields if name in used]
    whole = onnx.compose.merge_models(before, network, io_map=joins)
    onnx.checker.check_model(whole)
    return bytes(whole.SerializeToString())


def table_graph(preprocessing: Table, opset: int, ir_version: int) -> Any:
    """Return the graph with the inputs `numbers` `(N, F)`, double, and `words` `(N, K)`, if there are any.

    Its outputs are `pre_x` and, with codes of categories, `pre_x_cat`.

    Raises:
        InputError: The scaling has no counterpart in ONNX.
    """
    graph, helper, types = _Graph(), onnx.helper, onnx.TensorProto
    words = list(preprocessing.categories_)
    inputs, outputs, parts = [], [], []
    if width := preprocessing.numbers_.width_:
        inputs.append(helper.make_tensor_value_info("numbers", types.DOUBLE, ["rows", width]))
        parts.append(_numbers(graph, preprocessing.numbers_))
    embeds = bool(words) and preprocessing.categorical == "embedding"
    if words:
        inputs.append(helper.make_tensor_value_info("words", types.STRING, ["rows", len(words)]))
        encoded = [_words(graph, preprocessing.encoder_, number, len(words)) for number in range(len(words))]
        if embeds:
            graph.node("Concat", *encoded, to="pre_x_cat", axis=1)
            outputs.append(helper.make_tensor_value_info("pre_x_cat", types.INT64, ["rows", len(words)]))
        else:
            parts += encoded
    if not parts:  # codes of categories alone
        first = graph.node("Shape", "words", start=0, end=1)
        shape = graph.node("Concat", first, graph.constant(np.array([0], np.int64)), axis=0)
        parts = [graph.node("ConstantOfShape", shape)]
    graph.node("Concat", *parts, to="pre_x", axis=1)
    outputs.insert(0, helper.make_tensor_value_info("pre_x", types.FLOAT, ["rows", None]))
    made = helper.make_graph(graph.nodes, "preprocessing", inputs, outputs, graph.constants)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(made, opset_imports=opsets, ir_version=ir_version)


def _numbers(graph: _Graph, fitted: Any) -> str:
    """Add clipping, replacement of missing values, scaling and indicators, in double precision."""
    try:
        low, high, fill, shift, divide, factor, add = Arithmetic.joined(
            fitted.pipelines_, fitted.block_, fitted.width_
        )
    except TypeError as error:
        raise InputError(f"{error} has no counterpart in ONNX", "preprocessing.scaling", INSTEAD) from error
    missing, found = graph.node("IsNaN", "numbers"), "numbers"
    if np.isfinite(low).any() or np.isfinite(high).any():
        bounded = graph.node("Max", found, graph.constant(low))
        found = graph.node("Min", bounded, graph.constant(high))
    found = graph.node("Where", missing, graph.constant(fill), found)
    found = graph.node("Div", graph.node("Sub", found, graph.constant(shift)), graph.constant(divide))
    found = graph.node("Add", graph.node("Mul", found, graph.constant(factor)), graph.constant(add))
    found = graph.node("Cast", found, to_type="FLOAT")
    if not len(fitted.gaps_):
        return found
    marks = graph.node("Gather", missing, graph.constant(fitted.gaps_.astype(np.int64)), axis=1)
    return graph.node("Concat", found, graph.node("Cast", marks, to_type="FLOAT"), axis=1)


def _words(graph: _Graph, fitted: Any, number: int, columns: int) -> str:
    """Add the encoding of one column of words, as a table of what the fitted encoder returns for each word."""
    encoder = fitted.encoder_
    known = [str(name) for name in encoder.categories_[number]]
    names = list(dict.fromkeys([*known, MISSING]))
    assert len(encoder.categories_) == columns
    codes = np.zeros(len(names) + 1, np.int64)
    rows = [Coded(codes, np.array([str(other[0])], dtype=object)) for other in encoder.categories_]
    rows[number] = Coded(np.arange(len(names) + 1), np.array([*names, _UNSEEN], dtype=object))
    ends = np.cumsum([size - 1 if fitted.encoding == "one_hot" else 1 for size in fitted.cardinalities])
    own = slice(int(ends[number - 1]) if number else 0, int(ends[number]))
    encoded = fitted.transform(rows)[:, own]
    column = graph.node("Gather", "words", graph.constant(np.array(number, np.int64)), axis=1)
    found = graph.node(
        "LabelEncoder",
        column,
        keys_strings=names,
        values_int64s=list(range(len(names))),
        default_int64=len(names),
    )
    return graph.node("Gather", graph.constant(encoded), found, axis=0)
