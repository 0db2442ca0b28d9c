"""Hugging Face datasets of images, texts or tables, from local files or the hub."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from dlcli.datasets.data import Data, Kind
from dlcli.datasets.folders.part_words import SHOWN
from dlcli.datasets.images.image_loading import ImageOptions, load_images
from dlcli.datasets.notices import Notice, first_names
from dlcli.datasets.reading.reading_options import ReadingOptions
from dlcli.datasets.reading.stand_ins import stand_ins
from dlcli.datasets.tables.arrow_types import check_supported
from dlcli.datasets.tables.format_options import CellOptions, Missing
from dlcli.datasets.tables.label_lists import is_label_list, with_label_columns
from dlcli.datasets.tables.source import RawTable, Source
from dlcli.datasets.tables.targets import Targets, make_targets
from dlcli.datasets.tables.typed_frames import is_text
from dlcli.datasets.text_rows import Texts
from dlcli.datasets.untrained import untrained_classes
from dlcli.errors import DataError
from dlcli.files.paths import typed
from dlcli.formatting import counted

# Number of rows used to decide whether a string column contains texts.
_SAMPLE_ROWS = 2000


@dataclass(frozen=True, eq=False)
class _Rows:
    """All rows, memory-mapped from files.

    Attributes:
        table: the rows.
        parts: train, val or test for each row.
        classes: names of the classes, by column.
        images: the columns of images.
        place: source of the rows.
        notices: splits that were left out.
    """

    table: pa.Table
    parts: np.ndarray
    classes: Mapping[str, tuple[str, ...]]
    images: Sequence[str]
    place: Path
    notices: tuple[Notice, ...]


def load(
    path: str,
    name: str | None = None,
    target: str | Sequence[str] = "label",
    text: str | None = None,
    image: str | None = None,
    drop: Sequence[str] = (),
    label_separator: str | None = None,
    revision: str | None = None,
    cache_dir: str | None = None,
    on_empty: Literal["error", "keep"] = "error",
    missing_values: Missing = None,
    **options: Annotated[Any, ImageOptions],
) -> Data:
    """Load a Hugging Face dataset with its own splits; its test rows are the final test rows.

    The kind of rows follows from the columns: images if there is an image column, texts if there is a text column, else
    a table.

    Args:
        path: a folder written by `save_to_disk`, a folder of files, or a file (.parquet, .arrow, .csv, .jsonl); a path
            that does not exist locally is a name on the hub, such as stanfordnlp/imdb.
        name: configuration name, if the path has several datasets.
        target: the column to predict, or several columns.
        text: the text column; None takes the only one.
        image: the image column; None takes the only one.
        drop: table columns to leave out.
        label_separator: the sign between several labels in a cell of the target, such as |.
        revision: branch, tag or commit of a dataset on the hub.
        cache_dir: cache folder of the library; None takes its default.
        on_empty: `error` raises an error for a text of only whitespace; `keep` keeps it.
        missing_values: words that denote a missing value of a table or a target besides the usual ones, or by column;
            [] for none at all.
        options: fields of `ImageOptions`, for images.

    Raises:
        DataError: the library, the dataset or a column is missing, or a row is invalid.
    """
    try:
        from dlcli.datasets.huggingface import class_names, is_image, open_parts, stored_images
    except ImportError as error:
        raise DataError(
            "dataset=hf needs the library datasets", "dataset", "Install it: pip install datasets"
        ) from error
    of_images = ImageOptions(**options)
    targets = [target] if isinstance(target, str) else list(target)
    opened, others = open_parts(path, name, revision, cache_dir)
    features = opened["train"].features
    classes = {name: known for name, one in features.items() if (known := class_names(one)) is not None}
    images_in = [name for name, one in features.items() if is_image(one)]
    rows = _joined(opened, others, targets, classes, images_in, typed(path))
    names = Source(pd.DataFrame(columns=rows.table.column_names), rows.place)
    names.require([text] if text else [], "dataset.text")
    names.require([image] if image else [], "dataset.image")
    names.require(list(drop), "dataset.drop")
    reading = ReadingOptions(missing=missing_values)
    names.require_all(CellOptions(missing_values=missing_values).by_column())
    found = _targets(rows, targets, reading, label_separator)
    image = image or (None if text else _only(rows.images, "image"))
    if image is not None:
        entries = stored_images(rows.table.column(image), str(rows.place))
        images = load_images(rows.place, entries, of_images)
        return _data(
            rows,
            "image",
            images.x,
            found,
            images.rows,
            note=images.note,
            content=images.content,
            notices=(*rows.notices, *_unused(rows, {image, *targets}), *images.notices),
            kinds=images.kinds,
        )
    everything = np.arange(len(rows.table))
    text = text or _only(_text_columns(rows, {*targets, *drop}), "text")
    if text is not None:
        texts = Texts(rows.table.column(text).cast(pa.large_string()), text)
        if on_empty == "error":
            _check_not_empty(texts, names)
        left_out = (*rows.notices, *_unused(rows, {text, *targets}))
        return _data(rows, "tokens", texts, found, everything, notices=left_out)
    inputs = [name for name in rows.table.column_names if name not in {*targets, *drop}]
    if not inputs:
        raise DataError(f"no column is left from which to predict {', '.join(targets)}", str(rows.place))
    source = _read(rows, inputs, reading)
    return _data(
        rows,
        "table",
        source.frame,
        found,
        everything,
        warnings=source.warnings,
        columns=source.columns,
        notices=(*rows.notices, *stand_ins(source.frame, None, missing_values)),
    )


def _read(rows: _Rows, names: Sequence[str], reading: ReadingOptions) -> Source:
    """Return some columns, with types that are decided on all rows."""
    table = rows.table.select(names).replace_schema_metadata(None)
    check_supported(table.schema, rows.place)
    return RawTable.of(table, rows.place).decided(reading)


def _joined(
    parts: Mapping[str, Any],
    others: Sequence[str],
    targets: Sequence[str],
    classes: Mapping[str, tuple[str, ...]],
    images: Sequence[str],
    place: Path,
) -> _Rows:
    """Return all splits, concatenated; splits without labels, such as a competition's test rows, are left out."""
    columns = list(parts["train"].features)
    Source(pd.DataFrame(columns=columns), place).require(targets, "dataset.target")
    tables = {part: split.with_format("arrow")[:].select(columns) for part, split in parts.items()}
    labelled = {
        part: table for part, table in tables.items() if part == "train" or not _unlabelled(table, targets)
    }
    unlabelled = [part for part in tables if part not in labelled]
    lengths = [len(table) for table in labelled.values()]
    table = pa.concat_tables(labelled.values(), promote_options="permissive")
    notices = tuple(
        _left_out(others, unlabelled, {name: len(table) for name, table in tables.items()}, place)
    )
    return _Rows(table, np.repeat(list(labelled), lengths), classes, images, place, notices)


