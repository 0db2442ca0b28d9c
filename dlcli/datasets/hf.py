"""Datasets of Hugging Face: images, texts or tables, on this machine or from the hub."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from dlcli.datasets.data import Data, Kind
from dlcli.datasets.huggingface import open_parts, stored_images
from dlcli.datasets.images.decoding import Fit
from dlcli.datasets.images.loading import Color, InMemory, OnBad, Size, load_images
from dlcli.datasets.tables.arrow_types import to_frame
from dlcli.datasets.tables.columns import is_text
from dlcli.datasets.tables.source import Source
from dlcli.datasets.tables.targets import Targets, make_targets
from dlcli.datasets.texts import Texts
from dlcli.errors import DataError
from dlcli.files.paths import typed

if TYPE_CHECKING:
    from datasets import Features

# Rows that show whether a column of words holds texts.
_ENOUGH_ROWS = 2000


@dataclass(frozen=True, eq=False)
class _Rows:
    """All rows, mapped from files; `parts` says of each what it is for, `place` where they come from."""

    table: pa.Table
    parts: np.ndarray
    features: Features
    place: Path


def load(
    path: str,
    name: str | None = None,
    target: str | Sequence[str] = "label",
    text: str | None = None,
    image: str | None = None,
    drop: Sequence[str] = (),
    revision: str | None = None,
    cache_dir: str | None = None,
    on_empty: Literal["error", "keep"] = "error",
    size: Size = None,
    fit: Fit = "crop",
    color: Color = "auto",
    in_memory: InMemory = "auto",
    on_bad: OnBad = "error",
) -> Data:
    """Rows of a Hugging Face dataset, with its own splits: its test rows are the final test's.

    What the rows are follows from the columns: images where one holds them, texts where one holds them, else a table.

    Args:
        path: a folder that `save_to_disk` wrote, a folder of files, or a file (.parquet, .arrow, .csv, .jsonl); what is
            not on this machine is a name on the hub, such as stanfordnlp/imdb.
        name: of one of several datasets that are there under that path.
        target: the column that is to be predicted, or several.
        text: the column of texts; None: the only one that holds texts.
        image: the column of images; None: the only one that holds images.
        drop: columns of a table that are left out.
        revision: of a dataset on the hub: a branch, tag or commit.
        cache_dir: where the library keeps what it has fetched or converted; None: in its own place.
        on_empty: whether a text of nothing but blanks is an error, or is kept.
        size: side of the square, or height and width in pixels, that images are brought to; None: as they are.
        fit: crop scales the shorter side and cuts off the ends of the longer one; stretch scales both.
        color: grey or rgb; auto is grey where all images are.
        in_memory: decode all images at once, or each when it is read; auto: at once where they fit.
        on_bad: whether an image that cannot be decoded is an error, or left out.

    Raises:
        DataError: what is missing, or wrong with a row.
    """
    targets = [target] if isinstance(target, str) else list(target)
    rows = _joined(open_parts(path, name, revision, cache_dir), targets, typed(path))
    names = Source(pd.DataFrame(columns=rows.table.column_names), rows.place)
    names.need([text] if text else [], "dataset.text")
    names.need([image] if image else [], "dataset.image")
    names.need(list(drop), "dataset.drop")
    found = _targets(rows, targets)
    image = image or (None if text else _only(_image_columns(rows), "image"))
    if image is not None:
        entries = stored_images(rows.table.column(image), str(rows.place))
        images = load_images(rows.place, entries, size, fit, color, in_memory, on_bad)
        return _data(rows, "image", images.x, found, images.rows, note=images.note, content=images.content)
    everything = np.arange(len(rows.table))
    text = text or _only(_text_columns(rows, {*targets, *drop}), "text")
    if text is not None:
        texts = Texts(rows.table.column(text).cast(pa.large_string()), text)
        if on_empty == "error":
            _refuse_empty(texts, names)
        return _data(rows, "tokens", texts, found, everything)
    features = [name for name in rows.table.column_names if name not in {*targets, *drop}]
    if not features:
        raise DataError(f"no column is left to predict {', '.join(targets)} from", str(rows.place))
    frame = to_frame(rows.table.select(features), rows.place)
    return _data(rows, "table", frame, found, everything)


def _joined(parts: Mapping[str, Any], targets: Sequence[str], place: Path) -> _Rows:
    """All splits, one after the other; those whose rows have no label, as a contest's test rows, are left out."""
    features = parts["train"].features
    Source(pd.DataFrame(columns=list(features)), place).need(targets, "dataset.target")
    tables = {part: split.with_format("arrow")[:].select(list(features)) for part, split in parts.items()}
    tables = {
        part: table for part, table in tables.items() if part == "train" or not _unlabelled(table, targets)
    }
    lengths = [len(table) for table in tables.values()]
    table = pa.concat_tables(tables.values(), promote_options="permissive")
    return _Rows(table, np.repeat(list(tables), lengths), features, place)


