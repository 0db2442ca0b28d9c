"""dlcli's own writing and reading of skops files, against skops."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from dlcli.gate.skops_format import Rebuilt, UnsupportedObject, dump_fitted
from dlcli.preprocessing.table import Table


def read(contents: bytes) -> Any:
    with zipfile.ZipFile(io.BytesIO(contents)) as archive:
        return Rebuilt(archive).object(json.loads(archive.read("schema.json")))


def read_with_skops(contents: bytes) -> Any:
    return skops.io.loads(contents, trusted=skops.io.get_untrusted_types(data=contents))


def same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, np.ndarray) and one.dtype == object:
        assert one.shape == other.shape
        same(one.tolist(), other.tolist())
    elif isinstance(one, dict):
        same(list(one), list(other))
        same(list(one.values()), list(other.values()))
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            same(a, b)
    elif hasattr(one, "__dict__") and not isinstance(one, type | np.ndarray):
        same(vars(one), vars(other))
    else:
        np.testing.assert_array_equal(one, other)


class Holder:
    """An object with attributes."""


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
ARRAYS = nps.arrays(
    st.sampled_from(["f4", "f8", "i8", "u1", "?", "U3", "M8[ns]"]), nps.array_shapes(max_dims=2, max_side=3)
) | st.lists(PLAIN, max_size=3).map(lambda items: np.array([*items, "a"], dtype=object))
VALUES = st.recursive(
    PLAIN
    | ARRAYS
    | st.just(np.float32(1.5))
    | st.just(np.dtype("f4"))
    | st.just(float)
    | st.just(slice(0, 2)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text() | st.integers(0, 5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(value=VALUES)
@settings(max_examples=60, deadline=None)
def test_both_read_what_both_write(value: Any) -> None:
    holder = Holder()
    holder.value, holder.again = value, value  # type: ignore[attr-defined]
    try:
        contents = dump_fitted(holder)
    except UnsupportedObject:  # a number and its text are two keys
        return
    same(read(contents), holder)
    same(read_with_skops(contents), holder)
    same(read(skops.io.dumps(holder)), holder)


class Named(dict):
    """A dictionary with attributes."""


class Text(str):
    """A text with attributes."""


class Rows(list):
    """A list with attributes."""


ONE_OBJECT = np.array({"a": 1}, dtype=object)


@pytest.mark.parametrize(
    "value",
    [
        lambda: 0,
        open,
        {True: 1},
        {1: 0, "1": 0},
        pd.Series([1]),
        1j,
        Named(a=1),
        Text("a"),
        Rows([1]),
        ONE_OBJECT,
    ],
)
def test_objects_that_only_skops_can_write_are_written_by_it(value: Any) -> None:
    holder = Holder()
    holder.value = value  # type: ignore[attr-defined]
    with pytest.raises(UnsupportedObject):
        dump_fitted(holder)


@pytest.mark.parametrize("scaling", ["standard", "min_max", "robust", "quantile", "center", "none"])
@pytest.mark.parametrize("categorical", ["one_hot", "embedding"])
def test_a_fitted_table_is_the_same_by_either_way(scaling: Any, categorical: Any) -> None:
    frame = pd.DataFrame(
        {
            "size": [1.0, 2.5, None, 4.0] * 5,
            "yes": [True, False] * 10,
            "town": ["a", "b", None, "c"] * 5,
            "day": pd.date_range("2024-01-01", periods=20),
        }
    )
    table = Table(scaling=scaling, categorical=categorical, missing_indicator=True, outliers="clip").fit(
        frame
    )
    contents = dump_fitted(table)
    for fitted in (read(contents), read_with_skops(contents), read(skops.io.dumps(table))):
        expected = table.transform(frame)
        assert {name: value.tolist() for name, value in fitted.transform(frame).items()} == {
            name: value.tolist() for name, value in expected.items()
        }


def test_arrays_of_objects_keep_their_shape_and_shared_ones_stay_shared() -> None:
    holder = Holder()
    shared = np.array(["a", None, 1], dtype=object)
    holder.arrays = [np.empty((0, 2), dtype=object), np.array([["a", 1], [None, "b"]], dtype=object)]  # type: ignore[attr-defined]
    holder.one, holder.two = shared, shared  # type: ignore[attr-defined]
    again = read(dump_fitted(holder))
    assert [array.shape for array in again.arrays] == [(0, 2), (2, 2)]
    assert again.arrays[1].tolist() == [["a", 1], [None, "b"]]
    assert again.one is again.two


def test_a_small_file_cannot_describe_a_huge_array() -> None:
    nodes: list[Any] = [{"__loader__": "JsonNode", "content": "0", "__id__": 0}]
    inner = {
        "__loader__": "ListNode",
        "__class__": "list",
        "__module__": "builtins",
        "content": nodes,
        "__id__": 1,
    }
    for depth in range(2, 40):
        cached = {"__loader__": "CachedNode", "__id__": depth - 1}
        inner = {**inner, "content": [inner, cached], "__id__": depth}
    sizes = [{"__loader__": "JsonNode", "content": "2"}] * 39 + [{"__loader__": "JsonNode", "content": "1"}]
    shape = {"__loader__": "TupleNode", "__class__": "tuple", "__module__": "builtins", "content": sizes}
    node = {"__loader__": "NdArrayNode", "__class__": "ndarray", "__module__": "numpy", "type": "json"}
    with zipfile.ZipFile(io.BytesIO(), "w") as archive, pytest.raises(ValueError, match="shape"):
        Rebuilt(archive).object({**node, "shape": shape, "content": [inner, inner]})