def _left_out(
    others: Sequence[str], unlabelled: Sequence[str], rows: Mapping[str, int], place: Path
) -> Iterator[Notice]:
    """Yield notices of the splits that are not used."""
    if others:
        yield Notice(
            "unused_splits",
            len(others),
            f"splits that are neither training, validation nor test rows left out: {first_names(others)}",
            str(place),
            f"Splits are used if they are named {SHOWN}.",
        )
    if unlabelled:
        yield Notice(
            "unlabelled_splits",
            len(unlabelled),
            "splits without labels left out: "
            + ", ".join(f"{part} ({counted(rows[part], 'row')})" for part in unlabelled),
            str(place),
        )


def _unused(rows: _Rows, used: Collection[str]) -> Iterator[Notice]:
    """Yield a notice of the columns that are neither inputs nor targets."""
    names = [name for name in rows.table.column_names if name not in used]
    if names:
        yield Notice(
            "unused_columns",
            len(names),
            f"{counted(len(names), 'column')} not used: {first_names(names)}",
            str(rows.place),
            warns=False,
        )


def _unlabelled(table: pa.Table, targets: Sequence[str]) -> bool:
    """Return whether all labels are unknown (-1 or None)."""
    return all(
        column.null_count == len(column)
        if is_label_list(column.type)
        else set(column.unique().to_pylist()) <= {-1, None}
        for column in table.select(targets).columns
    )


def _targets(rows: _Rows, targets: Sequence[str], reading: ReadingOptions, separator: str | None) -> Targets:
    classes = rows.classes.get(targets[0])
    lists = {name: rows.table.column(name) for name in targets if is_label_list(rows.table.field(name).type)}
    if separator is not None or (lists and len(targets) == 1):
        cells = rows.table.drop_columns(list(lists)).replace_schema_metadata(None)
        raw = RawTable.of(cells, rows.place, lists=lists)
        raw, labels = with_label_columns(raw, targets, separator, names=classes if lists and classes else ())
        source = raw.decided(reading, set(raw.names) - set(labels))
        return make_targets(source, labels, {}, keys=())
    source = _read(rows, targets, reading)
    if len(targets) > 1 or classes is None:
        return make_targets(source, targets, {}, keys=("missing_values",))
    codes = source.frame[targets[0]]
    source.frame[targets[0]] = codes.mask(codes < 0)
    # Checks for missing labels, and for a single class.
    make_targets(source, targets, {targets[0]: "categorical"}, keys=())
    return Targets(codes.to_numpy(np.int64), classes=classes)


def _text_columns(rows: _Rows, others: Collection[str]) -> list[str]:
    strings = [
        field.name
        for field in rows.table.schema
        if field.name not in others
        and (pa.types.is_string(field.type) or pa.types.is_large_string(field.type))
    ]
    sample = rows.table.slice(0, _SAMPLE_ROWS)
    # Few rows do not distinguish texts from names, so a string column without any other column counts as texts.
    alone = len(strings) == 1 and len(rows.table.column_names) == len(others) + 1
    return [name for name in strings if alone or is_text(sample.column(name).to_pandas().astype("str"))]


def _only(columns: Sequence[str], key: str) -> str | None:
    if len(columns) > 1:
        raise DataError(
            f"several columns contain {key}s", f"dataset.{key}", f"Choose from: {', '.join(columns)}."
        )
    return columns[0] if columns else None


def _check_not_empty(texts: Texts, source: Source) -> None:
    empty = np.flatnonzero(texts.empty())
    if len(empty):
        more = f" (and {len(empty) - 1:,} more)" if len(empty) > 1 else ""
        raise DataError(
            f"the text is empty{more}",
            source.place(int(empty[0]), texts.name),
            "Fill it in, or set dataset.on_empty=keep to treat it as one unknown token.",
        )


def _data(
    rows: _Rows,
    kind: Kind,
    x: Any,
    found: Targets,
    kept: np.ndarray,
    notices: Sequence[Notice],
    **more: Any,
) -> Data:
    parts = rows.parts[kept]
    noun = {"image": "images", "tokens": "texts"}.get(kind, "rows")
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
        notices=(*notices, *untrained_classes(found.y[kept], found.classes, parts, noun)),
        **{"note": found.note, **more},
    )