def _unlabelled(table: pa.Table, targets: Sequence[str]) -> bool:
    """The library says -1, or nothing, of a class that is not told."""
    return all(set(table.column(name).unique().to_pylist()) <= {-1, None} for name in targets)


def _targets(rows: _Rows, targets: Sequence[str]) -> Targets:
    from datasets import ClassLabel

    source = Source(to_frame(rows.table.select(targets), rows.place), rows.place)
    feature = rows.features[targets[0]]
    if len(targets) > 1 or not isinstance(feature, ClassLabel):
        return make_targets(source, targets, {})
    codes = source.frame[targets[0]]
    source.frame[targets[0]] = codes.mask(codes < 0)
    make_targets(source, targets, {targets[0]: "categorical"})  # refuses what is missing, and a single class
    return Targets(codes.to_numpy(np.int64), classes=tuple(feature.names))


def _image_columns(rows: _Rows) -> list[str]:
    from datasets import Image

    return [name for name, feature in rows.features.items() if isinstance(feature, Image)]


def _text_columns(rows: _Rows, others: Collection[str]) -> list[str]:
    words = [
        field.name
        for field in rows.table.schema
        if field.name not in others
        and (pa.types.is_string(field.type) or pa.types.is_large_string(field.type))
    ]
    some = rows.table.slice(0, _ENOUGH_ROWS)
    # A few rows do not tell texts from names; where there is no other column, they are texts.
    alone = len(words) == 1 and len(rows.table.column_names) == len(others) + 1
    return [name for name in words if alone or is_text(some.column(name).to_pandas().astype("str"))]


def _only(columns: Sequence[str], key: str) -> str | None:
    if len(columns) > 1:
        raise DataError(
            f"which column holds the {key}s?", f"dataset.{key}", f"Choose from: {', '.join(columns)}."
        )
    return columns[0] if columns else None


def _refuse_empty(texts: Texts, source: Source) -> None:
    empty = np.flatnonzero(texts.empty())
    if len(empty):
        more = f" (and {len(empty) - 1:,} more)" if len(empty) > 1 else ""
        raise DataError(
            f"the text is empty{more}",
            source.place(int(empty[0]), texts.name),
            "Fill it in, or dataset.on_empty=keep: it is then a text of one unknown token.",
        )


def _data(rows: _Rows, kind: Kind, x: Any, found: Targets, kept: np.ndarray, **more: Any) -> Data:
    parts = rows.parts[kept]
    val, test = np.flatnonzero(parts == "val"), np.flatnonzero(parts == "test")
    return Data(
        name=rows.place.name.partition(".")[0],
        kind=kind,
        x=x,
        y=found.y[kept],
        classes=found.classes,
        targets=found.names,
        source=str(rows.place),
        val_rows=val if len(val) else None,
        test_rows=test if len(test) else None,
        parts=parts if len(val) or len(test) else None,
        **{"note": found.note, **more},
    )
