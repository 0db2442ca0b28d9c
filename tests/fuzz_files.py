"""Small files by seed: tables of every format, images and other files; intact, damaged and hostile."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import random
import tarfile
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from PIL import Image
from pyarrow import parquet

CELLS = [
    "1", "2", "3.5", "-7", "1e3", "1,5", "", "NA", "nan", "inf", "-inf", "1e400", "0x1f", "007", "true", "False", "yes",
    "a", "b", "häß", "日本", "a b", '"q"', '"a,b"', '"a""b"', '"multi\nline"', "'x'", "2020-01-01", "01/02/2021",
    "2021-13-45", "12:30", "1970-01-01T00:00:00Z", "9999-12-31", "0000-00-00", "=1+1", "  3 ", "\x00", "\x1b[0m",
    "\ufeff", "1_000", "1.000,5", "$5", "5%", "∞", "²", "١٢", "-", "--", "None", "null", "9" * 40, "0." + "1" * 60,
    "x" * 500, "1e-320", "+5", ".5", "5.", "1 000", "\r", '"', "\\", "\t", ";",
]  # fmt: skip
NAMES = [
    "a", "b", "y", "c", "", "a", "A", " a", "y ", "1", "2", "x,y", "ä", "Unnamed: 0", "index", "y.1", '"q"', "a\nb",
    "\x1b[1m", "__class__", "x" * 300, "fold", "c0", "c1",
]  # fmt: skip
VALUES: list[Any] = [
    0, 1, 2, -1, 1.5, 2.5, True, False, None, None, "u", "v", "w", "", "2020-01-01", "2020-01-01T00:00:00Z", 10**30,
    float("nan"), float("inf"), 1e300, [], [1], [None], [[1, "a"]], {}, {"a": 1}, {"a": {"b": [None]}}, "x" * 99, "é",
]  # fmt: skip
LINES = [
    "null", "1", "true", '"x"', "[]", "[{}]", "{}", "", " ", "{", "}", '{"a"}', '{"a":1} null', '{"a":1}{"a":2}', "NaN",
    '{"a":NaN}', '{"a":1e999}', '{"a":"\\ud800"}', '{"a":"\\u0000"}', '{"a\\u0000":1}', '{"a":1,"a":2}', "[" * 200,
    '{"a":' * 99 + "1" + "}" * 99, '{"a":' + "[" * 40 + "]" * 40 + "}", "\ufeff{}", '{"":1}', "\x00",
]  # fmt: skip


@dataclass(frozen=True)
class FileCase:
    """A file, and how it is to be read."""

    path: Path
    is_image: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    on_bad: Literal["error", "skip"] = "error"


def file_case(seed: int, folder: Path) -> FileCase:
    """Write one into the folder."""
    chance = random.Random(seed)
    kind = chance.choices(
        ["text", "lines", "parquet", "zip", "excel", "odd", "images"], [30, 20, 20, 8, 4, 8, 10]
    )[0]
    if kind == "images":
        return _images(chance, folder)
    if kind == "odd":
        return _odd(chance, folder)
    content, ending = {"text": _text, "lines": _lines, "parquet": _parquet, "zip": _zip, "excel": _excel}[
        kind
    ](chance)
    if chance.random() < 0.15:
        content = _damaged(chance, content)
    if chance.random() < 0.1 and kind != "zip":
        packing = chance.choice([".gz", ".bz2", ".xz"])
        content = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}[packing](content)
        content, ending = (_damaged(chance, content) if chance.random() < 0.2 else content), ending + packing
    if chance.random() < 0.03:
        ending = chance.choice(
            [".csv", ".jsonl", ".parquet", ".zip", ".xlsx", ".txt", ".gz", ".zst", ".pdf", ""]
        )
    file = folder / f"f{ending}"
    file.write_bytes(content)
    return FileCase(file, options=_options(chance) if kind == "text" else {})


def _damaged(chance: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        if changed:
            changed[chance.randrange(len(changed))] = chance.randrange(256)
    whole = bytes(changed)
    return chance.choice(
        [whole, whole, whole[: len(whole) // 2], whole[:-3], whole * 2, b"", chance.randbytes(64)]
    )


def _options(chance: random.Random) -> dict[str, Any]:
    every: dict[str, Any] = {
        "header": chance.choice([True, False]),
        "decimal": chance.choice([".", ","]),
        "separator": chance.choice([",", ";", "\t", "|", " ", "x"]),
        "drop": [chance.choice(["a", "b", "zz"])],
        "types": {chance.choice("aby"): chance.choice(["numeric", "categorical", "boolean", "date", "text"])},
        "group": chance.choice("ab"),
        "time": chance.choice("ab"),
        "split": chance.choice("ab"),
        "encoding": chance.choice(["latin-1", "utf-16", "cp1252", "nope", "utf-8-sig", "utf-32"]),
    }
    return {name: value for name, value in every.items() if chance.random() < 0.07}


def _names(chance: random.Random, count: int) -> list[str]:
    names = [chance.choice(NAMES) for _ in range(count)]
    if chance.random() < 0.8:
        names = chance.sample(["a", "b", "y", "c", "d", "e"], count)
    if chance.random() < 0.8 and "y" not in names:
        names[-1] = "y"
    return names


def _text(chance: random.Random) -> tuple[bytes, str]:
    sign, columns = chance.choice([",", ",", ",", ";", "\t", "|", " "]), chance.randint(1, 6)
    pools = [
        chance.sample(CELLS, chance.randint(1, 4)) if chance.random() < 0.5 else None for _ in range(columns)
    ]

    def cell(number: int) -> str:
        if chance.random() < 0.01:
            return chance.choice(CELLS)
        pool = pools[number]
        return (
            chance.choice(pool)
            if pool
            else str(chance.choice([chance.randint(-5, 5), round(chance.random(), 3)]))
        )

    rows = [sign.join(_names(chance, columns))] if chance.random() < 0.85 else []
    for _ in range(chance.randint(0, 40)):
        row = [cell(number) for number in range(columns)]
        row = row[:-1] if chance.random() < 0.005 else row
        rows.append(sign.join(row))
    end = chance.choice(["\n", "\n", "\n", "\r\n", "\r"])
    text = end.join(rows) + (end if chance.random() < 0.8 else "")
    encoding = chance.choice([*["utf-8"] * 8, "latin-1", "utf-16", "utf-8-sig", "cp1252"])
    return text.encode(encoding, "replace"), chance.choice([".csv", ".csv", ".tsv", ".txt"])


def _lines(chance: random.Random) -> tuple[bytes, str]:
    columns = _names(chance, chance.randint(1, 4))
    pools = {
        name: chance.choice([[0, 1, 2.5, None], ["u", "v", None], chance.sample(VALUES, 3)])
        for name in columns
    }
    lines = [
        json.dumps({name: chance.choice(pool) for name, pool in pools.items() if chance.random() < 0.95})
        for _ in range(chance.randint(0, 30))
    ]
    for _ in range(chance.choice([0, 0, 1, 2])):
        lines.insert(chance.choice([0, len(lines), chance.randrange(len(lines) + 1)]), chance.choice(LINES))
    return "\n".join(lines).encode("utf-8", "surrogatepass"), chance.choice([".jsonl", ".ndjson", ".json"])


def _array(chance: random.Random, rows: int) -> pa.Array:
    now = datetime(2024, 1, 31, 12, tzinfo=UTC)
    kinds: list[tuple[list[Any], pa.DataType]] = [
        ([1, 2, 3], pa.int64()), ([1, 2], pa.uint64()), ([2**64 - 1, 0], pa.uint64()), ([1, 0], pa.int8()),
        ([0.5, 1.5, float("inf")], pa.float32()), ([0.5], pa.float16()), ([True, False], pa.bool_()),
        (["u", "v", "w"], pa.string()), (["u", "v"], pa.large_string()), (["u", "v"], pa.string_view()),
        (["u", "v"], pa.dictionary(pa.int32(), pa.string())), ([1, 2], pa.dictionary(pa.int8(), pa.int64())),
        ([b"u"], pa.binary()), ([b"uv"], pa.binary(2)), ([b"u"], pa.large_binary()), ([None], pa.null()),
        ([date(2024, 1, 1), date(1, 1, 1)], pa.date32()), ([date(9999, 12, 31)], pa.date64()),
        ([now], pa.timestamp("s")), ([now], pa.timestamp("ns")), ([now], pa.timestamp("us", "Europe/Berlin")),
        ([datetime(1, 1, 1), datetime(9999, 1, 1)], pa.timestamp("us")), ([time(1, 2)], pa.time32("s")),
        ([time(1, 2)], pa.time64("us")), ([timedelta(1)], pa.duration("s")), ([Decimal("1.5")], pa.decimal128(5, 2)),
        ([Decimal("1.5")], pa.decimal256(60, 2)), ([[1], [], None], pa.list_(pa.int64())),
        ([[1, 2]], pa.list_(pa.int64(), 2)), ([{"a": 1}], pa.struct([("a", pa.int64())])),
        ([[("k", 1)]], pa.map_(pa.string(), pa.int64())), (["é" * 300], pa.string()),
    ]  # fmt: skip
    values, kind = chance.choice(kinds)
    gaps = [None] if chance.random() < 0.3 else []
    return pa.array([chance.choice([*values, *gaps]) for _ in range(rows)], kind)


def _parquet(chance: random.Random) -> tuple[bytes, str]:
    rows, columns = chance.choice([0, 1, 2, 9, 30]), chance.randint(1, 4)
    names = _names(chance, columns)
    table = pa.Table.from_arrays([_array(chance, rows) for _ in range(columns)], names)
    buffer = io.BytesIO()
    packing = chance.choice(["snappy", "gzip", "zstd", "none", "brotli", "lz4"])
    try:
        parquet.write_table(table, buffer, compression=packing, row_group_size=max(1, rows // 2))
    except (pa.ArrowException, NotImplementedError):
        return b"PAR1", ".parquet"
    content = buffer.getvalue()
    if chance.random() < 0.25:
        at = len(content) - chance.randint(1, min(200, len(content)))  # in the footer
        content = content[:at] + chance.randbytes(1) + content[at + 1 :]
    return content, chance.choice([".parquet", ".parquet", ".pq"])


def _zip(chance: random.Random) -> tuple[bytes, str]:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", chance.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as packed:
        for _ in range(chance.choice([0, 1, 1, 1, 1, 2])):
            content, ending = chance.choice([_text, _lines, _parquet])(chance)
            name = chance.choice(
                ["x", "d/x", "../../x", "/etc/x", "..\\x", "C:\\x", "__MACOSX/x", ".x", "é", "x\n"]
            )
            member = zipfile.ZipInfo(name + chance.choice([ending, ending, ".zip", ".csv.gz", "/"]))
            member.external_attr = chance.choice([0o644, 0o644, 0o120777, 0]) << 16
            packed.writestr(member, content)
    content = bytearray(buffer.getvalue())
    if chance.random() < 0.2 and (at := content.find(b"PK\x01\x02")) >= 0:
        content[at + chance.choice([8, 10, 20, 24])] ^= chance.choice([1, 8, 0xFF])
    return bytes(content), ".zip"


def _excel(chance: random.Random) -> tuple[bytes, str]:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    names = _names(chance, 3)
    for row in [names, *([chance.choice([1, 2.5, "u", None, True, "=1/0", datetime(2024, 1, 1)]) for _ in names]
                         for _ in range(chance.randint(0, 12)))]:  # fmt: skip
        with_letters = [
            c if not isinstance(c, str) else "".join(x for x in c if x.isprintable()) for c in row
        ]
        sheet.append(with_letters)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue(), chance.choice([".xlsx", ".xlsm"])


def _odd(chance: random.Random, folder: Path) -> FileCase:
    """What is no file, or hardly one."""
    file = (
        folder / f"f{chance.choice(['.csv', '.jsonl', '.parquet', '.zip', '.csv.gz', '.xlsx', '.txt', ''])}"
    )
    kind = chance.randrange(9)
    if kind == 0:
        file.mkdir()
    elif kind == 1:
        os.mkfifo(file)
    elif kind == 2:
        file.symlink_to(
            chance.choice(["nowhere", file.name, "/dev/zero", "/proc/self/mem", "/proc/self/environ"])
        )
    elif kind == 3:
        file.write_bytes(b"")
    elif kind == 4:
        return FileCase(folder / chance.choice(["x" * 300, "a\0b", "nothing.csv", "f/../f", "~nobody/x.csv"]))
    elif kind == 5:
        file.write_bytes(b"<html><body>404</body></html>")
    elif kind == 6:
        file.write_bytes("a,y\n1,u\n2,v\n".encode(chance.choice(["utf-16", "utf-32", "utf-16-be"])))
    elif kind == 7:
        file.write_bytes(b"\x00" * 999)
    else:
        file.write_bytes(gzip.compress(b"a,y\n1,u\n" * 9, mtime=0)[: chance.randint(1, 60)])
    return FileCase(file)


def _image(chance: random.Random) -> bytes:
    size = chance.choice([(8, 8), (8, 8), (8, 8), (1, 1), (9, 5), (300, 2)])
    mode = chance.choice(["RGB", "RGB", "L", "P", "1", "I;16", "RGBA", "LA", "CMYK", "F", "I"])
    ending = {"I;16": "png", "F": "tiff", "I": "png", "CMYK": "jpeg"}.get(
        mode, chance.choice(["png", "gif", "webp"])
    )
    image, buffer = Image.new(mode, size), io.BytesIO()
    more: dict[str, Any] = {}
    if ending in ("gif", "webp") and mode in ("RGB", "L", "P") and chance.random() < 0.5:
        more = {"save_all": True, "append_images": [image.copy(), image.copy()]}
    try:
        image.save(buffer, ending, **more)
    except (OSError, ValueError):
        Image.new("RGB", size).save(buffer, "png")
    content = buffer.getvalue()
    if chance.random() < 0.3:
        content = _damaged(chance, content)
    return content


# Of headers that claim a picture of gigapixels or none at all; a vector picture; a page with an error.
_NO_PICTURES = [
    b"P5 100000 100000 255\n" + b"\x00" * 50, b"P6 0 0 255\n", b"P5 -1 5 255\n", b"GIF89a\xff\xff\xff\xff\x00\x00\x00",
    b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"<html>404</html>", b"\x89PNG\r\n\x1a\n", b"BM" + b"\xff" * 60, b"",
    b"\xff\xd8\xff\xe0" + b"\x00" * 20,
    b"II*\x00\x08\x00\x00\x00\xff\xff" + b"\x00" * 30, b"RIFF\xff\xff\xff\xffWEBPVP8 ",
]  # fmt: skip


def _images(chance: random.Random, folder: Path) -> FileCase:
    """A folder, a tar or a table of images."""
    place = folder / "images"
    for label in ("u", "v"):
        (place / label).mkdir(parents=True)
        for number in range(chance.randint(1, 3)):
            bad = chance.random() < 0.15
            content = chance.choice(_NO_PICTURES) if bad else _image(chance)
            (
                place / label / f"{number}.{chance.choice(['png', 'jpg', 'gif', 'tif', 'webp', 'bmp'])}"
            ).write_bytes(content)
    if chance.random() < 0.1:
        os.mkfifo(place / "u" / "pipe.png")
    if chance.random() < 0.1:
        (place / "u" / "link.png").symlink_to(chance.choice(["nowhere", "/dev/zero", "link.png"]))
    on_bad: Literal["error", "skip"] = chance.choice(["error", "skip"])
    form = chance.randrange(3)
    if form == 0:
        return FileCase(place, True, on_bad=on_bad)
    if form == 1:
        with tarfile.open(folder / "i.tar", chance.choice(["w", "w", "w:gz"])) as tar:  # type: ignore[call-overload]
            tar.add(place, chance.choice([".", "../x", "/etc"]))
        if chance.random() < 0.2:
            file = folder / "i.tar"
            file.write_bytes(_damaged(chance, file.read_bytes()))
        return FileCase(folder / "i.tar", True, on_bad=on_bad)
    names = [
        chance.choice(["images/u/0.png", "x" * 300, "..", "/dev/zero", "", "a\0b", "images"])
        for _ in range(3)
    ]
    (folder / "i.csv").write_text("image,y\n" + "".join(f"{name},{n % 2}\n" for n, name in enumerate(names)))
    return FileCase(folder / "i.csv", True, on_bad=on_bad)
