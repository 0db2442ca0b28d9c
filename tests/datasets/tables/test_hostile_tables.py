"""Files that are not tables or would exhaust the memory are rejected by name and do not crash the process."""

from __future__ import annotations

import gzip
import os
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from dlcli.datasets.image_folder import load as load_images
from dlcli.datasets.table import load
from dlcli.datasets.tables import delimited
from dlcli.datasets.tables.column_selection import ColumnSelection
from dlcli.datasets.tables.json_lines import check_rows
from dlcli.datasets.tables.pieces import read_pieces
from dlcli.errors import DataError

ROWS = '{"a": 1, "y": "u"}\n{"a": 2, "y": "v"}\n'
TABLE = "a,y\n1,u\n2,v\n"


def nested(opening: str, levels: int, end: str) -> str:
    """Return a line with `end` in `levels` nested brackets; the last character of `end` closes a bracket."""
    return f'{{"a": {opening * levels}{end[:-1]}{end[-1] * levels}}}\n'


def refused(name: str | Path) -> str:
    """Return the error about a file, which must be the same for all readers."""
    with pytest.raises(DataError) as whole:
        load(str(name), "y")
    with pytest.raises(DataError) as pieces:
        list(read_pieces(Path(name), ColumnSelection({"a": "numeric"}), rows=2))
    assert str(whole.value).partition("\n")[0] == str(pieces.value).partition("\n")[0]
    return str(whole.value)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("null\n" + ROWS, 1, "is null, not an object"),
        (ROWS + "null\n", 3, "is null, not an object"),
        (ROWS + "\n 1 \n", 4, "is a number, not an object"),
        (ROWS + '"x"', 3, "is a string, not an object"),
        (ROWS + "[{}]\n", 3, "is a list, not an object"),
        (ROWS + '{"a": 1} null\n', 3, "is not JSON: Extra data"),
        (ROWS + '{"a": 1} {"a": 2}\n', 3, "is not JSON: Extra data"),
        (ROWS + nested("[", 60, "]"), 3, "has more than 50 levels of nested lists"),
        (ROWS + nested("[", 99_999, "]"), 3, "has more than 50 levels of nested lists"),
        (ROWS + nested('{"a":', 99, "1" + "}"), 3, "has more than 50 levels of nested lists"),
    ],
    ids=["null first", "null", "number", "text", "list", "null behind", "two", "deep", "abyss", "objects"],
)
def test_a_json_line_that_is_not_an_object_is_reported(text: str, line: int, message: str) -> None:
    Path("t.jsonl").write_text(text)
    assert refused("t.jsonl").startswith(f"t.jsonl:{line}: {message}")


def test_rows_longer_than_a_block_are_read() -> None:
    long = "x" * 3_000_000
    Path("t.jsonl").write_text(ROWS + f'{{"a": 3, "y": "{long}"}}\n')
    assert load("t.jsonl", "y").classes == ("u", "v", long)
    Path("t.csv").write_text(TABLE + f"3,{long}\n")
    assert load("t.csv", "y").classes == ("u", "v", long)


def test_an_endless_line_is_rejected_before_it_fills_memory() -> None:
    with gzip.open("t.csv.gz", "wb", compresslevel=1) as packed:
        packed.write(TABLE.encode())
        for _ in range(256):
            packed.write(b"x" * (1 << 20))
    Path("t.csv.gz").replace("t.jsonl.gz")
    Path("t.csv.gz").hardlink_to("t.jsonl.gz")
    # A separate process, whose memory limit is smaller than the line.
    code = (
        "import resource, psutil; from dlcli.datasets.table import load\n"
        "from dlcli.errors import DataError; import pyarrow.json, pyarrow.csv\n"
        "had = psutil.Process().memory_info().vms; resource.setrlimit(resource.RLIMIT_AS, (had + 250_000_000,) * 2)\n"
        "for name in ('t.csv.gz', 't.jsonl.gz'):\n"
        "    try: load(name, 'y')\n"
        "    except DataError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "t.csv.gz: has a line of more than 67.1 MB, so it is not a table of text" in done.stdout
    assert "t.jsonl.gz:1: is not JSON" in done.stdout
    assert (
        resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
    )  # the limit of this process is unchanged


def test_more_text_than_free_memory_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "free_memory", lambda: 1_000_000)
    with gzip.open("t.csv.gz", "wt") as packed:
        packed.write("a,y\n" + "1,u\n" * 1_000_000)
    with pytest.raises(
        DataError, match=r"t.csv.gz: contains more than 1 MB of text, the size of the free memory"
    ):
        load("t.csv.gz", "y")


@pytest.mark.parametrize("name", ["../../x.csv", "/etc/x.csv", "a\\..\\..\\x.csv", "C:\\x.csv"])
def test_a_zip_with_a_path_outside_its_folder_is_rejected(name: str) -> None:
    with zipfile.ZipFile("t.zip", "w") as packed:
        packed.writestr(name, TABLE)
    assert refused("t.zip").startswith(
        f"t.zip: contains a file that would be unpacked outside of the folder: {name}"
    )
    assert not list(Path().rglob("*.csv"))


def test_links_and_passwords_in_a_zip_are_rejected() -> None:
    link = zipfile.ZipInfo("link.csv")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile("t.zip", "w") as packed:
        packed.writestr(link, "/etc/passwd")
    assert refused("t.zip").startswith("t.zip: contains a link instead of a file: link.csv")
    with zipfile.ZipFile("t.zip", "w") as packed:
        packed.writestr("x.csv", TABLE)
    content = bytearray(Path("t.zip").read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # in the central directory, which is the one used
    Path("t.zip").write_bytes(content)
    assert refused("t.zip").startswith("t.zip: needs a password: x.csv")


def test_duplicate_column_names_in_parquet_are_rejected() -> None:
    columns = [pa.array([1, 2]), pa.array([3, 4]), pa.array(["u", "v"])]
    parquet.write_table(pa.Table.from_arrays(columns, ["a", "a", "y"]), "t.parquet")
    assert refused("t.parquet").startswith("t.parquet: the column name a occurs 2 times: columns 1, 2")


def test_special_files_are_not_opened() -> None:
    os.mkfifo("t.csv")  # reading it would block forever
    assert refused("t.csv").startswith("t.csv: is a pipe or a device, not a file")
    assert refused("/dev/zero").startswith("/dev/zero: is a pipe or a device")
    assert refused("/proc/self/mem").startswith("/proc/self/mem: is empty")
    Path("folder.csv").mkdir()
    assert refused("folder.csv").startswith("folder.csv: is a folder")
    Path("gone.csv").symlink_to("nowhere.csv")
    assert refused("gone.csv").startswith("gone.csv: there is no such file")
    assert ": there is no such file" in refused("x" * 300)


@pytest.mark.parametrize("encoding", ["idna", "punycode", "Punycode", "rot13", "latin-99"])
def test_a_codec_that_is_not_a_text_encoding_is_rejected(encoding: str) -> None:
    Path("t.csv").write_text(TABLE)
    with pytest.raises(DataError, match=f"dataset.encoding: there is no encoding {encoding}"):
        load("t.csv", "y", encoding=encoding)


@pytest.mark.parametrize("name", ["images", "images.tar"])
@pytest.mark.parametrize("content", [b"\x1f\x8b", b"BZh9", b"\xfd7zXZ\x00", b"\x1f\x8b\x08" + bytes(99), b""])
def test_a_torn_archive_of_images_is_rejected(name: str, content: bytes) -> None:
    Path(name).write_bytes(content)
    with pytest.raises(DataError, match=name):
        load_images(name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1, "y": "u"}\nnull\n', "t.json:2: is null, not an object"),
        ("null\n", "t.json:1: is null, not an object"),
        ('[{"a": 1, "y": "u"}, null]', "t.json, item 1: is null, not an object"),
        ('[\n{"a": 1, "y": "u"},\n1]', "t.json, item 1: is a number, not an object"),
    ],
)
def test_a_json_file_whose_rows_would_crash_arrow_is_rejected(content: str, message: str) -> None:
    Path("t.json").write_text(content)
    with pytest.raises(DataError, match=message):
        check_rows(Path("t.json"))
    Path("t.json").write_text('[\n{"a": 1, "y": "u"}]')
    check_rows(Path("t.json"))


def test_half_of_a_surrogate_pair_is_rejected_with_its_row() -> None:
    Path("t.jsonl").write_text(ROWS + '{"a": 3, "y": "\\ud800"}\n')
    with pytest.raises(DataError, match=r"t.jsonl:3: contains half of a surrogate pair"):
        load("t.jsonl", "y")
